/* metacache-rescan: make the registry say what is on disk. */
#include "base/clock.h"
#include "common/common.h"
#include "metacache/rescan.h"

static const struct tool_spec spec = {
	.program = "metacache-rescan",
	.uses = TOOL_FORMAT,
};

static const struct print_field fields[] = {
	{ .name = "users", .flags = PRINT_RIGHT },
	{ .name = "units", .flags = PRINT_RIGHT },
	{ .name = "bytes", .flags = PRINT_SIZE },
	{ .name = "changed", .flags = PRINT_RIGHT },
	{ .name = "removed", .flags = PRINT_RIGHT },
	{ .name = "strange", .flags = PRINT_RIGHT },
	{ .name = "failed", .flags = PRINT_RIGHT },
	{ .name = "duration_ms", .flags = PRINT_RIGHT },
	{ .name = "added", .flags = PRINT_RIGHT },
	{ .name = "corrected", .flags = PRINT_RIGHT },
	{ .name = "bytes_off", .flags = PRINT_SIZE },
	{ .name = "discarded", .flags = PRINT_RIGHT },
	{ .name = "discarded_important", .flags = PRINT_RIGHT },
	{ .name = "suspect", .flags = PRINT_RIGHT },
};

struct rescan {
	struct tool *tool;
	uint64_t seen;
};

static void show_progress(void *ctx, uint64_t users)
{
	struct rescan *rescan = ctx;

	progress_add(rescan->tool->progress, users - rescan->seen);
	rescan->seen = users;
}

static int print(struct printer **printer, const struct rescan_totals *totals, int64_t duration_ms,
		 struct err *err)
{
	const struct print_value values[] = {
		print_uint(totals->users),
		print_uint(totals->units),
		print_uint(totals->bytes),
		print_uint(totals->changed),
		print_uint(totals->removed),
		print_uint(totals->strange),
		print_uint(totals->failed),
		print_int(duration_ms),
		print_uint(totals->added),
		print_uint(totals->corrected),
		print_uint(totals->bytes_off),
		print_uint(totals->discarded),
		print_uint(totals->discarded_important),
		print_uint(totals->suspect),
	};

	return print_row(*printer, values, err) < 0 ? -1 : print_finish(printer, err);
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	autoprinter struct printer *printer = NULL;
	struct rescan rescan = { .tool = tool };
	struct rescan_totals totals = { 0 };
	int64_t started_ms = clock_mono_ms();
	struct err err = { 0 };
	autofd int lock = -1;
	int ret, code = common_open(tool, &mc, METACACHE_REGISTRY | METACACHE_CRASHED);

	if (code == 0)
		code = common_run_lock(tool, &mc, NULL, &lock);
	if (code != 0)
		return code;
	tool_progress(tool, "users", 0);
	printer = tool_printer(tool, "rescans", fields, sizeof fields / sizeof *fields);
	if (!printer)
		return ERR_USAGE;
	ret = rescan_all(&mc, show_progress, &rescan, &totals, &err);
	if (ret != 0)
		code = tool_error(tool, NULL, &err);
	if (ret < 0)
		return code;
	if (ret > 0)
		code = ERR_TEMP;
	if (totals.suspect > 0)
		code = tool_worst(code, tool_error(tool, NULL, &totals.suspect_err));
	if (print(&printer, &totals, clock_mono_ms() - started_ms, &err) < 0)
		code = tool_worst(code, tool_error(tool, NULL, &err));
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
