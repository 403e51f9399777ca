#include "fscache/fscache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fscache/fscache_disk.h"
#include "fscache/fscache_evict.h"
#include "fscache/fscache_folder.h"
#include "fscache/fscache_temp.h"
#include "store/store.h"

#define SHARE_DEFAULT 50
#define WAIT_DEFAULT_MS 30000
#define LOG_WAIT_MS 2000 /* at most: it is held for moments */
#define MEMORY_MAX ((size_t)4 * 1024 * 1024)
#define MEMORY_MAX_FULL ((size_t)1024 * 1024 * 1024) /* when there is no room in spool_dir */
#define ROOM_MORE 65536 /* beside the object: folders, a block of the log */

struct fscache {
	struct buf path;
	char *spool_dir;
	uint64_t limit_bytes, object_max_bytes;
	int64_t wait_ms;
	fscache_get_fn *get;
	void *get_ctx;
	int dirfd; /* -1: it could not be opened, and trouble says why */
	struct err trouble;
	struct fscache_temps temps;
	pthread_mutex_t mutex; /* of the log */
	struct fscache_log log;
	atomic_uint_fast64_t hits, misses, passed, evictions;
	uint64_t logged_hits, logged_passed; /* under the mutex */
};

/* The directory, where its files' blocks can be counted. The handle or -1. */
static int open_root(const struct fscache_options *options, struct buf *path, bool *bad_path_r,
		     struct err *err)
{
	autofd int fd = fscache_folder_root(options->path, options->user, path, bad_path_r, err);
	struct fscache_disk disk;

	return fd < 0 || fscache_disk_look(fd, &disk, err) < 0 ? -1 : steal_fd(&fd);
}

int fscache_new(const struct fscache_options *options, struct fscache **cache_r, struct err *err)
{
	struct fscache *cache = xcalloc(1, sizeof *cache);
	unsigned share = options->share_percent ? options->share_percent : SHARE_DEFAULT;
	bool bad_path;

	cache->spool_dir = options->spool_dir ? xstrdup(options->spool_dir) : NULL;
	cache->limit_bytes = options->limit_bytes;
	cache->object_max_bytes = options->limit_bytes / 100 * share;
	cache->wait_ms = options->wait_ms ? options->wait_ms : WAIT_DEFAULT_MS;
	cache->get = options->get;
	cache->get_ctx = options->get_ctx;
	pthread_mutex_init(&cache->mutex, NULL);
	cache->dirfd = open_root(options, &cache->path, &bad_path, &cache->trouble);
	fscache_log_init(&cache->log, cache->dirfd);
	fscache_temps_init(&cache->temps, cache->dirfd);
	if (cache->dirfd < 0 && bad_path) {
		if (err)
			*err = cache->trouble;
		fscache_free(&cache);
		return -1;
	}
	*cache_r = cache;
	return 0;
}

const char *fscache_path(const struct fscache *cache)
{
	return buf_str(&cache->path);
}

void fscache_counters(const struct fscache *cache, struct fscache_counters *counters_r)
{
	*counters_r = (struct fscache_counters){
		.hits = atomic_load(&cache->hits),
		.misses = atomic_load(&cache->misses),
		.passed = atomic_load(&cache->passed),
		.evictions = atomic_load(&cache->evictions),
	};
}

/* Other threads of this process first, then other processes. 0, or -1. */
static int lock_log(struct fscache *cache, struct err *err)
{
	int64_t wait_ms = cache->wait_ms < LOG_WAIT_MS ? cache->wait_ms : LOG_WAIT_MS;
	int64_t until = clock_mono_ms() + wait_ms, left;
	struct timespec deadline = { .tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000 };
	int ret = 0;

	if (pthread_mutex_clocklock(&cache->mutex, CLOCK_MONOTONIC, &deadline) == 0) {
		left = until - clock_mono_ms();
		ret = fscache_log_lock(&cache->log, left > 0 ? left : 0, err);
		if (ret > 0)
			return 0;
		pthread_mutex_unlock(&cache->mutex);
	}
	return ret < 0 ? -1 : err_set(err, ERR_BUSY, "%s is locked", FSCACHE_LOG_FILE);
}

static void unlock_log(struct fscache *cache)
{
	fscache_log_tidy(&cache->log);
	fscache_log_unlock(&cache->log);
	pthread_mutex_unlock(&cache->mutex);
}

/* What was counted since the last time. */
static int log_counters(struct fscache *cache, struct err *err)
{
	uint64_t hits = atomic_load(&cache->hits), passed = atomic_load(&cache->passed);
	struct fscache_record record = {
		.kind = FSCACHE_COUNTED,
		.totals = { .hits = hits - cache->logged_hits,
			    .passed = passed - cache->logged_passed },
	};

	if (record.totals.hits == 0 && record.totals.passed == 0)
		return 0;
	if (fscache_log_append(&cache->log, &record, err) < 0)
		return -1;
	cache->logged_hits = hits;
	cache->logged_passed = passed;
	return 0;
}

void fscache_free(struct fscache **cache_p)
{
	struct fscache *cache = *cache_p;

	if (!cache)
		return;
	if (cache->dirfd >= 0 &&
	    (atomic_load(&cache->hits) != cache->logged_hits ||
	     atomic_load(&cache->passed) != cache->logged_passed) &&
	    lock_log(cache, NULL) == 0) {
		log_counters(cache, NULL);
		unlock_log(cache);
	}
	fscache_log_close(&cache->log);
	fscache_temps_close(&cache->temps);
	if (cache->dirfd >= 0)
		close(cache->dirfd);
	pthread_mutex_destroy(&cache->mutex);
	buf_free(&cache->path);
	free(cache->spool_dir);
	free(cache);
	*cache_p = NULL;
}

/* Under the log's lock: evict until `need` more fit into `size` bytes. */
static int evict_for(struct fscache *cache, uint64_t size, uint64_t need, struct err *err)
{
	uint64_t evictions = 0;
	int ret = fscache_evict(&cache->log, size > need ? size - need : 0, &evictions, err);

	atomic_fetch_add(&cache->evictions, evictions);
	return ret;
}

static bool is_full(const struct err *err)
{
	return err->sys == ENOSPC || err->sys == EDQUOT;
}

/* The disk is full, whatever the limit says: give it some of ours. */
static int free_space(struct fscache *cache, uint64_t need_bytes, struct err *err)
{
	int ret;

	if (lock_log(cache, err) < 0)
		return -1;
	ret = evict_for(cache, cache->log.totals.bytes, need_bytes + ROOM_MORE, NULL);
	unlock_log(cache);
	return ret;
}

/* Under the log's lock: the log says it first, then it is there. The handle or -1. */
static int log_and_name(struct fscache *cache, const struct fscache_name *name,
			struct fscache_temp *temp, int folder, struct err *err)
{
	struct fscache_record record = {
		.kind = FSCACHE_ADDED,
		.inode = temp->inode,
		.name = fscache_name_file(name),
	};
	struct fscache_log before;
	int fd;

	if (fscache_temp_bytes(temp, &record.bytes, err) < 0 ||
	    evict_for(cache, cache->limit_bytes, record.bytes, err) < 0 ||
	    log_counters(cache, err) < 0)
		return -1;
	before = cache->log;
	if (fscache_log_append(&cache->log, &record, err) < 0)
		return -1;
	fd = fscache_temp_rename(temp, folder, fscache_name_file(name), err);
	/* Only where that is certain: the log may say too much, never too little. */
	if (fd < 0 && fscache_temp_is_there(temp))
		fscache_log_take_back(&cache->log, &before);
	return fd;
}

/* Put what was fetched into the cache. The handle for its reader, or -1. */
static int keep(struct fscache *cache, const struct fscache_name *name, struct fscache_temp *temp,
		const struct spool *content, struct err *err)
{
	autofd int folder = -1;
	int fd;

	if (fscache_temp_write(temp, content, err) < 0)
		return -1;
	folder = fscache_folder_make(cache->dirfd, fscache_name_folder(name).s, err);
	if (folder < 0 || lock_log(cache, err) < 0)
		return -1;
	fd = log_and_name(cache, name, temp, folder, err);
	unlock_log(cache);
	return fd;
}

/* Where the disk is full, once more with the room that the object needs. */
static int keep_somehow(struct fscache *cache, const struct fscache_name *name,
			struct fscache_temp *temp, const struct spool *content, struct err *err)
{
	int fd = keep(cache, name, temp, content, err);

	if (fd < 0 && is_full(err) && free_space(cache, spool_size(content), NULL) == 0)
		fd = keep(cache, name, temp, content, err);
	return fd;
}

static struct spool *fetch_into(struct fscache *cache, const char *key, const char *dir,
				size_t memory_max, int *ret_r, struct err *err)
{
	struct spool *spool = spool_new(dir, memory_max);

	*ret_r = cache->get(cache->get_ctx, key, spool, err);
	if (*ret_r <= 0)
		spool_free(&spool);
	return spool;
}

/* 1, 0 no such object, -1. */
static int fetch(struct fscache *cache, const char *key, struct spool **spool_r, struct err *err)
{
	struct err problem = { 0 };
	int ret;

	*spool_r = fetch_into(cache, key, cache->spool_dir,
			      cache->spool_dir ? MEMORY_MAX : MEMORY_MAX_FULL, &ret, &problem);
	if (ret < 0 && cache->spool_dir && is_full(&problem))
		*spool_r = fetch_into(cache, key, NULL, MEMORY_MAX_FULL, &ret, &problem);
	if (ret < 0 && err)
		*err = problem;
	return ret;
}

static bool open_hit(struct fscache *cache, const struct fscache_name *name,
		     struct fscache_object *object)
{
	object->fd = fscache_folder_hit(cache->dirfd, name, &object->size_bytes, &object->trouble);
	if (object->fd < 0)
		return false;
	object->outcome = FSCACHE_HIT;
	atomic_fetch_add_explicit(&cache->hits, 1, memory_order_relaxed);
	return true;
}

/* `temp` is NULL where the cache is not to be used. */
static int open_fetched(struct fscache *cache, const char *key, const struct fscache_name *name,
			struct fscache_temp *temp, struct fscache_object *object, struct err *err)
{
	autospool struct spool *spool = NULL;
	int ret = fetch(cache, key, &spool, err);

	if (ret <= 0)
		return ret;
	object->size_bytes = spool_size(spool);
	if (temp && object->size_bytes > 0 && object->size_bytes <= cache->object_max_bytes)
		object->fd = keep_somehow(cache, name, temp, spool, &object->trouble);
	if (object->fd < 0)
		object->spool = steal_ptr(&spool);
	else
		err_clear(&object->trouble);
	object->outcome = object->fd < 0 ? FSCACHE_PASSED : FSCACHE_MISS;
	atomic_fetch_add(object->fd < 0 ? &cache->passed : &cache->misses, 1);
	return 1;
}

/* Whether the fetch is ours; trouble says why it is to be passed through. */
static bool take_temp(struct fscache *cache, const struct fscache_name *name,
		      struct fscache_temp *temp, struct err *trouble)
{
	int ret = fscache_temp_take(&cache->temps, name, cache->wait_ms, temp, trouble);

	if (ret < 0 && is_full(trouble) && free_space(cache, 0, NULL) == 0) {
		fscache_temp_end(temp);
		ret = fscache_temp_take(&cache->temps, name, cache->wait_ms, temp, trouble);
	}
	if (ret > 0)
		err_clear(trouble);
	else if (ret == 0)
		err_set(trouble, ERR_BUSY, "somebody else fetches it, for too long");
	return ret > 0;
}

int fscache_open(struct fscache *cache, const char *key, struct fscache_object *object_r,
		 struct err *err)
{
	autofscachetemp struct fscache_temp temp = FSCACHE_TEMP_NONE;
	struct fscache_name name;

	*object_r = (struct fscache_object){ .fd = -1 };
	if (store_key_check(key, err) < 0)
		return -1;
	if (!fscache_name_of_key(key, &name) || cache->limit_bytes == 0)
		return open_fetched(cache, key, &name, NULL, object_r, err);
	if (cache->dirfd < 0) {
		object_r->trouble = cache->trouble;
		return open_fetched(cache, key, &name, NULL, object_r, err);
	}
	if (open_hit(cache, &name, object_r))
		return 1;
	if (object_r->trouble.code != ERR_NONE ||
	    !take_temp(cache, &name, &temp, &object_r->trouble))
		return open_fetched(cache, key, &name, NULL, object_r, err);
	/* Somebody may have completed it while we waited. */
	if (open_hit(cache, &name, object_r))
		return 1;
	return open_fetched(cache, key, &name, &temp, object_r, err);
}

void fscache_object_close(struct fscache_object *object)
{
	if (object->fd >= 0)
		close(object->fd);
	object->fd = -1;
	spool_free(&object->spool);
}

ssize_t fscache_object_read(const struct fscache_object *object, uint64_t offset, void *out,
			    size_t len, struct err *err)
{
	ssize_t n;

	if (object->fd < 0)
		return spool_read(object->spool, offset, out, len, err);
	do
		n = pread(object->fd, out, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(err, errno, "read a cached object") : n;
}
