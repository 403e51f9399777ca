/* How fast a cache evicts: what its log tells of the last ten minutes. A log that is
 * rewritten loses the lines, so a few checkpoints of that time are taken over. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fscache/fscache_log.h"

#define FSCACHE_RATE_WINDOW_S 600
#define FSCACHE_RATE_APART_S 60
#define FSCACHE_RATE_POINTS (FSCACHE_RATE_WINDOW_S / FSCACHE_RATE_APART_S + 2)

struct fscache_rate {
	/* How many had been evicted by then: the first is where the window begins, or the
	 * earliest in it that is known; then the first checkpoint in it, and others a minute
	 * or more apart. */
	struct {
		int64_t when_s;
		uint64_t evictions;
	} points[FSCACHE_RATE_POINTS];
	size_t count; /* at least 1 */
};

/* Of a log that was read to its end. Of a large one only the end is looked at. 0 or -1. */
int fscache_rate_read(const struct fscache_log *log, int64_t now_s, struct fscache_rate *rate_r,
		      struct err *err);

/* `evictions` are those of the log by now. */
uint64_t fscache_rate_per_minute(const struct fscache_rate *rate, uint64_t evictions,
				 int64_t now_s);
