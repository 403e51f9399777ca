/* fscache-status: the mail cache as a whole. */
#include <string.h>

#include "base/quote.h"
#include "base/units.h"
#include "common/common_fscache.h"
#include "common/common_output.h"
#include "fscache-status/gather.h"

#define PERCENT_MAX 1000000
#define PATHS_MAX 10000

static const char *format, *output;
static bool check, is_prometheus, scan;
static const char *turnover[] = { "1h", "10min" };
static unsigned disk[] = { 90, 95 }, deleted[] = { 10, 50 }, off[] = { 1, 10 };

static const struct tool_option own_options[] = {
	{ "format", 'f', TOOL_TEXT, &format, .arg = "flow|pager|tab|table|json|jsonl|prometheus",
	  .help = "in which form" },
	{ "scan", '\0', TOOL_FLAG, &scan, .help = "look at every file, too" },
	{ "output", '\0', TOOL_TEXT, &output, .arg = "FILE",
	  .help = "replace this file instead of writing to stdout (json, prometheus)" },
	{ "check", '\0', TOOL_FLAG, &check, .help = "one line for Nagios, and its exit codes" },
	{ "warn-turnover", '\0', TOOL_TEXT, &turnover[0], .arg = "TIME",
	  .help = "after which objects are evicted (1h)" },
	{ "crit-turnover", '\0', TOOL_TEXT, &turnover[1], .arg = "TIME",
	  .help = "the same (10min)" },
	{ "warn-deleted", '\0', TOOL_COUNT, &deleted[0], .max = PERCENT_MAX, .arg = "PERCENT",
	  .help = "of the limit, deleted and still open (10)" },
	{ "crit-deleted", '\0', TOOL_COUNT, &deleted[1], .max = PERCENT_MAX, .arg = "PERCENT",
	  .help = "the same (50)" },
	{ "warn-off", '\0', TOOL_COUNT, &off[0], .max = PERCENT_MAX, .arg = "PERCENT",
	  .help = "of the limit, between log and disk; with --scan (1)" },
	{ "crit-off", '\0', TOOL_COUNT, &off[1], .max = PERCENT_MAX, .arg = "PERCENT",
	  .help = "the same (10)" },
	{ "warn-disk", '\0', TOOL_COUNT, &disk[0], .max = 100, .arg = "PERCENT",
	  .help = "of the cache's filesystem (90)" },
	{ "crit-disk", '\0', TOOL_COUNT, &disk[1], .max = 100, .arg = "PERCENT",
	  .help = "the same (95)" },
};

static struct fscache_held_look held;

/* Dovecot's processes give up root, as we do, and then no other user may look at them,
 * mail_uid neither. */
static int look_at_processes(struct tool *tool, struct err *err)
{
	(void)tool, (void)err;
	fscache_held_look(&held);
	return 0;
}

static const struct tool_spec spec = {
	.program = "fscache-status",
	.args = "[PATH...]",
	.args_max = PATHS_MAX,
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_NO_STATE,
	.as_caller = look_at_processes,
};

static int read_time(const char *option, const char *text, uint64_t *seconds_r, struct err *err)
{
	int64_t ms;

	if (units_parse_time(text, &ms) < 0)
		return err_set(err, ERR_USAGE, "--%s %s %s", option, quote_str(text).s,
			       units_time_problem(text));
	*seconds_r = (uint64_t)ms / 1000;
	return 0;
}

static int read_choices(struct tool *tool, struct check_limits *limits_r, struct err *err)
{
	*limits_r = (struct check_limits){
		.disk_percent = { disk[0], disk[1] },
		.deleted_percent = { deleted[0], deleted[1] },
		.off_percent = { off[0], off[1] },
	};
	is_prometheus = format && strcmp(format, "prometheus") == 0;
	if (format && !is_prometheus && print_format_parse(format, &tool->format, err) < 0)
		return -1;
	if (check && (format || output))
		return err_set(err, ERR_USAGE, "--check has a form of its own: no -f, no --output");
	if (output && !is_prometheus && tool->format != PRINT_JSON && tool->format != PRINT_JSONL)
		return err_set(err, ERR_USAGE, "--output needs -f json or -f prometheus");
	if (read_time("warn-turnover", turnover[0], &limits_r->turnover_s[0], err) < 0)
		return -1;
	return read_time("crit-turnover", turnover[1], &limits_r->turnover_s[1], err);
}

/* The directories that were asked for, and those of obox_fs, whose limit is known. */
static int read_paths(struct tool *tool, struct str_vec *paths, struct str_vec *limited,
		      uint64_t *limit_r, struct err *err)
{
	int ret = common_fscache_paths(&tool->settings, limited, limit_r, err);

	if (tool->args.count == 0) {
		str_vec_copy(paths, limited);
		return ret;
	}
	err_clear(err);
	for (size_t i = 0; i < tool->args.count; i++)
		vec_push(paths, common_fscache_absolute(tool->args.items[i]));
	return 0;
}

static int print(struct tool *tool, const struct forms *forms, struct err *err)
{
	autobuf struct buf text = { 0 };
	bool is_json = tool->format == PRINT_JSON || tool->format == PRINT_JSONL;

	if (!is_prometheus && !is_json)
		return tables_print(tool, forms, err);
	if (is_prometheus)
		metrics_print(forms, &text);
	else
		document_print(forms, &text);
	return common_output_write(output, &text, err);
}

static int tell(struct tool *tool, const struct forms *forms, const struct check_limits *limits)
{
	autobuf struct buf text = { 0 };
	struct err err = { 0 };
	int code = 0;

	if (check) {
		code = (int)check_print(forms, limits, &text);
		return common_output_write(NULL, &text, &err) < 0 ? tool_error(tool, NULL, &err)
								  : code;
	}
	if (print(tool, forms, &err) < 0)
		code = tool_error(tool, NULL, &err);
	for (size_t i = 0; i < forms->count; i++) {
		if (forms->caches[i].err.code != ERR_NONE)
			code = tool_worst(code, tool_error(tool, forms->caches[i].path,
							   &forms->caches[i].err));
	}
	return code;
}

static int run(struct tool *tool)
{
	CLEANUP(str_vec_free) struct str_vec paths = { 0 }, limited = { 0 };
	CLEANUP(gather_free) struct forms forms = { 0 };
	struct gather_options options = {
		.paths = &paths, .limited = &limited, .scan = scan, .held = &held
	};
	struct check_limits limits;
	struct err err = { 0 };

	if (read_choices(tool, &limits, &err) < 0 ||
	    read_paths(tool, &paths, &limited, &options.limit_bytes, &err) < 0)
		return tool_error(tool, NULL, &err);
	gather(&options, &forms);
	return tell(tool, &forms, &limits);
}

int main(int argc, char **argv)
{
	struct tool tool;
	int code = tool_start(&tool, &spec, argc, argv);

	if (code < 0)
		code = run(&tool);
	if (check)
		code = common_check_plugin("FSCACHE", &tool, code);
	fscache_held_free(&held);
	code = tool_finish(&tool, code);
	return check && code > COMMON_CHECK_UNKNOWN ? COMMON_CHECK_UNKNOWN : code;
}
