/* A log written anew: fscache.log.new, renamed over fscache.log. For compaction,
 * and for a rescan that found the log wrong.
 *
 * All of it under the log's lock; afterwards the lock is that of the new log, and
 * still held. Killed in between, the old log is in force and the leftover goes with
 * the next rewrite. Nothing is fsynced: a cache that has seen a crash of its host
 * is not to be trusted anyway. */
#pragma once

#include "fscache/fscache_log.h"

struct fscache_rewrite {
	struct fscache_log *log; /* borrowed */
	int fd;
	uint64_t size;
	struct fscache_totals totals;
	struct buf out;
};

/* 0, or -1. */
int fscache_rewrite_begin(struct fscache_rewrite *rewrite, struct fscache_log *log,
			  struct err *err);

/* One entry of the queue, the oldest first: time, bytes, inode and name count. */
int fscache_rewrite_add(struct fscache_rewrite *rewrite, const struct fscache_record *entry,
			struct err *err);

/* Complete it with a checkpoint (files and bytes are those of the entries, the
 * counters go on), after some that keep what fscache_rate.h tells, and put it in place.
 * `why` is one word. On -1 the old log stays. */
int fscache_rewrite_commit(struct fscache_rewrite *rewrite, const char *why, struct err *err);

/* Drop what was not committed; safe after a commit, and twice. */
void fscache_rewrite_end(struct fscache_rewrite *rewrite);
#define autorewrite CLEANUP(fscache_rewrite_end)

/* The same queue without what lies before the cursor. 0 or -1. */
int fscache_rewrite_compact(struct fscache_log *log, struct err *err);
