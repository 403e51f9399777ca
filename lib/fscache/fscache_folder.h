/* The directory of a cache, its folders, and the objects in them. No link is
 * followed below the part of the path that the operator wrote without %variables. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "fscache/fscache_name.h"

/* Open the directory `pattern` expands to for `user` (NULL: it has no %variables);
 * make what is missing. `path` is replaced by it first. The handle, or -1 with
 * *bad_path_r where it is no path at all. */
int fscache_folder_root(const char *pattern, const char *user, struct buf *path, bool *bad_path_r,
			struct err *err);

/* Open a folder of the cache, made where it is missing. The handle or -1. */
int fscache_folder_make(int dirfd, const char *name, struct err *err);

/* The object, open for reading and marked as used. The handle, or -1: there is none that
 * can be read; `err` is set only where none can come there either (a directory). */
int fscache_folder_hit(int dirfd, const struct fscache_name *name, uint64_t *size_r,
		       struct err *err);

enum fscache_folder_gone {
	FSCACHE_FOLDER_GONE, /* it was not there, or is another file */
	FSCACHE_FOLDER_REMOVED,
	FSCACHE_FOLDER_SPARED, /* used since; no longer marked as used */
	FSCACHE_FOLDER_STUCK,  /* there, or perhaps, and cannot be removed */
};

/* Remove the object of that inode, if it was not used or `force` is set. */
enum fscache_folder_gone fscache_folder_evict(int dirfd, const struct fscache_name *name,
					      uint64_t inode, bool force);
