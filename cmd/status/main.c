/* metacache-status: the metacache as a whole. */
#include <string.h>

#include "base/quote.h"
#include "base/units.h"
#include "common/common.h"
#include "common/common_output.h"
#include "status/forms.h"

#define PERCENT_MAX 1000000

static const char *format, *output;
static bool check, is_prometheus;
static const char *unflushed[] = { "15min", "1h" }, *rescan[2];
static unsigned usage[] = { 100, PERCENT_MAX + 1 }, disk[] = { 90, 95 };

static const struct tool_option own_options[] = {
	{ "format", 'f', TOOL_TEXT, &format, .arg = "flow|pager|tab|table|json|jsonl|prometheus",
	  .help = "in which form" },
	{ "output", '\0', TOOL_TEXT, &output, .arg = "FILE",
	  .help = "replace this file instead of writing to stdout (json, prometheus)" },
	{ "check", '\0', TOOL_FLAG, &check, .help = "one line for Nagios, and its exit codes" },
	{ "warn-unflushed", '\0', TOOL_TEXT, &unflushed[0], .arg = "TIME",
	  .help = "age of an important change (15min)" },
	{ "crit-unflushed", '\0', TOOL_TEXT, &unflushed[1], .arg = "TIME",
	  .help = "the same (1h)" },
	{ "warn-usage", '\0', TOOL_COUNT, &usage[0], .max = PERCENT_MAX, .arg = "PERCENT",
	  .help = "of metacache_max_space (100)" },
	{ "crit-usage", '\0', TOOL_COUNT, &usage[1], .max = PERCENT_MAX, .arg = "PERCENT",
	  .help = "the same (metacache_max_grace above it)" },
	{ "warn-disk", '\0', TOOL_COUNT, &disk[0], .max = 100, .arg = "PERCENT",
	  .help = "of a root's filesystem (90)" },
	{ "crit-disk", '\0', TOOL_COUNT, &disk[1], .max = 100, .arg = "PERCENT",
	  .help = "the same (95)" },
	{ "warn-rescan", '\0', TOOL_TEXT, &rescan[0], .arg = "TIME",
	  .help = "age of the last rescan (2 times metacache_rescan_interval)" },
	{ "crit-rescan", '\0', TOOL_TEXT, &rescan[1], .arg = "TIME", .help = "the same (7 times)" },
};

static const struct tool_spec spec = {
	.program = "metacache-status",
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
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

static int read_limits(const struct settings *settings, struct check_limits *limits_r,
		       struct err *err)
{
	uint64_t max = settings->metacache_max_space_bytes;
	uint64_t interval_s = (uint64_t)settings->metacache_rescan_interval_ms / 1000;

	*limits_r = (struct check_limits){
		.usage_percent = { usage[0], usage[1] },
		.disk_percent = { disk[0], disk[1] },
		.rescan_s = { 2 * interval_s, 7 * interval_s },
	};
	if (usage[1] > PERCENT_MAX)
		limits_r->usage_percent[1] =
			100 + status_percent(settings->metacache_max_grace_bytes, max);
	if (read_time("warn-unflushed", unflushed[0], &limits_r->unflushed_s[0], err) < 0 ||
	    read_time("crit-unflushed", unflushed[1], &limits_r->unflushed_s[1], err) < 0)
		return -1;
	if (rescan[0] && read_time("warn-rescan", rescan[0], &limits_r->rescan_s[0], err) < 0)
		return -1;
	return rescan[1] ? read_time("crit-rescan", rescan[1], &limits_r->rescan_s[1], err) : 0;
}

/* Said in the output or, with a code, on stderr. */
static int say_roots(struct tool *tool, const struct status *status)
{
	int code = 0;

	for (size_t i = 0; i < status->roots.count; i++) {
		if (status->roots.items[i].err.code != ERR_NONE)
			code = tool_worst(code,
					  tool_error(tool, NULL, &status->roots.items[i].err));
	}
	return code;
}

static int print(struct tool *tool, const struct forms *forms)
{
	autobuf struct buf text = { 0 };
	struct err err = { 0 };
	int ret;

	if (is_prometheus)
		prometheus_print(forms, &text);
	else if (tool->format == PRINT_JSON || tool->format == PRINT_JSONL)
		document_print(forms, &text);
	ret = text.len > 0 ? common_output_write(output, &text, &err)
			   : sections_print(tool, forms, &err);
	return tool_worst(ret < 0 ? tool_error(tool, NULL, &err) : 0,
			  say_roots(tool, forms->status));
}

static int print_check(struct tool *tool, const struct forms *forms,
		       const struct check_limits *limits)
{
	autobuf struct buf text = { 0 };
	struct err err = { 0 };
	enum common_check_code code = check_print(forms, limits, &text);

	return common_output_write(NULL, &text, &err) < 0 ? tool_error(tool, NULL, &err)
							  : (int)code;
}

static int read_choices(struct tool *tool, struct check_limits *limits_r, struct err *err)
{
	is_prometheus = format && strcmp(format, "prometheus") == 0;
	if (format && !is_prometheus && print_format_parse(format, &tool->format, err) < 0)
		return -1;
	if (check && (format || output))
		return err_set(err, ERR_USAGE, "--check has a form of its own: no -f, no --output");
	if (output && !is_prometheus && tool->format != PRINT_JSON && tool->format != PRINT_JSONL)
		return err_set(err, ERR_USAGE, "--output needs -f json or -f prometheus");
	return read_limits(&tool->settings, limits_r, err);
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	autostatus struct status status = { 0 };
	const struct forms forms = { &tool->settings, &status };
	struct check_limits limits;
	struct err err = { 0 };

	if (read_choices(tool, &limits, &err) < 0 ||
	    metacache_open(&mc, &tool->settings, &tool->log, METACACHE_REGISTRY_READ, &err) < 0 ||
	    status_read(&tool->settings, mc.registry, &status, &err) < 0)
		return tool_error(tool, NULL, &err);
	return check ? print_check(tool, &forms, &limits) : print(tool, &forms);
}

int main(int argc, char **argv)
{
	struct tool tool;
	int code = tool_start(&tool, &spec, argc, argv);

	if (code < 0)
		code = run(&tool);
	if (check)
		code = common_check_plugin("METACACHE", &tool, code);
	code = tool_finish(&tool, code);
	return check && code > COMMON_CHECK_UNKNOWN ? COMMON_CHECK_UNKNOWN : code;
}
