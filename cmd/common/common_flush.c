#include "common/common.h"

const struct print_field common_flush_fields[COMMON_FLUSH_FIELDS] = {
	{ .name = "username" },
	{ .name = "result" },
	{ .name = "uploaded", .flags = PRINT_RIGHT },
	{ .name = "unchanged", .flags = PRINT_RIGHT },
	{ .name = "skipped", .flags = PRINT_RIGHT },
	{ .name = "obsolete", .flags = PRINT_RIGHT },
	{ .name = "conflicts", .flags = PRINT_RIGHT },
	{ .name = "busy", .flags = PRINT_RIGHT },
	{ .name = "failed", .flags = PRINT_RIGHT },
	{ .name = "bytes", .flags = PRINT_SIZE },
	{ .name = "duration_ms", .flags = PRINT_RIGHT },
	{ .name = "error" },
};

int common_flush_row(struct printer *printer, const struct flush_result *result, struct err *err)
{
	const struct print_value values[COMMON_FLUSH_FIELDS] = {
		print_str(result->user),
		print_str(flush_outcome_name(result->worst)),
		print_uint(result->units[FLUSH_UPLOADED]),
		print_uint(result->units[FLUSH_UNCHANGED]),
		print_uint(result->units[FLUSH_SKIPPED]),
		print_uint(result->units[FLUSH_OBSOLETE]),
		print_uint(result->units[FLUSH_CONFLICT]),
		print_uint(result->units[FLUSH_BUSY]),
		print_uint(result->units[FLUSH_FAILED]),
		print_uint(result->bytes),
		print_int(result->duration_ms),
		print_str(result->err.code != ERR_NONE ? result->err.msg : NULL),
	};

	return print_row(printer, values, err);
}

int common_flush_code(struct tool *tool, const struct flush_result *result)
{
	if (result->err.code == ERR_NONE)
		return 0;
	return tool_error(tool, result->user, &result->err);
}

int common_flush_summary(struct printer *printer, const struct metacache *mc,
			 const struct flush_totals *totals, int64_t duration_ms, struct err *err)
{
	static const struct print_field fields[] = {
		{ .name = "users" },       { .name = "flushed" },
		{ .name = "conflicts" },   { .name = "busy" },
		{ .name = "failed" },      { .name = "uploaded" },
		{ .name = "unchanged" },   { .name = "skipped" },
		{ .name = "obsolete" },    { .name = "bytes", .flags = PRINT_SIZE },
		{ .name = "deleted" },     { .name = "requests" },
		{ .name = "retries" },     { .name = "puts" },
		{ .name = "lists" },       { .name = "deletes" },
		{ .name = "duration_ms" },
	};
	struct store_counters counters;
	uint64_t requests = 0, retries = 0;

	store_counters(mc->store, &counters);
	for (int i = 0; i < STORE_KINDS; i++) {
		requests += counters.requests[i];
		retries += counters.retries[i];
	}
	const struct print_value values[] = {
		print_uint(totals->users),
		print_uint(totals->flushed),
		print_uint(totals->conflicts),
		print_uint(totals->busy),
		print_uint(totals->failed),
		print_uint(totals->units[FLUSH_UPLOADED]),
		print_uint(totals->units[FLUSH_UNCHANGED]),
		print_uint(totals->units[FLUSH_SKIPPED]),
		print_uint(totals->units[FLUSH_OBSOLETE]),
		print_uint(totals->bytes),
		print_uint(totals->deleted),
		print_uint(requests),
		print_uint(retries),
		print_uint(counters.requests[STORE_PUT]),
		print_uint(counters.requests[STORE_LIST]),
		print_uint(counters.requests[STORE_DELETE]),
		print_int(duration_ms),
	};

	return print_summary(printer, fields, values, sizeof fields / sizeof *fields, err);
}
