/* metacache-prune: remove obsolete indexes of users who belong to another backend. */
#include "base/clock.h"
#include "base/quote.h"
#include "base/units.h"
#include "common/common.h"
#include "metacache/prune.h"
#include "metacache/trash.h"
#include "prune/output.h"

#define DAY_S 86400

static bool act, startup;
static const char *older_than;
static unsigned limit;
static struct prune_options options;

static const struct tool_option own_options[] = {
	{ "delete", '\0', TOOL_FLAG, &act, .help = "do it; else only the plan is printed" },
	{ "older-than", '\0', TOOL_TEXT, &older_than, .arg = "TIME",
	  .help = "only users not accessed here for so long (30d)" },
	{ "startup", '\0', TOOL_FLAG, &startup,
	  .help = "before the backend takes users again: older than 1d" },
	{ "limit", '\0', TOOL_COUNT, &limit, .max = 1000000000, .arg = "N",
	  .help = "delete the indexes of N users at most" },
	{ "discard-important", '\0', TOOL_FLAG, &options.discard_important,
	  .help = "give up changes that are in conflict with storage" },
};

static const struct tool_spec spec = {
	.program = "metacache-prune",
	.args = "[MASK]",
	.args_max = 1,
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN | TOOL_USERS,
};

struct run {
	struct tool *tool;
	struct printer *printer;
	struct prune *prune;
	int code;
};

/* What is about the director is said once, at the end. */
static void judge(struct run *run, const struct prune_result *result)
{
	const struct err *err = &result->err;
	int code = prune_reason_code(result->reason);

	if (err->code == ERR_NOUSER || err->code == ERR_USAGE)
		code = err_exit_code(err->code);
	run->code = tool_worst(run->code, code);
	if (code != 0 && result->reason != PRUNE_OWNER_UNTOLD)
		tool_error(run->tool, result->user, err);
}

static int take_result(void *ctx, const struct prune_result *result, struct err *err)
{
	struct run *run = ctx;
	progress_add(run->tool->progress, 1);
	judge(run, result);
	return output_row(run->printer, result, err);
}

static int take_user(void *ctx, const char *user)
{
	struct run *run = ctx;

	return prune_user(run->prune, user);
}

static void say_who_is_unknown(struct run *run, const struct prune_totals *totals)
{
	unsigned long long count = totals->reasons[PRUNE_OWNER_UNTOLD];
	struct err err = totals->owner_err;

	if (count == 0)
		return;
	err_prefix(&err, "%llu %s kept, as it is not known to whom they belong; the first", count,
		   count == 1 ? "user is" : "users are");
	tool_error(run->tool, NULL, &err);
}

/* Nobody has named the users. */
static bool is_walk(const struct tool *tool)
{
	return tool->all_users || tool->args.count > 0;
}

static int work(struct run *run, const struct metacache *mc)
{
	struct tool *tool = run->tool;
	const char *mask = tool->args.count > 0 ? tool->args.items[0] : NULL;
	int64_t started_ms = clock_mono_ms();
	struct prune_totals totals;
	struct err err = { 0 };
	int code = 0;

	run->prune = prune_new(mc, &options, take_result, run, &err);
	if (!run->prune)
		return tool_error(tool, NULL, &err);
	if (!is_walk(tool))
		code = tool_each_user(tool, take_user, run);
	else if (prune_all(run->prune, mask, &err) > 0) {
		tool_error(tool, NULL, &err);
		code = ERR_TEMP;
	}
	if (prune_finish(&run->prune, &totals, &err) < 0)
		return tool_error(tool, NULL, &err);
	say_who_is_unknown(run, &totals);
	if (output_summary(run->printer, mc, &totals, clock_mono_ms() - started_ms, &err) < 0 ||
	    print_finish(&run->printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return tool_worst(code, run->code);
}

static int read_age(int64_t *seconds_r, struct err *err)
{
	int64_t ms = (startup ? 1 : 30) * INT64_C(1000) * DAY_S;

	if (older_than && startup)
		return err_set(err, ERR_USAGE, "--startup is --older-than 1d: leave out one");
	if (older_than && units_parse_time(older_than, &ms) < 0)
		return err_set(err, ERR_USAGE, "--older-than %s %s", quote_str(older_than).s,
			       units_time_problem(older_than));
	*seconds_r = ms / 1000;
	return 0;
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct run run = { .tool = tool };
	struct err err = { 0 };
	autofd int lock = -1;
	int code;

	if (read_age(&options.older_than_s, &err) < 0)
		return tool_error(tool, NULL, &err);
	options.act = act && !tool->dry_run;
	code = common_open(tool, &mc, METACACHE_STORE | METACACHE_SESSIONS);
	/* Two runs would delete twice the limit. */
	if (code == 0 && options.act && is_walk(tool))
		code = common_run_lock(tool, &mc, NULL, &lock);
	if (code != 0)
		return code;
	options.limit = limit;
	if (options.act)
		trash_sweep_all(&mc);
	tool_progress(tool, "users", tool->users.count);
	run.printer = tool_printer(tool, "users", output_fields, OUTPUT_FIELDS);
	if (!run.printer)
		return ERR_USAGE;
	code = work(&run, &mc);
	print_free(run.printer);
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
