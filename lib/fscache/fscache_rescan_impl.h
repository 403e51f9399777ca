/* What the parts of a rescan share. Not for others. */
#pragma once

#include <pthread.h>

#include "base/buf.h"
#include "fscache/fscache_folders.h"
#include "fscache/fscache_log.h"
#include "fscache/fscache_rescan.h"
#include "fscache/fscache_table.h"

struct rescan {
	const struct fscache_rescan_options *options;
	struct fscache_rescan_report *report;
	int dirfd;
	int64_t expire_before_s;

	struct fscache_log log;
	struct fscache_folders folders;
	struct fscache_table *table;   /* the queue */
	struct fscache_table *changed; /* names that the log has had lines of since it was noted */

	pthread_mutex_t lock; /* of what follows, while threads look at the directory */
	struct err err;
	int unlogged_fd; /* lines of files that are not in the table */
	uint64_t unlogged_size;
	struct buf unlogged;
	struct fscache_rescan_count unlogged_deleted;
};

static inline void rescan_count(struct fscache_rescan_count *count, uint64_t bytes)
{
	count->files++;
	count->bytes += bytes;
}

/* Whether this is a cache that can be looked at, and what became of its log. 0 or -1. */
int fscache_rescan_probe(struct rescan *rescan, struct err *err);

/* Look at the whole directory: the table says what of it is there, what is not in it is
 * noted, what is too old is deleted. */
int fscache_rescan_look(struct rescan *rescan, struct err *err);

/* Count and say what does not belong there. Thread-safe. */
void fscache_rescan_strange(void *ctx, const char *path, const char *what);

/* Note an object that is on disk and not in the table. Under the mutex. */
int fscache_rescan_unlogged_add(struct rescan *rescan, const struct fscache_record *record,
				struct err *err);

/* What of that is still so: `fn` for each, in any order. 0; -1 what fn or reading returned. */
int fscache_rescan_unlogged_each(struct rescan *rescan,
				 int (*fn)(void *ctx, struct fscache_record *record,
					   unsigned folder, struct err *err),
				 void *ctx, struct err *err);

/* Write the log anew, under its lock. 1; 0 the queue is not what the table holds, so that
 * all has to be done again; -1. report->now is what is in it. */
int fscache_rescan_write(struct rescan *rescan, struct err *err);

/* Delete some objects, whichever are found first, so that a log can be written. */
int fscache_rescan_make_room(struct rescan *rescan, struct err *err);
