/* Several threads and processes, held locks, and full disks. */
#include "cache.h"

struct reader {
	struct fscache *cache;
	const char *key;
	enum fscache_outcome outcome;
	bool right;
};

static void *read_in_thread(void *arg)
{
	struct reader *reader = arg;
	autoobject struct fscache_object object;

	reader->right = fscache_open(reader->cache, reader->key, &object, NULL) == 1 &&
			is_content(&object, reader->key);
	reader->outcome = object.outcome;
	return NULL;
}

#define THREADS 8

static void test_threads_fetch_once(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { .slow_ms = 50 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);
	struct reader readers[THREADS];
	pthread_t threads[THREADS];
	int misses = 0;

	for (int i = 0; i < THREADS; i++) {
		readers[i] = (struct reader){ .cache = cache, .key = "70000/a" };
		assert_int_equal(pthread_create(&threads[i], NULL, read_in_thread, &readers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(readers[i].right);
		assert_int_not_equal(readers[i].outcome, FSCACHE_PASSED);
		misses += readers[i].outcome == FSCACHE_MISS;
	}
	assert_int_equal(source.gets, 1);
	assert_int_equal(misses, 1);
	assert_exact(scratch, "c");
}

struct child_args {
	const struct scratch *scratch;
	int count_fd;
};

static int child_reads(const struct child_side *side, void *arg)
{
	const struct child_args *args = arg;
	struct source source = { .slow_ms = 50, .count_fd = args->count_fd };
	struct fscache *cache = cache_of(args->scratch, "c", 1 << 20, &source);
	struct reader reader = { .cache = cache, .key = "70000/a" };

	child_ready(side);
	child_pause(side);
	read_in_thread(&reader);
	fscache_free(&cache);
	return reader.right && reader.outcome != FSCACHE_PASSED ? 0 : 1;
}

static void test_processes_fetch_once(void **state)
{
	const struct scratch *scratch = *state;
	struct child children[4];
	struct child_args args = { .scratch = scratch };
	struct stat st;

	args.count_fd =
		openat(scratch->fd, "count", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (size_t i = 0; i < ROWS(children); i++) {
		children[i] = child_start(child_reads, &args);
		child_await(&children[i]);
	}
	for (size_t i = 0; i < ROWS(children); i++)
		child_go(&children[i]);
	for (size_t i = 0; i < ROWS(children); i++)
		assert_int_equal(child_end(&children[i]), 0);
	assert_int_equal(fstat(args.count_fd, &st), 0);
	assert_int_equal(st.st_size, 1);
	close(args.count_fd);
	assert_exact(scratch, "c");
	assert_int_equal(totals_of(scratch, "c").misses, 1);
	assert_int_equal(totals_of(scratch, "c").hits, 3);
}

/* Who waits for a fetch that fails fetches itself. */
static void test_failed_fetch(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { .slow_ms = 30 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);
	struct reader readers[3];
	pthread_t threads[3];

	err_set(&source.fail, ERR_UNAVAILABLE, "away");
	for (int i = 0; i < 3; i++) {
		readers[i] = (struct reader){ .cache = cache, .key = "5/a" };
		assert_int_equal(pthread_create(&threads[i], NULL, read_in_thread, &readers[i]), 0);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(source.gets, 3);
	assert_int_equal(count_entries(scratch->fd, "c/tmp"), 0);
}

static struct fscache *impatient(const struct scratch *scratch, struct source *source)
{
	autofree char *path = xasprintf("%s/c", scratch->path);
	struct fscache_options options = { .path = path,
					   .limit_bytes = 1 << 20,
					   .wait_ms = 30,
					   .get = source_get,
					   .get_ctx = source };
	struct fscache *cache;

	assert_int_equal(fscache_new(&options, &cache, NULL), 0);
	return cache;
}

static void test_fetch_of_somebody_hangs(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = impatient(scratch, &source);
	struct fscache_name name;
	autofree char *path = NULL;

	assert_true(fscache_name_of_key("5/a", &name));
	path = xasprintf("c/tmp/%s", name.hash);
	put(scratch->fd, path, "half of it");
	autofd int fd = openat(scratch->fd, path, O_RDWR | O_CLOEXEC);
	assert_int_equal(lock_range(fd, LOCK_RANGE_WRITE, 0, 1, 0), 1);
	assert_int_equal(read_through(cache, "5/a", FSCACHE_PASSED).code, ERR_BUSY);
	assert_text(scratch->fd, path, "half of it");
	read_through(cache, "5/b", FSCACHE_MISS);
	/* It was killed: what it left is taken over. */
	close(steal_fd(&fd));
	read_through(cache, "5/a", FSCACHE_MISS);
	read_through(cache, "5/a", FSCACHE_HIT);
	assert_int_equal(count_entries(scratch->fd, "c/tmp"), 0);
	assert_exact(scratch, "c");
}

static void test_log_is_held(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = impatient(scratch, &source);

	read_through(cache, "5/a", FSCACHE_MISS);
	autofd int fd = openat(scratch->fd, "c/fscache.log", O_RDWR | O_CLOEXEC);
	assert_int_equal(lock_range(fd, LOCK_RANGE_WRITE, 0, 1, 0), 1);
	assert_int_equal(read_through(cache, "5/b", FSCACHE_PASSED).code, ERR_BUSY);
	read_through(cache, "5/a", FSCACHE_HIT);
	assert_int_equal(count_entries(scratch->fd, "c/tmp"), 0);
	close(steal_fd(&fd));
	read_through(cache, "5/b", FSCACHE_MISS);
	assert_exact(scratch, "c");
}

/* To the last byte; more can be freed by removing "filler". */
static void fill(int dirfd)
{
	static const char zeros[65536];
	autofd int fd = openat(dirfd, "filler", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	while (write(fd, zeros, sizeof zeros) > 0)
		;
	while (write(fd, zeros, 1) > 0)
		;
	assert_int_equal(errno, ENOSPC);
}

static void test_full_disk(void **state)
{
	struct scratch *scratch = *state;
	struct source source = { 0 };
	int misses = 0, passed = 0;

	mount_small(scratch, "disk", "size=1m");
	struct fscache *cache = cache_of(scratch, "disk/c", 16 << 20, &source);
	autofd int disk = openat(scratch->fd, "disk", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Nothing to evict: not even a log can be made. */
	fill(disk);
	assert_int_equal(read_through(cache, "5000/a", FSCACHE_PASSED).code, ERR_CANTCREATE);
	assert_int_equal(unlinkat(disk, "filler", 0), 0);

	/* The disk is smaller than the limit: the cache lives in what there is. */
	for (int i = 0; i < 200; i++) {
		autoobject struct fscache_object object;
		char key[32];

		snprintf(key, sizeof key, "20000/%d", i);
		assert_int_equal(fscache_open(cache, key, &object, NULL), 1);
		assert_true(is_content(&object, key));
		misses += object.outcome == FSCACHE_MISS;
	}
	assert_int_equal(misses, 200);
	assert_exact(scratch, "disk/c");

	/* Somebody else takes all of it: it gives what it has, and serves on. */
	for (int i = 0; i < 200; i++) {
		autoobject struct fscache_object object;
		char key[32];

		fill(disk);
		snprintf(key, sizeof key, "20000/x%d", i);
		assert_int_equal(fscache_open(cache, key, &object, NULL), 1);
		assert_true(is_content(&object, key));
		passed += object.outcome == FSCACHE_PASSED;
	}
	assert_true(passed > 100);
	/* The log says what there is, or more. */
	assert_true(totals_of(scratch, "disk/c").bytes >= disk_bytes(scratch, "disk/c"));
	assert_int_equal(count_entries(scratch->fd, "disk/c/tmp"), 0);
	assert_int_equal(unlinkat(disk, "filler", 0), 0);
	read_through(cache, "20000/last", FSCACHE_MISS);
	fscache_free(&cache);
	close(steal_fd(&disk));
	unmount_small(scratch, "disk");
}

/* Where large objects are put for a moment there is no room. */
static void test_full_spool_dir(void **state)
{
	struct scratch *scratch = *state;
	struct source source = { 0 };

	mount_small(scratch, "disk", "size=64k");
	autofree char *spool_dir = xasprintf("%s/disk", scratch->path);
	autofree char *path = xasprintf("%s/c", scratch->path);
	struct fscache_options options = {
		.path = path,
		.limit_bytes = 100 << 20,
		.spool_dir = spool_dir,
		.get = source_get,
		.get_ctx = &source,
	};
	struct fscache *cache;

	assert_int_equal(fscache_new(&options, &cache, NULL), 0);
	read_through(cache, "6000000/a", FSCACHE_MISS);
	read_through(cache, "6000000/a", FSCACHE_HIT);
	fscache_free(&cache);
	unmount_small(scratch, "disk");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_threads_fetch_once), scratch_test(test_processes_fetch_once),
		scratch_test(test_failed_fetch),       scratch_test(test_fetch_of_somebody_hangs),
		scratch_test(test_log_is_held),        scratch_test(test_full_disk),
		scratch_test(test_full_spool_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
