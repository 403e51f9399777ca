/* A cache in a scratch directory, and a store that makes up its objects: the key
 * "<size>/<anything>" is an object of so many bytes. */
#pragma once

#include "../scratch.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "fscache/fscache.h"
#include "fscache/fscache_log.h"
#include "fscache/fscache_name.h"

struct source {
	atomic_int gets;
	int slow_ms;
	int count_fd; /* one byte for each get, for several processes; 0: none */
	struct err fail;
	void (*meanwhile)(const void *arg); /* what somebody does during a get; may be NULL */
	const void *meanwhile_arg;
};

static inline char source_byte(const char *key, size_t i)
{
	return key[i % strlen(key)];
}

static inline int source_get(void *ctx, const char *key, struct spool *into, struct err *err)
{
	struct source *source = ctx;
	size_t size = (size_t)atol(key);
	char block[4096];

	source->gets++;
	if (source->count_fd && write(source->count_fd, "g", 1) != 1)
		return -1;
	if (source->meanwhile)
		source->meanwhile(source->meanwhile_arg);
	if (source->slow_ms)
		clock_sleep_ms(source->slow_ms);
	if (source->fail.code) {
		*err = source->fail;
		return -1;
	}
	if (strncmp(key, "none", 4) == 0)
		return 0;
	for (size_t at = 0; at < size; at += sizeof block) {
		size_t len = size - at < sizeof block ? size - at : sizeof block;

		for (size_t i = 0; i < len; i++)
			block[i] = source_byte(key, at + i);
		if (spool_write(into, block, len, err) < 0)
			return -1;
	}
	return 1;
}

/* Whether the object is that of the key; for threads and children too. */
static inline bool is_content(const struct fscache_object *object, const char *key)
{
	char block[4096];
	uint64_t at = 0;
	ssize_t n;

	while ((n = fscache_object_read(object, at, block, sizeof block, NULL)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (block[i] != source_byte(key, at + (size_t)i))
				return false;
		at += (uint64_t)n;
	}
	return n == 0 && at == (uint64_t)atol(key) && object->size_bytes == at;
}

static inline struct fscache *cache_of(const struct scratch *scratch, const char *folder,
				       uint64_t limit, struct source *source)
{
	autofree char *path = xasprintf("%s/%s", scratch->path, folder);
	struct fscache_options options = {
		.path = path,
		.limit_bytes = limit,
		.wait_ms = 20000,
		.spool_dir = scratch->path,
		.get = source_get,
		.get_ctx = source,
	};
	struct fscache *cache;

	assert_int_equal(fscache_new(&options, &cache, NULL), 0);
	return cache;
}

/* Open, check content and outcome, close. The trouble is returned. */
static inline struct err read_through(struct fscache *cache, const char *key,
				      enum fscache_outcome expected)
{
	autoobject struct fscache_object object;
	struct err err = { 0 };

	if (fscache_open(cache, key, &object, &err) != 1)
		fail_msg("%s: %s", key, err.msg);
	if (object.outcome != expected)
		fail_msg("%s: outcome %d: %s", key, (int)object.outcome, object.trouble.msg);
	assert_true(is_content(&object, key));
	return object.trouble;
}

/* Whether the object is in the cache, without asking it. */
static inline bool is_kept(const struct scratch *scratch, const char *folder, const char *key)
{
	struct fscache_name name;
	autofree char *path = NULL;

	assert_true(fscache_name_of_key(key, &name));
	path = xasprintf("%s/%s", folder, name.path);
	return has(scratch->fd, path);
}

static uint64_t blocks_sum;

static inline int add_blocks(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	if (type == FTW_F && ftw->level == 2)
		blocks_sum += (uint64_t)st->st_blocks * 512;
	return 0;
}

/* What is in the folders, temporaries included. */
static inline uint64_t disk_bytes(const struct scratch *scratch, const char *folder)
{
	autofree char *path = xasprintf("%s/%s", scratch->path, folder);

	blocks_sum = 0;
	nftw(path, add_blocks, 16, FTW_PHYS);
	return blocks_sum;
}

static inline struct fscache_totals totals_of(const struct scratch *scratch, const char *folder)
{
	autofd int fd = openat(scratch->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofscachelog struct fscache_log log;

	fscache_log_init(&log, fd);
	assert_int_equal(fscache_log_read(&log, NULL), 1);
	return log.totals;
}

static inline void assert_exact(const struct scratch *scratch, const char *folder)
{
	assert_int_equal(totals_of(scratch, folder).bytes, disk_bytes(scratch, folder));
}
