/* Files and directories under a root that no link can lead out of.
 *
 * Every path here is relative to a directory handle, and no symbolic link is
 * followed at any component (openat2 RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS, or a
 * walk component by component where the kernel lacks it). ".." and absolute
 * paths are refused. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Open a root: an absolute path of a directory; links in it are the operator's
 * own choice and are followed. The handle, or -1. */
int fsx_open_root(const char *path, struct err *err);

/* Like openat(), confined. Returns the handle or -1 with errno (ELOOP or EXDEV
 * where a link or ".." is in the way). */
int fsx_openat(int dirfd, const char *path, int flags, mode_t mode);

/* A directory for reading its entries; "" or "." is dirfd itself. -1 with errno. */
int fsx_opendir(int dirfd, const char *path);

/* Make the directory and those above it that are missing. 0 or -1. */
int fsx_mkdirs(int dirfd, const char *path, mode_t mode, struct err *err);

/* The whole of a file of at most `max` bytes, appended to `out`. 1 read, 0 there
 * is none, -1 (a larger one is ERR_DATA, anything but a regular file too). */
int fsx_read(int dirfd, const char *path, size_t max, struct buf *out, struct err *err);

struct fsx_stat {
	uint64_t ino;
	uint64_t size_bytes;
	int64_t mtime_ns;
	mode_t mode; /* type and permission bits */
};

/* lstat by one name in an open directory. 1, 0 nothing there, -1 with errno. */
int fsx_stat(int dirfd, const char *name, struct fsx_stat *stat_r);
int fsx_fstat(int fd, struct fsx_stat *stat_r);

/* What no other directory or file on this filesystem has ever had: inode and time
 * of birth. 1; 0 where the filesystem keeps no birth times; -1 with errno. */
struct fsx_birth {
	uint64_t ino;
	int64_t born_ns;
};
int fsx_birth(int fd, struct fsx_birth *birth_r);

/* Replace `name` in dirfd atomically: temporary, write, rename. Not fsynced
 * unless `durable` (then file and directory are). stat_r (may be NULL) is that
 * of the new file. A failure leaves the old file and no temporary; a kill may leave
 * a temporary named ".<name>.tmp", which the next call replaces: callers serialise
 * writers by a lock of their own. */
int fsx_replace(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
		bool durable, struct fsx_stat *stat_r, struct err *err);

/* Whether a name is a leftover or running temporary of fsx_replace(). */
bool fsx_is_temporary(const char *name);

/* Remove a file or a whole tree; links are removed, never followed. Nothing there
 * counts as removed. 0 or -1; what could be removed is. */
int fsx_remove_tree(int dirfd, const char *name, struct err *err);

/* Entries of a directory, without "." and "..". No allocation but the one made
 * when opened. */
struct fsx_dir {
	int fd; /* owned */
	char *block;
	size_t used, at;
};
struct fsx_entry {
	const char *name;   /* valid until the next call */
	unsigned char type; /* DT_*; DT_UNKNOWN is looked up, so never returned */
};
/* Takes the handle over in any case. */
void fsx_dir_open(struct fsx_dir *dir, int fd);
/* 1 entry, 0 end, -1 with errno. */
int fsx_dir_next(struct fsx_dir *dir, struct fsx_entry *entry_r);
void fsx_dir_close(struct fsx_dir *dir);
#define autodir CLEANUP(fsx_dir_close)
