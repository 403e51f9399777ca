/* A consistent copy of a live unit, without copying.
 *
 * Under a read lock on Dovecot's transaction log (which every commit takes a
 * write lock on) all files are opened and their sizes noted; then the lock is
 * let go. What follows is stable without it: the log only grows, and a reader
 * takes just the noted size; dovecot.index and everything written by rename stays what
 * the handle shows. dovecot.index.cache changes in place: it stays locked for
 * reading until snapshot_unlock(), and may only be newer than the log, never older. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "bundle/bundle.h"
#include "metacache/unit.h"

struct snapshot {
	struct unit_file_vec files;    /* as they were under the lock */
	struct bundle_source *sources; /* for bundle_pack(); names and handles are owned here */
	size_t source_count;
};

/* -1 ERR_BUSY with `again` when Dovecot keeps the lock longer than timeout_ms, or
 * files come and go all the time. */
int snapshot_take(int unitfd, const struct unit *unit, const struct unit_rules *rules,
		  int64_t timeout_ms, struct snapshot *snapshot_r, struct err *err);

/* All that is wanted of the caches was read: let them go. To be called before anything that
 * waits, since Dovecot may wait for a cache with the folder's log locked (an expunge does). */
void snapshot_unlock(const struct snapshot *snapshot);
void snapshot_free(struct snapshot *snapshot);
#define autosnapshot CLEANUP(snapshot_free)
