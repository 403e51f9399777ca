/* Files of a cache that were deleted and that somebody still has open: their blocks
 * are in use, and no log and no directory tells of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
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
};

/* Ask /proc. `held_r` has an item for each path (absolute). *all_r is false where some
 * process could not be looked at: only root sees those of others. 0 or -1. */
int fscache_held_find(const struct str_vec *paths, struct fscache_held *held_r,
		      struct fscache_holder_vec *holders, bool *all_r, struct err *err);
