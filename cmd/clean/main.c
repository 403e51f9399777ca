/* metacache-clean: remove local copies of indexes that are in storage. */
#include "base/workers.h"
#include "common/common.h"
#include "metacache/clean_limit.h"
#include "metacache/trash.h"

static unsigned days;
static bool to_limit;
static struct clean_options options;

static const struct tool_option own_options[] = {
	{ "days", 'd', TOOL_COUNT, &days, .max = 36500, .arg = "DAYS",
	  .help = "only users not accessed for so many days" },
	{ "priority", 'p', TOOL_COUNT, &options.priority_min, .max = 3, .arg = "N",
	  .help = "only units of priority N and below; 0, the default, is the whole home" },
	{ "max-space", '\0', TOOL_FLAG, &to_limit,
	  .help = "with -A: in weight order, until all use metacache_max_space at most" },
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

static int print_result(struct clean *clean, const char *user, const struct clean_result *result,
			struct err *err)
{
	const struct print_value values[] = {
		print_str(user),
		print_str(clean_outcome_name(result->outcome)),
		print_uint(result->units),
		print_uint(result->bytes),
		print_str(result->err.code != ERR_NONE ? result->err.msg : NULL),
	};

	if (result->err.code != ERR_NONE)
		clean->code = tool_worst(clean->code, tool_error(clean->tool, user, &result->err));
	return print_row(clean->printer, values, err);
}

static int take_user(void *ctx, const char *user)
{
	struct clean *clean = ctx;
	struct clean_result result = { 0 };
	struct err err = { 0 };

	if (clean_user(clean->mc, user, &options, &result, &err) < 0) {
		result.outcome = CLEAN_FAILED;
		result.err = err;
	}
	progress_add(clean->tool->progress, 1);
	if (print_result(clean, user, &result, &err) == 0)
		return 0;
	clean->code = tool_error(clean->tool, NULL, &err);
	return -1;
}

static int take_cleaned(void *ctx, const char *user, const struct clean_result *result,
			struct err *err)
{
	struct clean *clean = ctx;

	progress_add(clean->tool->progress, 1);
	return print_result(clean, user, result, err);
}

static int print_totals(struct clean *clean, const struct clean_limit_totals *totals,
			struct err *err)
{
	static const struct print_field totals_fields[] = {
		{ .name = "limit", .flags = PRINT_SIZE },
		{ .name = "before", .flags = PRINT_SIZE },
		{ .name = "after", .flags = PRINT_SIZE },
		{ .name = "users" },
		{ .name = "units" },
		{ .name = "flushed" },
		{ .name = "passed" },
	};
	const struct print_value values[] = {
		print_uint(totals->limit_bytes), print_uint(totals->before_bytes),
		print_uint(totals->after_bytes), print_uint(totals->users),
		print_uint(totals->units),       print_uint(totals->flushed),
		print_uint(totals->passed),
	};

	return print_summary(clean->printer, totals_fields, values, sizeof values / sizeof *values,
			     err);
}

static int say_not_reached(struct clean *clean, const struct clean_limit_totals *totals)
{
	struct err err = { 0 };

	if (totals->after_bytes <= totals->limit_bytes)
		return 0;
	err_set(&err, ERR_TEMP, "%llu bytes are used still, metacache_max_space is %llu",
		(unsigned long long)totals->after_bytes, (unsigned long long)totals->limit_bytes);
	err_hint(&err, "what could not be cleaned now is named above; run it again");
	return tool_error(clean->tool, NULL, &err);
}

/* Users that can't be cleaned now don't matter when there are enough others. */
static int clean_all_to_limit(struct clean *clean)
{
	unsigned threads = clean->tool->settings.metacache_max_parallel_requests;
	autoworkers struct workers *pool = workers_new(threads, threads);
	struct tidy *tidy = tidy_new(clean->mc);
	struct clean_limit_totals totals;
	struct err err = { 0 }, tidy_err = { 0 };
	int ret = clean_to_limit(clean->mc, clean->tool->settings.metacache_max_space_bytes,
				 &options, pool, tidy, take_cleaned, clean, &totals, &err);

	if (tidy_finish(&tidy, NULL, &tidy_err) < 0)
		metacache_warn(clean->mc, "metacache_delete_failed", NULL, &tidy_err);
	if (ret < 0 || print_totals(clean, &totals, &err) < 0)
		return tool_error(clean->tool, NULL, &err);
	clean->code = 0;
	return say_not_reached(clean, &totals);
}

static int check_limit(struct tool *tool)
{
	struct err err = { 0 };

	if (!to_limit)
		return 0;
	if (!tool->all_users)
		err_set(&err, ERR_USAGE, "--max-space is for all users: it needs -A");
	else if (tool->settings.metacache_max_space_bytes == 0)
		err_set(&err, ERR_CONFIG, "metacache_max_space is 0, which is no limit");
	return err.code == ERR_NONE ? 0 : tool_error(tool, NULL, &err);
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct clean clean = { .tool = tool, .mc = &mc };
	struct err err = { 0 };
	unsigned needs = METACACHE_STORE | METACACHE_SESSIONS;
	autofd int lock = -1;
	int code = check_limit(tool);

	if (code == 0)
		code = common_open(tool, &mc, to_limit ? needs | METACACHE_REGISTRY : needs);
	if (code == 0 && to_limit)
		code = common_run_lock(tool, &mc, NULL, &lock);
	if (code != 0)
		return code;
	options.dry_run = tool->dry_run;
	options.unused_s = (int64_t)days * 86400;
	trash_sweep_all(&mc);
	tool_progress(tool, "users", tool->users.count);
	clean.printer = tool_printer(tool, "users", fields, sizeof fields / sizeof *fields);
	if (!clean.printer)
		return ERR_USAGE;
	code = to_limit ? clean_all_to_limit(&clean)
			: common_each_user(tool, &mc, take_user, &clean);
	code = tool_worst(code, clean.code);
	if (print_finish(&clean.printer, &err) < 0)
		code = tool_worst(code, tool_error(tool, NULL, &err));
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
