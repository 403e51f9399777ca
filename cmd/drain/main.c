/* metacache-drain: the stop sequence of a backend. */
#include "base/clock.h"
#include "base/quote.h"
#include "base/units.h"
#include "common/common.h"
#include "metacache/drain.h"

#define MINUTE_MS INT64_C(60000)
#define DAY_MS (24 * 60 * MINUTE_MS)

static const char *from, *expire_wait, *older_than;
static struct str_vec services;
static struct drain_options options = { .services = &services };

static const struct tool_option own_options[] = {
	{ "force", '\0', TOOL_FLAG, &options.force, .help = "go on after a step that failed" },
	{ "from", '\0', TOOL_TEXT, &from, .arg = "STEP", .help = "leave out the steps before" },
	{ "all-changes", '\0', TOOL_FLAG, &options.all_changes,
	  .help = "upload unimportant changes, too, with flush-1" },
	{ "service", '\0', TOOL_TEXTS, &services, .arg = "NAME",
	  .help = "Dovecot's service to stop; may be repeated" },
	{ "director", '\0', TOOL_FLAG, &options.director,
	  .help = "with the steps that take this host out of its director" },
	{ "expire-wait", '\0', TOOL_TEXT, &expire_wait, .arg = "TIME",
	  .help = "for the director to forget who is not connected (15min)" },
	{ "prune", '\0', TOOL_FLAG, &options.prune,
	  .help = "before: remove obsolete indexes of users who are elsewhere" },
	{ "older-than", '\0', TOOL_TEXT, &older_than, .arg = "TIME",
	  .help = "of those, only who was not here for so long (30d)" },
};

static const struct tool_spec spec = {
	.program = "metacache-drain",
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN,
};

static const struct print_field fields[] = {
	{ .name = "step" },
	{ .name = "result" },
	{ .name = "count", .flags = PRINT_RIGHT },
	{ .name = "detail" },
	{ .name = "duration_ms", .flags = PRINT_RIGHT },
	{ .name = "error", .flags = PRINT_CUT },
};

struct run {
	struct tool *tool;
	struct printer *printer;
	const char *failed; /* the first step that did */
	bool flushed;       /* once: what is in conflict was told */
	int code;
};

static int take_step(void *ctx, const struct drain_row *row, struct err *err)
{
	struct run *run = ctx;
	const char *step = drain_step_name(row->step);
	bool failed = row->result == DRAIN_FAILED;
	const struct print_value values[] = {
		print_str(step),
		print_str(drain_result_name(row->result)),
		print_uint(row->count),
		print_str(row->detail[0] ? row->detail : NULL),
		print_int(row->duration_ms),
		print_str(failed ? row->err.msg : NULL),
	};

	if (failed) {
		run->code = tool_worst(run->code, tool_error(run->tool, step, &row->err));
		run->failed = run->failed ? run->failed : step;
	}
	run->flushed |= row->step >= DRAIN_FLUSH_1;
	progress_add(run->tool->progress, 1);
	return print_row(run->printer, values, err);
}

/* A conflict is not mended by another run; what else went wrong fails the step. */
static int take_flushed(void *ctx, const struct flush_result *result, struct err *err)
{
	struct run *run = ctx;

	(void)err;
	if (result->worst == FLUSH_CONFLICT && run->flushed)
		return 0;
	if (common_flush_code(run->tool, result) == ERR_DATA)
		run->code = tool_worst(run->code, ERR_DATA);
	return 0;
}

static int take_pruned(void *ctx, const struct prune_result *result, struct err *err)
{
	struct run *run = ctx;

	(void)err;
	if (prune_reason_code(result->reason) == ERR_DATA)
		run->code =
			tool_worst(run->code, tool_error(run->tool, result->user, &result->err));
	return 0;
}

static int summarize(const struct run *run, const struct drain_totals *totals, int64_t duration_ms,
		     struct err *err)
{
	static const struct print_field names[] = {
		{ .name = "complete" },  { .name = "failed" },      { .name = "uploaded" },
		{ .name = "conflicts" }, { .name = "kicked" },      { .name = "sessions_left" },
		{ .name = "pruned" },    { .name = "duration_ms" },
	};
	const struct print_value values[] = {
		print_bool(totals->complete), print_str(run->failed),
		print_uint(totals->uploaded), print_uint(totals->conflicts),
		print_uint(totals->kicked),   print_uint(totals->sessions_left),
		print_uint(totals->pruned),   print_int(duration_ms),
	};

	return print_summary(run->printer, names, values, sizeof names / sizeof *names, err);
}

static int drain(struct run *run, const struct metacache *mc)
{
	const struct drain_callbacks callbacks = { take_step, take_flushed, take_pruned, run };
	int64_t started_ms = clock_mono_ms();
	struct drain_totals totals;
	struct err err = { 0 };

	if (drain_run(mc, &options, &callbacks, &totals, &err) < 0)
		return tool_error(run->tool, NULL, &err);
	if (totals.sessions_left > 0) {
		err_set(&err, ERR_BUSY, "%llu sessions did not end; what they change may stay here",
			(unsigned long long)totals.sessions_left);
		run->code = tool_worst(run->code, tool_error(run->tool, NULL, &err));
	}
	if (summarize(run, &totals, clock_mono_ms() - started_ms, &err) < 0 ||
	    print_finish(&run->printer, &err) < 0)
		return tool_error(run->tool, NULL, &err);
	return run->code;
}

static int read_time(const char *name, const char *text, int64_t preset_ms, int64_t *ms_r,
		     struct err *err)
{
	*ms_r = preset_ms;
	if (text && units_parse_time(text, ms_r) < 0)
		return err_set(err, ERR_USAGE, "--%s %s %s", name, quote_str(text).s,
			       units_time_problem(text));
	return 0;
}

static int read_options(const struct tool *tool, struct err *err)
{
	int64_t age_ms;

	options.dry_run = tool->dry_run;
	if ((from && drain_step_parse(from, &options.from, err) < 0) ||
	    read_time("expire-wait", expire_wait, 15 * MINUTE_MS, &options.expire_wait_ms, err) <
		    0 ||
	    read_time("older-than", older_than, 30 * DAY_MS, &age_ms, err) < 0)
		return -1;
	options.prune_older_than_s = age_ms / 1000;
	return 0;
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct run run = { .tool = tool };
	struct err err = { 0 };
	autofd int lock = -1;
	int code = 0;

	if (read_options(tool, &err) < 0)
		return tool_error(tool, NULL, &err);
	code = common_open(tool, &mc, METACACHE_STORE | METACACHE_SESSIONS);
	if (code != 0)
		return code;
	run.printer = tool_printer(tool, "steps", fields, sizeof fields / sizeof *fields);
	if (!run.printer)
		return ERR_USAGE;
	code = common_run_lock(tool, &mc, NULL, &lock);
	if (code == 0) {
		tool_progress(tool, "steps", 0);
		code = drain(&run, &mc);
	}
	print_free(run.printer);
	return code;
}

int main(int argc, char **argv)
{
	int code = tool_main(&spec, run, argc, argv);

	str_vec_free(&services);
	return code;
}
