/* Mail objects through a cache on the local disk.
 *
 *   <path>/fscache.log           what is here (fscache_log.h)
 *   <path>/<xx>/<name>           an object (fscache_name.h)
 *   <path>/tmp/<hash of key>     being fetched; its maker holds an OFD write lock
 *                                on its first byte
 *
 * A hit is an open and an fstat, and touches no log: that an object was used is
 * noted in its mode (the owner's x bit), by the first hit since it was last looked
 * at. What was not there is fetched, by one thread of one process while the others
 * wait for it. When the limit is reached, objects go in the order in which they came,
 * but for those that were used since (second chance); nothing is ever scanned.
 *
 * The cache is never a reader's problem: where it can't be used (a full disk, a log
 * of another version, ZFS, somebody who holds a lock for too long) the object is fetched
 * all the same and passed through, and `trouble` says why. What stays an error is
 * what the store says.
 *
 * The disk holds at most the limit and one temporary for each who fetches. Nothing
 * is fsynced: after a crash of the host a cache is to be thrown away.
 *
 * Thread-safe; any number of processes may use one directory. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/spool.h"

struct fscache;

/* Fetch an object, as store_get() does: 1 found, 0 no such object, -1. */
typedef int fscache_get_fn(void *ctx, const char *key, struct spool *into, struct err *err);

struct fscache_options {
	/* Absolute, and may hold %variables: then each directory that it expands to is
	 * a cache of its own, with the whole limit. What is missing is made. */
	const char *path;
	const char *user;       /* for the %variables; NULL where there are none */
	uint64_t limit_bytes;   /* of blocks in use */
	unsigned share_percent; /* of the limit: a larger object is passed through; 0: 50 */
	const char *spool_dir;  /* for objects too large for memory; NULL: memory only */
	int64_t wait_ms;        /* for the same fetch by somebody else, then fetch too; 0: 30 s */
	fscache_get_fn *get;
	void *get_ctx;
};

/* 0; -1 only for a path that is none (ERR_CONFIG, ERR_USAGE): a directory that can't be
 * used is trouble of each object. The texts are copied. */
int fscache_new(const struct fscache_options *options, struct fscache **cache_r, struct err *err);

/* Writes down what was counted and not yet logged. NULL-safe. */
void fscache_free(struct fscache **cache);
#define autofscache CLEANUP(fscache_free)

/* The expanded directory. */
const char *fscache_path(const struct fscache *cache);

enum fscache_outcome {
	FSCACHE_HIT,
	FSCACHE_MISS,   /* fetched, and in the cache now */
	FSCACHE_PASSED, /* fetched, and not kept */
};

/* An object open for reading. It stays readable whatever happens to the cache. */
struct fscache_object {
	enum fscache_outcome outcome;
	uint64_t size_bytes;
	int fd; /* of the file, at its start, and only to be read (after a miss it is the
		   handle it was written with); -1: it is in the spool */
	struct spool *spool; /* NULL with fd */
	/* Of what was passed through: why it could not be kept. ERR_NONE: it is not to be,
	 * being empty or too large a share of the limit, or its key too long for a file's
	 * name. */
	struct err trouble;
};

/* 1; 0 there is no such object; -1: ERR_USAGE for a key that store_key_check()
 * refuses, else what the store says. */
int fscache_open(struct fscache *cache, const char *key, struct fscache_object *object_r,
		 struct err *err);
void fscache_object_close(struct fscache_object *object);
#define autoobject CLEANUP(fscache_object_close)

/* Up to `len` bytes from `offset`; the number read, 0 at the end, -1. */
ssize_t fscache_object_read(const struct fscache_object *object, uint64_t offset, void *out,
			    size_t len, struct err *err);

/* What was asked of this struct. */
struct fscache_counters {
	uint64_t hits, misses, passed, evictions;
};
void fscache_counters(const struct fscache *cache, struct fscache_counters *counters_r);
