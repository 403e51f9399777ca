/* Making room, in the order of the log. */
#pragma once

#include "fscache/fscache_log.h"

/* Under the log's lock: remove objects until what is left is at most `keep_bytes`, the
 * oldest first; one that was used since it was last looked at is queued again, once.
 * 0, or -1: ERR_CANTCREATE where what is left cannot be removed, or the log not be
 * written; what was removed stays so. *evictions_r grows by the files removed. */
int fscache_evict(struct fscache_log *log, uint64_t keep_bytes, uint64_t *evictions_r,
		  struct err *err);
