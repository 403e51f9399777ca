/* metacache-refresh: bring local indexes up to what storage has. */
#include "base/workers.h"
#include "common/common.h"
#include "metacache/refresh.h"
#include "metacache/trash.h"

static struct refresh_options options;

static const struct tool_option own_options[] = {
	{ "mark", '\0', TOOL_FLAG, &options.mark,
	  .help = "only note that storage is to be asked at the next refresh" },
	{ "discard-important", '\0', TOOL_FLAG, &options.discard_important,
	  .help = "in a conflict take what storage has; changes made here are lost" },
	{ "service", '\0', TOOL_TEXT, &options.service, .arg = "NAME",
	  .help = "on whose behalf; kept as last-service" },
};

static const struct tool_spec spec = {
	.program = "metacache-refresh",
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN | TOOL_USERS,
};

static const struct print_field fields[] = {
	{ .name = "username" },
	{ .name = "result" },
	{ .name = "created", .flags = PRINT_RIGHT },
	{ .name = "changed", .flags = PRINT_RIGHT },
	{ .name = "unchanged", .flags = PRINT_RIGHT },
	{ .name = "conflicts", .flags = PRINT_RIGHT },
	{ .name = "bytes", .flags = PRINT_SIZE },
	{ .name = "duration_ms", .flags = PRINT_RIGHT },
	{ .name = "error" },
	{ .name = "discarded", .flags = PRINT_RIGHT },
	{ .name = "lost", .flags = PRINT_CUT },
};

struct refresh {
	struct tool *tool;
	const struct metacache *mc;
	struct printer *printer;
	struct workers *pool;
	int code;
};

static int take_user(void *ctx, const char *user)
{
	struct refresh *refresh = ctx;
	struct refresh_result result = { 0 };
	struct err err = { 0 };

	if (refresh_user(refresh->mc, user, &options, refresh->pool, &result, &err) < 0) {
		result.worst = REFRESH_FAILED;
		result.err = err;
	}
	if (result.err.code != ERR_NONE) {
		int code = tool_error(refresh->tool, user, &result.err);

		/* A session may go on with what is here and newer than in storage, or
		 * open already; not with what could not be brought here. */
		if (!options.service || result.worst == REFRESH_FAILED)
			refresh->code = tool_worst(refresh->code, code);
	}
	progress_add(refresh->tool->progress, 1);
	const struct print_value values[] = {
		print_str(user),
		print_str(refresh_outcome_name(result.worst)),
		print_uint(result.units[REFRESH_CREATED]),
		print_uint(result.units[REFRESH_CHANGED]),
		print_uint(result.units[REFRESH_UNCHANGED]),
		print_uint(result.units[REFRESH_CONFLICT]),
		print_uint(result.bytes),
		print_int(result.duration_ms),
		print_str(result.err.code != ERR_NONE ? result.err.msg : NULL),
		print_uint(result.loss.units),
		print_str(result.loss.text[0] ? result.loss.text : NULL),
	};
	if (print_row(refresh->printer, values, &err) == 0)
		return 0;
	refresh->code = tool_error(refresh->tool, NULL, &err);
	return -1;
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct refresh refresh = { .tool = tool, .mc = &mc };
	struct err err = { 0 };
	int code = common_open(tool, &mc, METACACHE_STORE);
	unsigned threads = tool->settings.metacache_max_parallel_requests;

	if (code != 0)
		return code;
	options.dry_run = tool->dry_run;
	/* A login does not wait for somebody else's rubbish. */
	if (!options.service)
		trash_sweep_all(&mc);
	tool_progress(tool, "users", tool->users.count);
	refresh.printer = tool_printer(tool, "users", fields, sizeof fields / sizeof *fields);
	if (!refresh.printer)
		return ERR_USAGE;
	refresh.pool = workers_new(threads, threads);
	code = common_each_user(tool, &mc, take_user, &refresh);
	code = tool_worst(code, refresh.code);
	workers_free(&refresh.pool);
	if (print_finish(&refresh.printer, &err) < 0)
		code = tool_worst(code, tool_error(tool, NULL, &err));
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
