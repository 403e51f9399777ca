#include <stdio.h>
#include <unistd.h>

#include "metacache/metacache.h"
#include "status/forms.h"

#define COUNT(fields) (sizeof(fields) / sizeof *(fields))

struct percent {
	char s[32];
};

static struct percent percent_of(uint64_t part, uint64_t whole)
{
	struct percent text;

	snprintf(text.s, sizeof text.s, "%llu%%", (unsigned long long)status_percent(part, whole));
	return text;
}

static int print_whole(struct printer *printer, const struct forms *forms, struct err *err)
{
	const struct status *status = forms->status;
	const uint64_t *changed = status->totals.changed;
	uint64_t max = forms->settings->metacache_max_space_bytes;
	const struct print_value values[] = {
		print_uint(status->totals.users),
		print_uint(status->bytes_used),
		max > 0 ? print_uint(max) : print_null(),
		max > 0 ? print_str(percent_of(status->bytes_used, max).s) : print_null(),
		print_uint(forms->settings->metacache_max_grace_bytes),
		print_uint(changed[CHANGES_NONE]),
		print_uint(changed[CHANGES_UNIMPORTANT]),
		print_uint(changed[CHANGES_IMPORTANT]),
		print_int(status->totals.unflushed_since),
		print_uint(status->totals.conflicts),
		print_uint(status->totals.obsolete),
	};

	return print_row(printer, values, err);
}

static int print_priorities(struct printer *printer, const struct forms *forms, struct err *err)
{
	const struct registry_totals *totals = &forms->status->totals;
	uint64_t max = forms->settings->metacache_max_space_bytes;

	for (unsigned i = 0; i < UNIT_PRIORITIES; i++) {
		unsigned limit = forms->settings->metacache_priority_weights[i].percent;
		const struct print_value values[] = {
			print_uint(i),
			print_str(status_priority_name(i)),
			print_uint(totals->users_of[i]),
			print_uint(totals->bytes_used[i]),
			max > 0 ? print_str(percent_of(totals->bytes_used[i], max).s)
				: print_null(),
			print_str(percent_of(limit, 100).s),
		};

		if (print_row(printer, values, err) < 0)
			return -1;
	}
	return 0;
}

static int print_roots(struct printer *printer, const struct forms *forms, struct err *err)
{
	const struct status_root_vec *roots = &forms->status->roots;

	for (size_t i = 0; i < roots->count; i++) {
		const struct status_root *root = &roots->items[i];
		uint64_t bytes = 0;

		for (int p = 0; p < UNIT_PRIORITIES; p++)
			bytes += root->totals.bytes_used[p];
		const struct print_value values[] = {
			print_str(root->path),
			print_uint(root->totals.users),
			print_uint(bytes),
			root->has_space ? print_uint(root->size_bytes) : print_null(),
			root->has_space ? print_uint(root->avail_bytes) : print_null(),
		};

		if (print_row(printer, values, err) < 0)
			return -1;
	}
	return 0;
}

static int print_requests(struct printer *printer, const struct forms *forms, struct err *err)
{
	for (unsigned i = 0; i < STORE_KINDS; i++) {
		const struct status_requests *requests = &forms->status->requests[i];
		const struct print_value values[] = {
			print_str(metacache_kind_name(i)),
			print_uint(requests->count),
			print_uint(requests->bytes),
		};

		if (print_row(printer, values, err) < 0)
			return -1;
	}
	return 0;
}

static int print_rescan(struct printer *printer, const struct forms *forms, struct err *err)
{
	const struct status_rescan *rescan = &forms->status->rescan;
	const struct print_value values[] = {
		print_int(rescan->when),       print_uint(rescan->added),
		print_uint(rescan->corrected), print_uint(rescan->removed),
		print_uint(rescan->bytes_off),
	};

	return print_row(printer, values, err);
}

static const struct print_field whole_fields[] = {
	{ .name = "users", .flags = PRINT_RIGHT },
	{ .name = "bytes-used", .flags = PRINT_SIZE },
	{ .name = "max-space", .flags = PRINT_SIZE },
	{ .name = "used", .flags = PRINT_RIGHT },
	{ .name = "max-grace", .flags = PRINT_SIZE },
	{ .name = "none", .flags = PRINT_RIGHT },
	{ .name = "unimportant", .flags = PRINT_RIGHT },
	{ .name = "important", .flags = PRINT_RIGHT },
	{ .name = "unflushed-since", .flags = PRINT_TIME },
	{ .name = "conflicts", .flags = PRINT_RIGHT },
	{ .name = "obsolete", .flags = PRINT_RIGHT },
};
static const struct print_field priority_fields[] = {
	{ .name = "priority", .flags = PRINT_RIGHT }, { .name = "indexes" },
	{ .name = "users", .flags = PRINT_RIGHT },    { .name = "bytes-used", .flags = PRINT_SIZE },
	{ .name = "used", .flags = PRINT_RIGHT },     { .name = "limit", .flags = PRINT_RIGHT },
};
static const struct print_field root_fields[] = {
	{ .name = "root" },
	{ .name = "users", .flags = PRINT_RIGHT },
	{ .name = "bytes-used", .flags = PRINT_SIZE },
	{ .name = "filesystem", .flags = PRINT_SIZE },
	{ .name = "free", .flags = PRINT_SIZE },
};
static const struct print_field request_fields[] = {
	{ .name = "request" },
	{ .name = "count", .flags = PRINT_RIGHT },
	{ .name = "bytes", .flags = PRINT_SIZE },
};
static const struct print_field rescan_fields[] = {
	{ .name = "last-rescan", .flags = PRINT_TIME }, { .name = "added", .flags = PRINT_RIGHT },
	{ .name = "corrected", .flags = PRINT_RIGHT },  { .name = "removed", .flags = PRINT_RIGHT },
	{ .name = "bytes-off", .flags = PRINT_SIZE },
};

int sections_print(struct tool *tool, const struct forms *forms, struct err *err)
{
	static const struct {
		const struct print_field *fields;
		size_t count;
		int (*print)(struct printer *printer, const struct forms *forms, struct err *err);
	} sections[] = {
		{ whole_fields, COUNT(whole_fields), print_whole },
		{ priority_fields, COUNT(priority_fields), print_priorities },
		{ root_fields, COUNT(root_fields), print_roots },
		{ request_fields, COUNT(request_fields), print_requests },
		{ rescan_fields, COUNT(rescan_fields), print_rescan },
	};

	for (size_t i = 0; i < COUNT(sections); i++) {
		autoprinter struct printer *printer =
			tool_printer(tool, "", sections[i].fields, sections[i].count);

		if (!printer)
			return err_set(err, ERR_BUG, "no printer");
		if (i > 0 && write(STDOUT_FILENO, "\n", 1) != 1)
			return err_set(err, ERR_IO, "cannot write the output");
		if (sections[i].print(printer, forms, err) < 0 || print_finish(&printer, err) < 0)
			return -1;
	}
	return 0;
}
