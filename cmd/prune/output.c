#include "prune/output.h"

const struct print_field output_fields[OUTPUT_FIELDS] = {
	{ .name = "username" },
	{ .name = "decision" },
	{ .name = "reason" },
	{ .name = "deleted" },
	{ .name = "last_access", .flags = PRINT_TIME },
	{ .name = "host" },
	{ .name = "changes" },
	{ .name = "bytes", .flags = PRINT_SIZE },
	{ .name = "lost", .flags = PRINT_CUT },
	{ .name = "kept", .flags = PRINT_CUT },
	{ .name = "error", .flags = PRINT_CUT },
};

int output_row(struct printer *printer, const struct prune_result *result, struct err *err)
{
	const struct print_value values[OUTPUT_FIELDS] = {
		print_str(result->user),
		print_str(prune_decision_name(result->decision)),
		print_str(prune_reason_name(result->reason)),
		print_bool(result->deleted),
		result->last_access_s > 0 ? print_int(result->last_access_s) : print_null(),
		print_str(result->host),
		print_str(result->looked ? registry_changes_name(result->changes) : NULL),
		result->looked ? print_uint(result->bytes) : print_null(),
		print_str(result->lost),
		print_str(result->kept),
		print_str(result->err.code != ERR_NONE ? result->err.msg : NULL),
	};

	return print_row(printer, values, err);
}

#define OWN_TOTALS 7

int output_summary(struct printer *printer, const struct metacache *mc,
		   const struct prune_totals *totals, int64_t duration_ms, struct err *err)
{
	struct print_field names[OWN_TOTALS + PRUNE_REASONS] = {
		{ .name = "users" },       { .name = "asked" },
		{ .name = "deleted" },     { .name = "bytes", .flags = PRINT_SIZE },
		{ .name = "puts" },        { .name = "lists" },
		{ .name = "duration_ms" },
	};
	struct store_counters counters;

	store_counters(mc->store, &counters);
	struct print_value values[OWN_TOTALS + PRUNE_REASONS] = {
		print_uint(totals->users),
		print_uint(totals->asked),
		print_uint(totals->deleted),
		print_uint(totals->bytes),
		print_uint(counters.requests[STORE_PUT]),
		print_uint(counters.requests[STORE_LIST]),
		print_int(duration_ms),
	};
	for (int i = 0; i < PRUNE_REASONS; i++) {
		names[OWN_TOTALS + i].name = prune_reason_name((enum prune_reason)i);
		values[OWN_TOTALS + i] = print_uint(totals->reasons[i]);
	}
	return print_summary(printer, names, values, OWN_TOTALS + PRUNE_REASONS, err);
}
