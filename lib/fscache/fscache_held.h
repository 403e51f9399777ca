/* Files of a cache that were deleted and that somebody still has open: their blocks
 * are in use, and no log and no directory tells of them.
 *
 * In two steps, since only root sees what the processes of others have open, and nothing
 * else of a cache is to be looked at as root. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/vec.h"

/* A process and what it holds of one cache. */
struct fscache_holder {
	size_t cache; /* index of its path */
	int64_t pid;
	char command[32]; /* "imap"; may be anything */
	uint64_t files, bytes;
};
VEC(fscache_holder_vec, struct fscache_holder);

/* Of one cache, each file once. */
struct fscache_held {
	uint64_t files, bytes;
	bool is_known; /* else there may be more */
};

/* A handle of a deleted file, of whatever directory. */
struct fscache_held_handle {
	char *path; /* that it had */
	size_t cache;
	uint64_t inode, bytes;
	int64_t pid;
	char command[32];
};
VEC(fscache_held_handle_vec, struct fscache_held_handle);

struct fscache_held_look {
	struct fscache_held_handle_vec handles;
	bool all; /* processes were looked at; only root may */
};

/* Ask /proc. */
void fscache_held_look(struct fscache_held_look *look_r);
void fscache_held_free(struct fscache_held_look *look);

/* Which of them are of these caches: `held_r` has an item for each path (absolute). Once for
 * a look. */
void fscache_held_sum(struct fscache_held_look *look, const struct str_vec *paths,
		      struct fscache_held *held_r, struct fscache_holder_vec *holders);
