/* The 256 folders of a cache directory, opened as they are needed, no link followed. One
 * thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "fscache/fscache_name.h"

struct fscache_folders {
	int dirfd; /* borrowed */
	int fds[FSCACHE_FOLDERS];
};

void fscache_folders_init(struct fscache_folders *folders, int dirfd);
void fscache_folders_close(struct fscache_folders *folders);
#define autofscachefolders CLEANUP(fscache_folders_close)

/* The bytes in use by a regular file with this inode and name. false where there is none. */
bool fscache_folders_look(struct fscache_folders *folders, unsigned folder, const char *name,
			  uint64_t inode, uint64_t *bytes_r);

/* 1 unlinked, 0 there was none, -1 with errno. */
int fscache_folders_unlink(struct fscache_folders *folders, unsigned folder, const char *name);
