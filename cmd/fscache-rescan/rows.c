#include "fscache-rescan/rows.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/units.h"

#define COUNT(fields) (sizeof(fields) / sizeof *(fields))

typedef unsigned long long ull;

static const struct print_field fields[] = {
	{ .name = "path" },
	{ .name = "files", .flags = PRINT_RIGHT },
	{ .name = "bytes", .flags = PRINT_SIZE },
	{ .name = "result" },
	{ .name = "off_bytes", .flags = PRINT_RIGHT },
	{ .name = "why" },
	{ .name = "log" },
	{ .name = "tracked_files", .flags = PRINT_RIGHT },
	{ .name = "tracked_bytes", .flags = PRINT_SIZE },
	{ .name = "found_files", .flags = PRINT_RIGHT },
	{ .name = "found_bytes", .flags = PRINT_SIZE },
	{ .name = "unlogged_files", .flags = PRINT_RIGHT },
	{ .name = "unlogged_bytes", .flags = PRINT_SIZE },
	{ .name = "missing_files", .flags = PRINT_RIGHT },
	{ .name = "missing_bytes", .flags = PRINT_SIZE },
	{ .name = "resized_files", .flags = PRINT_RIGHT },
	{ .name = "resized_bytes", .flags = PRINT_RIGHT },
	{ .name = "miscounted_bytes", .flags = PRINT_RIGHT },
	{ .name = "damaged_lines", .flags = PRINT_RIGHT },
	{ .name = "expired_files", .flags = PRINT_RIGHT },
	{ .name = "expired_bytes", .flags = PRINT_SIZE },
	{ .name = "evicted_files", .flags = PRINT_RIGHT },
	{ .name = "evicted_bytes", .flags = PRINT_SIZE },
	{ .name = "leftover_files", .flags = PRINT_RIGHT },
	{ .name = "leftover_bytes", .flags = PRINT_SIZE },
	{ .name = "foreign_files", .flags = PRINT_RIGHT },
	{ .name = "foreign_bytes", .flags = PRINT_SIZE },
	{ .name = "strange", .flags = PRINT_RIGHT },
	{ .name = "duration_ms", .flags = PRINT_RIGHT },
	{ .name = "error" },
};

struct printer *rows_printer(struct tool *tool)
{
	static const char *const for_people[] = { "path", "files", "bytes", "result", "why" };
	bool is_table = tool->format == PRINT_TABLE ||
			(tool->format == PRINT_AUTO && isatty(STDOUT_FILENO));

	for (size_t i = 0;
	     is_table && tool->fields.count < COUNT(for_people) && tool->fields.count == i; i++)
		vec_push(&tool->fields, xstrdup(for_people[i]));
	return tool_printer(tool, "rescans", fields, COUNT(fields));
}

static void put_reason(struct buf *why, struct fscache_rescan_count count, const char *what)
{
	if (count.files > 0)
		buf_printf(why, "%s%llu files (%s) %s", why->len > 0 ? ", " : "", (ull)count.files,
			   units_format_size_short(count.bytes).s, what);
}

static void put_signed(struct buf *why, int64_t bytes)
{
	uint64_t size = bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes;

	buf_printf(why, "%c%s", bytes < 0 ? '-' : '+', units_format_size_short(size).s);
}

/* For people; a right log needs no reason. */
static void put_why(struct buf *why, const struct fscache_rescan_report *report)
{
	if (report->log == FSCACHE_RESCAN_LOST)
		buf_puts(why, "there was no log");
	if (report->log == FSCACHE_RESCAN_TORN)
		buf_puts(why, "the log ended within a line");
	put_reason(why, report->unlogged, "missing from the log");
	put_reason(why, report->missing, "missing on disk");
	if (report->resized_files > 0) {
		buf_printf(why, "%s%llu files of another size (", why->len > 0 ? ", " : "",
			   (ull)report->resized_files);
		put_signed(why, report->resized_bytes);
		buf_putc(why, ')');
	}
	if (report->miscounted_bytes != 0) {
		buf_puts(why, why->len > 0 ? ", total miscounted by " : "total miscounted by ");
		put_signed(why, report->miscounted_bytes);
	}
	if (report->damaged_lines > 0)
		buf_printf(why, "%s%llu damaged lines", why->len > 0 ? ", " : "",
			   (ull)report->damaged_lines);
}

static const char *result_of(const struct rows_outcome *outcome)
{
	if (outcome->err.code != ERR_NONE)
		return "failed";
	return outcome->report.right ? "right" : "repaired";
}

int rows_print(struct printer *printer, const struct rows_outcome *outcome, struct err *err)
{
	static const char *const logs[] = { "whole", "torn", "lost" };
	const struct fscache_rescan_report *report = &outcome->report;
	autobuf struct buf why = { 0 };

	put_why(&why, report);
	const struct print_value values[] = {
		print_str(outcome->path),
		print_uint(report->now.files),
		print_uint(report->now.bytes),
		print_str(result_of(outcome)),
		print_int((int64_t)(report->found.bytes - report->tracked.bytes)),
		print_str(why.len > 0 ? buf_str(&why) : NULL),
		print_str(logs[report->log]),
		print_uint(report->tracked.files),
		print_uint(report->tracked.bytes),
		print_uint(report->found.files),
		print_uint(report->found.bytes),
		print_uint(report->unlogged.files),
		print_uint(report->unlogged.bytes),
		print_uint(report->missing.files),
		print_uint(report->missing.bytes),
		print_uint(report->resized_files),
		print_int(report->resized_bytes),
		print_int(report->miscounted_bytes),
		print_uint(report->damaged_lines),
		print_uint(report->expired.files),
		print_uint(report->expired.bytes),
		print_uint(report->evicted.files),
		print_uint(report->evicted.bytes),
		print_uint(report->leftovers.files),
		print_uint(report->leftovers.bytes),
		print_uint(report->foreign.files),
		print_uint(report->foreign.bytes),
		print_uint(report->strange),
		print_int(outcome->duration_ms),
		print_str(outcome->err.code != ERR_NONE ? outcome->err.msg : NULL),
	};

	return print_row(printer, values, err);
}
