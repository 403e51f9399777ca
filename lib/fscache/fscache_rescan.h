/* Make fscache.log say what the cache directory holds, and say whether it did.
 *
 * Others may add, read, evict and plainly remove meanwhile: the log's queue is
 * noted under its lock, the directory is looked at without one, then what the log
 * got meanwhile is replayed under the lock. A right log gets a checkpoint; a wrong one is
 * written anew, in the old order, with what the disk has and the log had not at
 * the end. Killed at any instruction, the old log or the new one is in force. On a
 * full disk the objects at the head of the queue make way for the new log. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum fscache_rescan_log {
	FSCACHE_RESCAN_WHOLE,
	FSCACHE_RESCAN_TORN, /* its last line was not complete */
	FSCACHE_RESCAN_LOST, /* there was none */
};

struct fscache_rescan_count {
	uint64_t files, bytes;
};

struct fscache_rescan_report {
	enum fscache_rescan_log log;
	bool right;    /* the log had files and bytes as they are */
	bool repaired; /* the log was written anew */

	struct fscache_rescan_count tracked; /* what the log said */
	struct fscache_rescan_count found;   /* what was on disk, before anything was deleted */
	struct fscache_rescan_count now;     /* what is there, and in the log, afterwards */

	/* Why they differ. */
	struct fscache_rescan_count unlogged; /* on disk and not in the log */
	struct fscache_rescan_count missing;  /* in the log and not on disk */
	uint64_t resized_files;               /* in both, with other bytes */
	int64_t resized_bytes;                /* by so much more on disk */
	int64_t miscounted_bytes;             /* the log's total was more than its entries */
	uint64_t damaged_lines;

	struct fscache_rescan_count expired; /* deleted: older than max_age_s */
	struct fscache_rescan_count evicted; /* deleted to make room for the new log */
	struct fscache_rescan_count foreign; /* regular files in the folders that are no objects */
	struct fscache_rescan_count leftovers; /* temporaries of killed programs, deleted */
	uint64_t strange; /* entries that do not belong there and are no such files */
};

struct fscache_rescan_options {
	int64_t max_age_s; /* files fetched longer ago are deleted; 0: none. Foreign ones
			      too, unless there was no log to prove that this is a cache */
	unsigned threads;  /* 0: as many as were found to be good */

	/* Entries that do not belong there; from any thread; may be NULL. */
	void (*foreign)(void *ctx, const char *path, const char *what);
	/* `files` more were looked at, of about `total`. From any thread; may be NULL. */
	void (*progress)(void *ctx, uint64_t files, uint64_t total);
	void *ctx;
};

/* 0, or -1: ERR_BUSY while another rescan runs or somebody keeps the log locked; ERR_DATA
 * when the log is of another version, or this is no cache, or its filesystem's block
 * counts are no measure (ZFS); ERR_NOPERM, ERR_IO, … when any of it could not be looked
 * at: then the log is as it was. */
int fscache_rescan(int dirfd, const struct fscache_rescan_options *options,
		   struct fscache_rescan_report *report_r, struct err *err);
