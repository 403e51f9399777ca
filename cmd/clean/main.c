/* metacache-clean: remove local copies of indexes that are in storage. */
#include "common/common.h"
#include "metacache/clean.h"
#include "metacache/trash.h"

static unsigned days;
static struct clean_options options;

static const struct tool_option own_options[] = {
	{ "days", 'd', TOOL_COUNT, &days, .max = 36500, .arg = "DAYS",
	  .help = "only users not accessed for so many days" },
	{ "priority", 'p', TOOL_COUNT, &options.priority_min, .max = 3, .arg = "N",
	  .help = "only units of priority N and below; 0, the default, is the whole home" },
};

static const struct tool_spec spec = {
	.program = "metacache-clean",
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN | TOOL_USERS,
};

static const struct print_field fields[] = {
	{ .name = "username" },
	{ .name = "result" },
	{ .name = "units", .flags = PRINT_RIGHT },
	{ .name = "bytes", .flags = PRINT_SIZE },
	{ .name = "error" },
};

struct clean {
	struct tool *tool;
	const struct metacache *mc;
	struct printer *printer;
	int code;
};

static int take_user(void *ctx, const char *user)
{
	struct clean *clean = ctx;
	struct clean_result result = { 0 };
	struct err err = { 0 };

	if (clean_user(clean->mc, user, &options, &result, &err) < 0) {
		result.outcome = CLEAN_FAILED;
		result.err = err;
	}
	if (result.err.code != ERR_NONE)
		clean->code = tool_worst(clean->code, tool_error(clean->tool, user, &result.err));
	progress_add(clean->tool->progress, 1);
	const struct print_value values[] = {
		print_str(user),
		print_str(clean_outcome_name(result.outcome)),
		print_uint(result.units),
		print_uint(result.bytes),
		print_str(result.err.code != ERR_NONE ? result.err.msg : NULL),
	};
	if (print_row(clean->printer, values, &err) == 0)
		return 0;
	clean->code = tool_error(clean->tool, NULL, &err);
	return -1;
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct clean clean = { .tool = tool, .mc = &mc };
	struct err err = { 0 };
	int code = common_open(tool, &mc, METACACHE_STORE | METACACHE_SESSIONS);

	if (code != 0)
		return code;
	options.dry_run = tool->dry_run;
	options.unused_s = (int64_t)days * 86400;
	trash_sweep_all(&mc);
	tool_progress(tool, "users", tool->users.count);
	clean.printer = tool_printer(tool, "users", fields, sizeof fields / sizeof *fields);
	if (!clean.printer)
		return ERR_USAGE;
	code = common_each_user(tool, &mc, take_user, &clean);
	code = tool_worst(code, clean.code);
	if (print_finish(&clean.printer, &err) < 0)
		code = tool_worst(code, tool_error(tool, NULL, &err));
	return code;
}

int main(int argc, char **argv)
{
	struct tool tool;
	int code = tool_start(&tool, &spec, argc, argv);

	if (code < 0)
		code = run(&tool);
	return tool_finish(&tool, code);
}
