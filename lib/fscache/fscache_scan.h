/* Every entry of a cache directory, looked at once, by several threads: what it
 * holds and how many blocks each file uses. It reads no file and changes nothing.
 *
 * The directory is walked as it is while others add to it and remove from it. A
 * file that is there all the time is seen exactly once; one that comes or goes
 * meanwhile may or may not be seen. Each folder is opened once, no link followed,
 * and everything in it is looked at through that handle: what is put in its place
 * afterwards is not seen. A folder that is a link, or on another filesystem, is
 * foreign and not entered. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define FSCACHE_SCAN_FILES 1400

/* A regular file in one of the 256 folders; whether it is an object its name tells
 * (fscache_name.h). */
struct fscache_scan_file {
	unsigned folder;
	int folder_fd; /* while the call lasts */
	const char *name;
	uint64_t ino;
	uint64_t bytes; /* in use on disk: st_blocks * 512 */
	int64_t mtime_s;
};

struct fscache_scan {
	int dirfd;
	unsigned threads; /* 0: as many as were found to be good */

	/* Some more files of one folder, at most FSCACHE_SCAN_FILES. Calls for one folder come one
	 * after another from one thread, those for different folders at once. */
	void (*files)(void *ctx, const struct fscache_scan_file *files, size_t count);

	/* What is neither the cache's own nor a regular file in a folder: `path` is
	 * below the directory, `what` "a link", "a directory", … From any thread. */
	void (*foreign)(void *ctx, const char *path, const char *what);
	void *ctx;
};

/* 0 when all of it was seen; -1 when anything could not be (ERR_NOPERM, ERR_IO,
 * …; the message names it): then nothing is known of the whole. */
int fscache_scan(const struct fscache_scan *scan, struct err *err);
