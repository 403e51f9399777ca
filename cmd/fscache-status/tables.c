#include <stdio.h>
#include <unistd.h>

#include "fscache-status/forms.h"

#define COUNT(fields) (sizeof(fields) / sizeof *(fields))

typedef unsigned long long ull;

struct short_text {
	char s[32];
};

static struct short_text percent_of(uint64_t part, uint64_t whole)
{
	struct short_text text;

	snprintf(text.s, sizeof text.s, "%llu%%", (ull)forms_percent(part, whole));
	return text;
}

static struct print_value known(bool is_known, uint64_t value)
{
	return is_known ? print_uint(value) : print_null();
}

static int print_sizes(struct printer *printer, const struct forms_cache *cache, struct err *err)
{
	const struct fscache_status *status = &cache->status;
	const struct print_value values[] = {
		print_str(cache->path),
		known(status->has_log, status->totals.files),
		known(status->has_log, status->totals.bytes),
		known(status->limit_bytes > 0, status->limit_bytes),
		status->has_log && status->limit_bytes > 0
			? print_str(percent_of(status->totals.bytes, status->limit_bytes).s)
			: print_null(),
		known(status->is_scanned, status->files),
		known(status->is_scanned, status->bytes),
		status->is_scanned && status->has_log ? print_int(forms_off(cache)) : print_null(),
		known(status->is_scanned, status->oversize_files),
		known(status->is_scanned, status->foreign_files + status->strange),
	};

	return print_row(printer, values, err);
}

static int print_use(struct printer *printer, const struct forms_cache *cache, struct err *err)
{
	const struct fscache_status *status = &cache->status;
	const struct fscache_totals *totals = &status->totals;
	uint64_t reads = totals->hits + totals->misses + totals->passed;
	uint64_t turnover_s = forms_turnover(cache);
	const struct print_value values[] = {
		print_str(cache->path),
		known(status->has_log, totals->hits),
		known(status->has_log, totals->misses),
		known(status->has_log, totals->passed),
		status->has_log && reads > 0 ? print_str(percent_of(totals->hits, reads).s)
					     : print_null(),
		known(status->has_log, totals->evictions),
		known(status->has_log, status->evictions_per_minute),
		known(turnover_s > 0, turnover_s),
	};

	return print_row(printer, values, err);
}

static int print_disk(struct printer *printer, const struct forms_cache *cache, struct err *err)
{
	const struct fscache_disk *disk = &cache->status.disk;
	const struct print_value values[] = {
		print_str(cache->path),
		known(disk->size_bytes > 0, disk->size_bytes),
		known(disk->size_bytes > 0, disk->avail_bytes),
		known(cache->wanted_bytes > 0, cache->wanted_bytes),
		known(cache->held.is_known, cache->held.files),
		known(cache->held.is_known, cache->held.bytes),
	};

	return print_row(printer, values, err);
}

static const struct print_field size_fields[] = {
	{ .name = "path" },
	{ .name = "files", .flags = PRINT_RIGHT },
	{ .name = "bytes", .flags = PRINT_SIZE },
	{ .name = "limit", .flags = PRINT_SIZE },
	{ .name = "used", .flags = PRINT_RIGHT },
	{ .name = "real-files", .flags = PRINT_RIGHT },
	{ .name = "real-bytes", .flags = PRINT_SIZE },
	{ .name = "off-bytes", .flags = PRINT_RIGHT },
	{ .name = "oversize", .flags = PRINT_RIGHT },
	{ .name = "foreign", .flags = PRINT_RIGHT },
};
static const struct print_field use_fields[] = {
	{ .name = "path" },
	{ .name = "hits", .flags = PRINT_RIGHT },
	{ .name = "misses", .flags = PRINT_RIGHT },
	{ .name = "passed", .flags = PRINT_RIGHT },
	{ .name = "hit-ratio", .flags = PRINT_RIGHT },
	{ .name = "evictions", .flags = PRINT_RIGHT },
	{ .name = "per-minute", .flags = PRINT_RIGHT },
	{ .name = "turnover-seconds", .flags = PRINT_RIGHT },
};
static const struct print_field disk_fields[] = {
	{ .name = "path" },
	{ .name = "filesystem", .flags = PRINT_SIZE },
	{ .name = "free", .flags = PRINT_SIZE },
	{ .name = "wanted", .flags = PRINT_SIZE },
	{ .name = "deleted-open", .flags = PRINT_RIGHT },
	{ .name = "deleted-bytes", .flags = PRINT_SIZE },
};
static const struct print_field holder_fields[] = {
	{ .name = "holder", .flags = PRINT_RIGHT },
	{ .name = "command" },
	{ .name = "path" },
	{ .name = "deleted-open", .flags = PRINT_RIGHT },
	{ .name = "deleted-bytes", .flags = PRINT_SIZE },
};

static int print_holders(struct tool *tool, const struct forms *forms, struct err *err)
{
	autoprinter struct printer *printer =
		tool_printer(tool, "", holder_fields, COUNT(holder_fields));

	if (!printer)
		return err_set(err, ERR_BUG, "no printer");
	if (write(STDOUT_FILENO, "\n", 1) != 1)
		return err_set(err, ERR_IO, "cannot write the output");
	for (size_t i = 0; i < forms->holders.count; i++) {
		const struct fscache_holder *holder = &forms->holders.items[i];
		const struct print_value values[] = {
			print_int(holder->pid),
			print_str(holder->command),
			print_str(forms->caches[holder->cache].path),
			print_uint(holder->files),
			print_uint(holder->bytes),
		};

		if (print_row(printer, values, err) < 0)
			return -1;
	}
	return print_finish(&printer, err);
}

int tables_print(struct tool *tool, const struct forms *forms, struct err *err)
{
	static const struct {
		const struct print_field *fields;
		size_t count;
		int (*print)(struct printer *printer, const struct forms_cache *cache,
			     struct err *err);
	} tables[] = {
		{ size_fields, COUNT(size_fields), print_sizes },
		{ use_fields, COUNT(use_fields), print_use },
		{ disk_fields, COUNT(disk_fields), print_disk },
	};

	for (size_t t = 0; t < COUNT(tables); t++) {
		autoprinter struct printer *printer =
			tool_printer(tool, "", tables[t].fields, tables[t].count);

		if (!printer)
			return err_set(err, ERR_BUG, "no printer");
		if (t > 0 && write(STDOUT_FILENO, "\n", 1) != 1)
			return err_set(err, ERR_IO, "cannot write the output");
		for (size_t i = 0; i < forms->count; i++) {
			if (tables[t].print(printer, &forms->caches[i], err) < 0)
				return -1;
		}
		if (print_finish(&printer, err) < 0)
			return -1;
	}
	return forms->holders.count > 0 ? print_holders(tool, forms, err) : 0;
}
