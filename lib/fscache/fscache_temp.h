/* The temporary of a fetch under way, which is also the lock that lets one fetch a
 * key while others wait. Private to this folder, but for the name of its folder and
 * how it is locked: a temporary that nobody has locked is a leftover. */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/spool.h"
#include "fscache/fscache_name.h"

#define FSCACHE_TEMP_DIR "tmp"
#define FSCACHE_TEMP_LOCK_AT 0 /* one byte, OFD write lock */

struct fscache_temp {
	int folder; /* tmp/ */
	int fd;     /* -1: not ours */
	uint64_t inode;
	char name[33];
};

/* Take the temporary of a key. 1: ours, and empty; 0: somebody has it and did not end within
 * wait_ms; -1. Then look again whether the object is there: somebody may just have
 * completed it. */
int fscache_temp_take(int dirfd, const struct fscache_name *name, int64_t wait_ms,
		      struct fscache_temp *temp_r, struct err *err);

/* Fill it, from its start. */
int fscache_temp_write(const struct fscache_temp *temp, const struct spool *content,
		       struct err *err);

/* Open it for reading. The handle or -1; its blocks in use as bytes. */
int fscache_temp_open(const struct fscache_temp *temp, uint64_t *bytes_r, struct err *err);

/* Make it the object. */
int fscache_temp_rename(struct fscache_temp *temp, int folder, const char *file, struct err *err);

/* Remove it if it is still there, and let others go on. */
void fscache_temp_end(struct fscache_temp *temp);
#define autofscachetemp CLEANUP(fscache_temp_end)
