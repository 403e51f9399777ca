#include "common/common_metrics.h"
#include "fscache-status/forms.h"

enum needs { LOG, LIMIT, SCAN, HELD, DISK };

struct metric {
	const char *name, *type, *help;
	enum needs needs;
	uint64_t (*value)(const struct forms_cache *cache);
};

#define VALUE(name, expression)                                                                    \
	static uint64_t name(const struct forms_cache *cache)                                      \
	{                                                                                          \
		return cache->expression;                                                          \
	}

VALUE(files, status.totals.files)
VALUE(bytes, status.totals.bytes)
VALUE(limit, status.limit_bytes)
VALUE(hits, status.totals.hits)
VALUE(misses, status.totals.misses)
VALUE(passed, status.totals.passed)
VALUE(evictions, status.totals.evictions)
VALUE(log_bytes, status.log_bytes)
VALUE(real_files, status.files)
VALUE(real_bytes, status.bytes)
VALUE(oversize_files, status.oversize_files)
VALUE(foreign_files, status.foreign_files)
VALUE(deleted_files, held.files)
VALUE(deleted_bytes, held.bytes)
VALUE(disk_size, status.disk.size_bytes)
VALUE(disk_avail, status.disk.avail_bytes)

static const struct metric metrics[] = {
	{ "fscache_files", "gauge", "Objects in the cache, as its log says.", LOG, files },
	{ "fscache_used_bytes", "gauge", "Blocks in use, as the log says.", LOG, bytes },
	{ "fscache_limit_bytes", "gauge", "What the cache may use.", LIMIT, limit },
	{ "fscache_hits_total", "counter", "Objects that were in the cache.", LOG, hits },
	{ "fscache_misses_total", "counter", "Objects that were fetched and kept.", LOG, misses },
	{ "fscache_passed_total", "counter", "Objects that were fetched and not kept.", LOG,
	  passed },
	{ "fscache_evictions_total", "counter", "Objects that were evicted, or found to be gone.",
	  LOG, evictions },
	{ "fscache_log_size_bytes", "gauge", "Size of fscache.log.", LOG, log_bytes },
	{ "fscache_real_files", "gauge", "Objects on disk.", SCAN, real_files },
	{ "fscache_real_bytes", "gauge", "Blocks in use on disk.", SCAN, real_bytes },
	{ "fscache_oversize_files", "gauge", "Files larger than half of the limit.", SCAN,
	  oversize_files },
	{ "fscache_foreign_files", "gauge", "Files in the folders that are no objects.", SCAN,
	  foreign_files },
	{ "fscache_deleted_open_files", "gauge", "Deleted files that somebody still has open.",
	  HELD, deleted_files },
	{ "fscache_deleted_open_bytes", "gauge", "Blocks that those use.", HELD, deleted_bytes },
	{ "fscache_filesystem_size_bytes", "gauge", "Size of the cache's filesystem.", DISK,
	  disk_size },
	{ "fscache_filesystem_avail_bytes", "gauge", "What is free on it.", DISK, disk_avail },
};

static bool has(const struct forms_cache *cache, enum needs needs)
{
	switch (needs) {
	case LOG:
		return cache->status.has_log;
	case LIMIT:
		return cache->status.limit_bytes > 0;
	case SCAN:
		return cache->status.is_scanned;
	case HELD:
		return cache->held.is_known;
	case DISK:
		return cache->status.disk.size_bytes > 0;
	}
	return false;
}

/* What is not known is not there, rather than 0. */
void metrics_print(const struct forms *forms, struct buf *out)
{
	for (size_t m = 0; m < sizeof metrics / sizeof *metrics; m++) {
		const struct metric *metric = &metrics[m];
		bool is_first = true;

		for (size_t i = 0; i < forms->count; i++) {
			const struct forms_cache *cache = &forms->caches[i];

			if (!has(cache, metric->needs))
				continue;
			if (is_first)
				common_metrics_family(out, metric->name, metric->type,
						      metric->help);
			is_first = false;
			buf_printf(out, "%s{path=\"", metric->name);
			common_metrics_label(out, cache->path);
			buf_printf(out, "\"} %llu\n", (unsigned long long)metric->value(cache));
		}
	}
}
