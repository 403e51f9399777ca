/* The filesystem that a cache directory is on. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct fscache_disk {
	uint64_t size_bytes;
	uint64_t avail_bytes; /* to those who are not root */
};

/* 0, or -1: ERR_DATA on ZFS, where a file's blocks say little about what it takes
 * (compression, delayed writes), so that no size in them can be kept right. */
int fscache_disk_look(int dirfd, struct fscache_disk *disk_r, struct err *err);
