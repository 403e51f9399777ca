/* fscache-rescan: make fscache.log say what the mail cache holds. */
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/quote.h"
#include "base/units.h"
#include "common/common_fscache.h"
#include "fscache-rescan/rows.h"

#define MAX_AGE_S (3650 * INT64_C(86400))
#define FOREIGN_SHOWN 20 /* of a directory, by name */

static bool all;

static const struct tool_option own_options[] = {
	{ "all", '\0', TOOL_FLAG, &all, .help = "every directory of the fscache: in obox_fs" },
};

static const struct tool_spec spec = {
	.program = "fscache-rescan",
	.args = "[PATH] [MAX_AGE]",
	.args_max = 2,
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_NO_STATE,
};

struct job {
	struct tool *tool;
	const char *path;
	int64_t max_age_s;
	atomic_uint shown;
};

static void on_foreign(void *ctx, const char *path, const char *what)
{
	struct job *job = ctx;

	if (atomic_fetch_add(&job->shown, 1) < FOREIGN_SHOWN)
		log_warning(&job->tool->log, "fscache_foreign_entry", log_str("fscache", job->path),
			    log_str("path", path), log_str("what", what));
}

static void on_progress(void *ctx, uint64_t files, uint64_t total)
{
	const struct job *job = ctx;

	progress_set_total(job->tool->progress, total);
	progress_add(job->tool->progress, files);
}

/* The exit code of this directory; its row is printed. */
static int rescan(struct job *job, struct printer *printer)
{
	const struct fscache_rescan_options options = {
		.max_age_s = job->max_age_s,
		.foreign = on_foreign,
		.progress = job->tool->progress ? on_progress : NULL,
		.ctx = job,
	};
	struct rows_outcome outcome = { .path = job->path };
	int64_t started_ms = clock_mono_ms();
	struct err err = { 0 };
	autofd int fd = fsx_open_root(job->path, &outcome.err);
	int code = 0;

	if (fd >= 0)
		fscache_rescan(fd, &options, &outcome.report, &outcome.err);
	outcome.duration_ms = clock_mono_ms() - started_ms;
	if (outcome.err.code != ERR_NONE)
		code = tool_error(job->tool, job->path, &outcome.err);
	if (rows_print(printer, &outcome, &err) < 0)
		code = tool_worst(code, tool_error(job->tool, NULL, &err));
	return code;
}

static int read_age(const char *text, int64_t *age_s_r, struct err *err)
{
	int64_t ms;

	if (units_parse_time(text, &ms) < 0)
		return err_set(err, ERR_USAGE, "MAX_AGE %s %s", quote_str(text).s,
			       units_time_problem(text));
	*age_s_r = ms / 1000;
	if (*age_s_r < 1 || *age_s_r > MAX_AGE_S)
		return err_set(err, ERR_USAGE, "MAX_AGE %s is not between 1 s and ten years",
			       quote_str(text).s);
	return 0;
}

static int read_args(struct tool *tool, struct str_vec *paths, int64_t *age_s_r, struct err *err)
{
	size_t at = all ? 0 : 1;

	if (!all && tool->args.count == 0)
		return err_set(err, ERR_USAGE, "which directory? PATH or --all");
	if (tool->args.count > at + 1)
		return err_set(err, ERR_USAGE, "one argument too many: %s",
			       quote_str(tool->args.items[at + 1]).s);
	if (tool->args.count > at && read_age(tool->args.items[at], age_s_r, err) < 0)
		return -1;
	if (all)
		return common_fscache_paths(&tool->settings, paths, NULL, err);
	vec_push(paths, common_fscache_absolute(tool->args.items[0]));
	return 0;
}

static int run(struct tool *tool)
{
	CLEANUP(str_vec_free) struct str_vec paths = { 0 };
	autoprinter struct printer *printer = NULL;
	int64_t max_age_s = 0;
	struct err err = { 0 };
	int code = 0;

	if (read_args(tool, &paths, &max_age_s, &err) < 0)
		return tool_error(tool, NULL, &err);
	tool_progress(tool, "files", 0);
	printer = rows_printer(tool);
	if (!printer)
		return ERR_USAGE;
	for (size_t i = 0; i < paths.count; i++) {
		struct job job = { tool, paths.items[i], max_age_s };

		code = tool_worst(code, rescan(&job, printer));
	}
	if (print_finish(&printer, &err) < 0)
		code = tool_worst(code, tool_error(tool, NULL, &err));
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
