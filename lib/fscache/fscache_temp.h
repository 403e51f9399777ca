/* The temporary of a fetch under way, which is also the lock that lets one fetch a
 * key while others wait. Private to this folder, but for the name of its folder and
 * how it is locked: a temporary that nobody has locked is a leftover. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/spool.h"
#include "fscache/fscache_name.h"

#define FSCACHE_TEMP_DIR "tmp"
#define FSCACHE_TEMP_LOCK_AT 0 /* one byte, OFD write lock */

/* The folder, kept open from the first fetch on. Thread-safe. */
struct fscache_temps {
	int dirfd; /* of the cache; borrowed */
	atomic_int fd;
};
void fscache_temps_init(struct fscache_temps *temps, int dirfd);
void fscache_temps_close(struct fscache_temps *temps);

struct fscache_temp {
	int folder;     /* one of the two */
	int own_folder; /* -1: that of the temps */
	int fd;         /* -1: not ours */
	uint64_t inode, size_bytes;
	char name[33];
};

/* Take the temporary of a key. 1: ours, and empty; 0: somebody has it and did not end within
 * wait_ms; -1. Then look again whether the object is there: somebody may just have
 * completed it. */
int fscache_temp_take(struct fscache_temps *temps, const struct fscache_name *name, int64_t wait_ms,
		      struct fscache_temp *temp_r, struct err *err);

/* Fill it, from its start. */
int fscache_temp_write(struct fscache_temp *temp, const struct spool *content, struct err *err);

/* Its blocks in use. ERR_TEMP where somebody has removed it. */
int fscache_temp_bytes(const struct fscache_temp *temp, uint64_t *bytes_r, struct err *err);

/* Whether it still has its name: then it is not the object. */
bool fscache_temp_is_there(const struct fscache_temp *temp);

/* Under the log's lock: make it the object. The handle, no longer locked, or -1: ERR_TEMP
 * where somebody has removed it; what took its place is no object either. */
int fscache_temp_rename(struct fscache_temp *temp, int folder, const char *file, struct err *err);

/* Remove it if it is still there, and let others go on. */
void fscache_temp_end(struct fscache_temp *temp);
#define autofscachetemp CLEANUP(fscache_temp_end)
#define FSCACHE_TEMP_NONE                                                                          \
	{                                                                                          \
		.folder = -1, .own_folder = -1, .fd = -1                                           \
	}
