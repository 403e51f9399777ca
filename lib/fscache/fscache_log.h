/* fscache.log: what a cache directory holds, known without looking at it. The
 * lines are described in fscache_record.h.
 *
 * Who appends has the log's lock, an OFD write lock on its first byte, and has
 * read to its end; so do eviction, compaction and rescan's two looks at the log.
 * A + line is written before its object gets its name, a - line after its object
 * was unlinked, both under one hold of the lock: a kill between makes the log say
 * more than there is, never less. Reading takes no lock.
 *
 * Each line is one O_APPEND write. One that did not fit on the disk, or whose object could
 * not get its name, is taken back, and a torn last line, which a kill may leave, is cut off by
 * the next who locks.
 *
 * A struct fscache_log remembers how far it has read. The log may at any time be
 * replaced (compaction, rescan), removed or cut short by somebody: then it is read
 * again from its last checkpoint. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "fscache/fscache_record.h"

#define FSCACHE_LOG_FILE "fscache.log"
#define FSCACHE_LOG_NEW "fscache.log.new" /* being written by who has the lock, or a leftover */
#define FSCACHE_LOG_HEADER "fscache.log 1\n"
#define FSCACHE_LOG_START (sizeof FSCACHE_LOG_HEADER - 1) /* of its first record */
#define FSCACHE_LOG_CHECKPOINT_BYTES 65536                /* of log from one to the next */
#define FSCACHE_LOG_COMPACT_BYTES (1 << 20)               /* a smaller log is left alone */
#define FSCACHE_LOG_TAIL 32

struct fscache_log {
	int dirfd; /* of the cache; borrowed */
	int fd;    /* -1: not open yet; owned */
	bool writable;
	uint64_t inode;
	uint64_t offset;              /* read up to here, behind a whole line */
	uint64_t checkpoint;          /* offset of the last one; FSCACHE_LOG_START without one */
	uint64_t damaged;             /* lines seen since this log was opened that are none */
	struct fscache_totals totals; /* of all before `offset` */
	char tail[FSCACHE_LOG_TAIL];  /* what stands just before `offset` */
};

/* Nothing is opened yet. */
void fscache_log_init(struct fscache_log *log, int dirfd);

/* Safe twice; the lock, if held, is gone. */
void fscache_log_close(struct fscache_log *log);
#define autofscachelog CLEANUP(fscache_log_close)

/* For looking only: read to the end, without a lock. 1; 0 there is no log; -1: ERR_DATA
 * where it is of another version or no such log at all. Call it again to follow. */
int fscache_log_read(struct fscache_log *log, struct err *err);

/* Take the lock, make the log where there is none, and read to its end. 1; 0 not
 * within timeout_ms; -1 as above, or ERR_CANTCREATE on a full disk. */
int fscache_log_lock(struct fscache_log *log, int64_t timeout_ms, struct err *err);
void fscache_log_unlock(struct fscache_log *log);

/* Under the lock: append one record and add it to the totals. `when_s` 0 is now. On -1
 * (ERR_CANTCREATE: disk full) nothing was appended. */
int fscache_log_append(struct fscache_log *log, const struct fscache_record *record,
		       struct err *err);

/* Under the lock: undo what was appended since the log was as `before`, without another lock
 * or rewrite between. What can't be undone stays. */
void fscache_log_take_back(struct fscache_log *log, const struct fscache_log *before);

/* Under the lock: append a checkpoint; `why` is one word. */
int fscache_log_checkpoint(struct fscache_log *log, const char *why, struct err *err);

/* Under the lock: a checkpoint where FSCACHE_LOG_CHECKPOINT_BYTES were appended since
 * the last, and a compaction (fscache_rewrite.h) where more than half of a large log
 * is dead and no rescan runs. What fails here is tried again later. */
void fscache_log_tidy(struct fscache_log *log);

/* Under the lock: from now on, until this log is closed, nobody compacts it, and no
 * second rescan may run: an OFD write lock on its second byte. 1; 0 somebody holds it; -1. */
int fscache_log_hold(struct fscache_log *log, struct err *err);

/* For fscache_rewrite.c: remember what stands before `offset`. */
void fscache_log_mark(struct fscache_log *log);
