/* What fscache-status read, and the forms in which it tells it. */
#pragma once

#include "common/common_check.h"
#include "fscache/fscache_held.h"
#include "fscache/fscache_status.h"
#include "tool/tool.h"

struct forms_cache {
	const char *path;
	struct fscache_status status;
	struct fscache_held held;
	uint64_t wanted_bytes; /* size of a filesystem that is large enough; 0: no limit is known */
	struct err err;
};

struct forms {
	int64_t now_s;
	struct forms_cache *caches;
	size_t count;
	struct fscache_holder_vec holders;
	bool all_processes; /* were looked at */
};

/* Rounded down; 0 of nothing. */
static inline uint64_t forms_percent(uint64_t part, uint64_t whole)
{
	return whole > 0 ? (uint64_t)((unsigned __int128)part * 100 / whole) : 0;
}

/* After how many seconds an object is evicted, if this goes on; 0: not for want of room. */
uint64_t forms_turnover(const struct forms_cache *cache);

/* By how much more the disk holds than the log says. */
static inline int64_t forms_off(const struct forms_cache *cache)
{
	return (int64_t)(cache->status.bytes - cache->status.totals.bytes);
}

/* Tables one below the other, in the tool's format. */
int tables_print(struct tool *tool, const struct forms *forms, struct err *err);

/* One JSON document in a line. */
void document_print(const struct forms *forms, struct buf *out);

/* Prometheus' text exposition format. */
void metrics_print(const struct forms *forms, struct buf *out);

/* Thresholds: warning, critical. */
struct check_limits {
	uint64_t disk_percent[2];
	uint64_t turnover_s[2]; /* less is a problem */
	uint64_t deleted_percent[2];
	uint64_t off_percent[2];
};

/* One line with performance data; returns the worst. */
enum common_check_code check_print(const struct forms *forms, const struct check_limits *limits,
				   struct buf *out);
