/* What is known of a cache directory without changing anything in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "fscache/fscache_disk.h"
#include "fscache/fscache_record.h"

struct fscache_status {
	uint64_t limit_bytes; /* 0: not known */

	bool has_log;
	struct fscache_totals totals; /* what the log says */
	uint64_t log_bytes;
	uint64_t evictions_per_minute; /* of the last ten minutes */

	uint64_t dev; /* of its filesystem */
	struct fscache_disk disk;

	bool is_scanned; /* what the directory holds: */
	uint64_t files, bytes;
	uint64_t oversize_files, oversize_bytes; /* larger than what a cache of that limit keeps */
	uint64_t foreign_files, foreign_bytes;   /* in its folders, and no objects */
	uint64_t strange;                        /* other entries that do not belong there */
};

/* `scan`: look at every file, too. 0, or -1: ERR_DATA for ZFS or a log of another version,
 * and what fscache_scan() says; what is known by then is in status_r. */
int fscache_status_read(int dirfd, uint64_t limit_bytes, bool scan, struct fscache_status *status_r,
			struct err *err);
