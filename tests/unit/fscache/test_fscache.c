#include "cache.h"

#include "fscache/fscache_rescan.h"

static void test_miss_and_hit(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);
	struct fscache_counters counters;
	struct stat before, after;

	assert_false(has(scratch->fd, "c/fscache.log"));
	read_through(cache, "5000/a", FSCACHE_MISS);
	assert_true(is_kept(scratch, "c", "5000/a"));
	assert_int_equal(count_entries(scratch->fd, "c/tmp"), 0);
	assert_exact(scratch, "c");
	assert_int_equal(fstatat(scratch->fd, "c/fscache.log", &before, 0), 0);
	for (int i = 0; i < 100; i++)
		read_through(cache, "5000/a", FSCACHE_HIT);
	/* A hit touches no log. */
	assert_int_equal(fstatat(scratch->fd, "c/fscache.log", &after, 0), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	assert_int_equal(source.gets, 1);
	fscache_counters(cache, &counters);
	assert_int_equal(counters.hits, 100);
	assert_int_equal(counters.misses, 1);
	assert_int_equal(counters.passed + counters.evictions, 0);
	fscache_free(&cache);
	fscache_free(&cache);
	assert_int_equal(totals_of(scratch, "c").hits, 100);
	assert_int_equal(totals_of(scratch, "c").misses, 1);

	/* Another process finds it. */
	cache = cache_of(scratch, "c", 1 << 20, &source);
	read_through(cache, "5000/a", FSCACHE_HIT);
	assert_int_equal(source.gets, 1);
}

static void test_sizes(void **state)
{
	static const char *const keys[] = { "1/a", "4096/a", "4097/a", "300000/a",
					    "6000000/more-than-memory" };
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 64 << 20, &source);

	for (size_t i = 0; i < ROWS(keys); i++) {
		read_through(cache, keys[i], FSCACHE_MISS);
		read_through(cache, keys[i], FSCACHE_HIT);
	}
	/* What takes no room would be without a limit. */
	read_through(cache, "0/empty", FSCACHE_PASSED);
	assert_int_equal(read_through(cache, "0/empty", FSCACHE_PASSED).code, ERR_NONE);
	assert_exact(scratch, "c");
}

static void test_no_object(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);
	autoobject struct fscache_object object;
	struct err err = { 0 };

	assert_int_equal(fscache_open(cache, "none/a", &object, &err), 0);
	err_set(&source.fail, ERR_UNAVAILABLE, "away");
	assert_int_equal(fscache_open(cache, "1/a", &object, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(count_entries(scratch->fd, "c/tmp"), 0);
	err_clear(&source.fail);
	read_through(cache, "1/a", FSCACHE_MISS);
	assert_exact(scratch, "c");
}

static void test_hostile_keys(void **state)
{
	static const char *const keys[] = {
		"",     "/",    "..",    "a/../b", "../../etc/passwd", "/etc/passwd", "a//b", "a/",
		"a\nb", "\xff", "a/./b", ".",
	};
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);
	char key[1100];

	for (size_t i = 0; i < ROWS(keys); i++) {
		autoobject struct fscache_object object;
		struct err err = { 0 };

		assert_int_equal(fscache_open(cache, keys[i], &object, &err), -1);
		assert_int_equal(err.code, ERR_USAGE);
	}
	assert_int_equal(source.gets, 0);
	read_through(cache, "10/%2F..%2F..%00", FSCACHE_MISS);
	read_through(cache, "10/.hidden ~*\"'\\", FSCACHE_MISS);
	read_through(cache, "10/fscache.log", FSCACHE_MISS);
	read_through(cache, "10/tmp", FSCACHE_MISS);
	/* No file can have this name. */
	snprintf(key, sizeof key, "10/%0300d", 7);
	read_through(cache, key, FSCACHE_PASSED);
	read_through(cache, key, FSCACHE_PASSED);
	assert_exact(scratch, "c");
	assert_int_equal(totals_of(scratch, "c").files, 4);
}

static void read_numbered(struct fscache *cache, int number, enum fscache_outcome expected)
{
	char key[32];

	snprintf(key, sizeof key, "4096/%d", number);
	read_through(cache, key, expected);
}

static bool is_number_kept(const struct scratch *scratch, int number)
{
	char key[32];

	snprintf(key, sizeof key, "4096/%d", number);
	return is_kept(scratch, "c", key);
}

static void test_eviction_order(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 10 * 4096, &source);
	struct fscache_counters counters;

	for (int i = 0; i < 10; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	read_numbered(cache, 0, FSCACHE_HIT);
	read_numbered(cache, 2, FSCACHE_HIT);
	for (int i = 10; i < 12; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	/* 0 and 2 were used: 1 and 3 went. */
	for (int i = 0; i < 12; i++)
		assert_int_equal(is_number_kept(scratch, i), i != 1 && i != 3);
	assert_exact(scratch, "c");
	/* A second chance is one: they are behind 11 now, and were not used since. */
	for (int i = 12; i < 18; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	assert_true(is_number_kept(scratch, 0) && is_number_kept(scratch, 2));
	for (int i = 18; i < 21; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	assert_false(is_number_kept(scratch, 0) || is_number_kept(scratch, 2));
	assert_exact(scratch, "c");
	assert_int_equal(disk_bytes(scratch, "c"), 10 * 4096);
	fscache_counters(cache, &counters);
	assert_int_equal(counters.evictions, 11);
	/* All of them used: the oldest goes all the same. */
	for (int i = 11; i < 21; i++)
		read_numbered(cache, i, FSCACHE_HIT);
	read_numbered(cache, 99, FSCACHE_MISS);
	assert_false(is_number_kept(scratch, 11));
	assert_exact(scratch, "c");
	assert_int_equal(disk_bytes(scratch, "c"), 10 * 4096);
}

/* The limit became smaller since. */
static void test_smaller_limit(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	struct fscache *cache = cache_of(scratch, "c", 100 * 4096, &source);

	for (int i = 0; i < 100; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	fscache_free(&cache);
	cache = cache_of(scratch, "c", 10 * 4096, &source);
	read_numbered(cache, 100, FSCACHE_MISS);
	assert_int_equal(disk_bytes(scratch, "c"), 10 * 4096);
	assert_exact(scratch, "c");
	fscache_free(&cache);
}

static void test_too_large(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 100 * 4096, &source);
	autofscache struct fscache *none = cache_of(scratch, "none", 0, &source);

	assert_int_equal(read_through(cache, "204801/a", FSCACHE_PASSED).code, ERR_NONE);
	assert_int_equal(read_through(cache, "9000000/a", FSCACHE_PASSED).code, ERR_NONE);
	assert_int_equal(disk_bytes(scratch, "c"), 0);
	read_through(cache, "204800/b", FSCACHE_MISS);
	read_through(none, "1/a", FSCACHE_PASSED);
	read_through(none, "1/a", FSCACHE_PASSED);
	fscache_free(&cache);
	assert_int_equal(totals_of(scratch, "c").passed, 2);
	assert_exact(scratch, "c");
}

static int remove_objects(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	return type == FTW_F && ftw->level == 2 ? remove(path) : 0;
}

/* Removed behind its back, the log says too much until the queue has come to it. */
static void test_removed_by_hand(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 20 * 4096, &source);
	autofree char *path = xasprintf("%s/c", scratch->path);

	for (int i = 0; i < 20; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	assert_int_equal(nftw(path, remove_objects, 16, FTW_PHYS), 0);
	assert_int_equal(totals_of(scratch, "c").bytes, 20 * 4096);
	for (int i = 0; i < 20; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	assert_exact(scratch, "c");
	assert_int_equal(disk_bytes(scratch, "c"), 20 * 4096);

	/* The folder of temporaries. */
	assert_int_equal(unlinkat(scratch->fd, "c/tmp", AT_REMOVEDIR), 0);
	read_numbered(cache, 100, FSCACHE_MISS);
	assert_int_equal(unlinkat(scratch->fd, "c/tmp", AT_REMOVEDIR), 0);
	read_numbered(cache, 101, FSCACHE_MISS);
	assert_exact(scratch, "c");

	/* All folders. */
	assert_int_equal(nftw(path, scratch_unlink, 16, FTW_PHYS | FTW_DEPTH), 0);
	for (int i = 0; i < 5; i++)
		read_numbered(cache, i, FSCACHE_PASSED);
	fscache_free(&cache);
	cache = cache_of(scratch, "c", 20 * 4096, &source);
	for (int i = 0; i < 5; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	assert_exact(scratch, "c");
}

/* A file that came to its name in another way is not ours to remove. */
static void test_replaced_by_hand(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 10 * 4096, &source);
	struct fscache_name name;
	autofree char *path = NULL;

	read_numbered(cache, 0, FSCACHE_MISS);
	assert_true(fscache_name_of_key("4096/0", &name));
	path = xasprintf("c/%s", name.path);
	put(scratch->fd, "other", "other");
	assert_int_equal(renameat(scratch->fd, "other", scratch->fd, path), 0);
	for (int i = 1; i < 20; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	assert_text(scratch->fd, path, "other");
	assert_int_equal(totals_of(scratch, "c").bytes, 10 * 4096);
}

static void test_other_version(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);

	put(scratch->fd, "c/fscache.log", "fscache.log 2\n");
	assert_int_equal(read_through(cache, "5/a", FSCACHE_PASSED).code, ERR_DATA);
	assert_int_equal(disk_bytes(scratch, "c"), 0);
	assert_text(scratch->fd, "c/fscache.log", "fscache.log 2\n");
	assert_int_equal(unlinkat(scratch->fd, "c/fscache.log", 0), 0);
	read_through(cache, "5/a", FSCACHE_MISS);
}

static void test_log_cut_short(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 10 * 4096, &source);
	autofree char *path = xasprintf("%s/c/fscache.log", scratch->path);
	struct fscache_rescan_report report;
	struct stat st;
	uint64_t lost;

	for (int i = 0; i < 30; i++) {
		read_numbered(cache, i, FSCACHE_MISS);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(truncate(path, st.st_size * 2 / 3), 0);
	}
	/* What the log has lost nobody can know, but all that it names is there, and the limit
	 * is of that. */
	assert_true(totals_of(scratch, "c").bytes <= 10 * 4096);
	lost = disk_bytes(scratch, "c") - totals_of(scratch, "c").bytes;
	assert_true(lost > 0);
	for (int i = 30; i < 60; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	assert_int_equal(totals_of(scratch, "c").bytes, 10 * 4096);
	assert_int_equal(disk_bytes(scratch, "c"), 10 * 4096 + lost);
	/* A rescan knows it again, and the next who adds makes the room. */
	autofd int dirfd = openat(scratch->fd, "c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(
		fscache_rescan(dirfd, &(struct fscache_rescan_options){ 0 }, &report, NULL), 0);
	assert_exact(scratch, "c");
	read_numbered(cache, 60, FSCACHE_MISS);
	assert_exact(scratch, "c");
	assert_int_equal(disk_bytes(scratch, "c"), 10 * 4096);

	assert_int_equal(unlinkat(scratch->fd, "c/fscache.log", 0), 0);
	for (int i = 100; i < 130; i++)
		read_numbered(cache, i, FSCACHE_MISS);
	assert_int_equal(totals_of(scratch, "c").bytes, 10 * 4096);
	assert_int_equal(disk_bytes(scratch, "c"), 20 * 4096);
}

static void test_links(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 10 * 4096, &source);
	struct fscache_name name;
	autofree char *folder = NULL, *moved = NULL;

	put_dir(scratch->fd, "elsewhere");
	put_link(scratch->fd, "c/tmp", "../elsewhere");
	assert_int_not_equal(read_through(cache, "5/a", FSCACHE_PASSED).code, ERR_NONE);
	assert_int_equal(unlinkat(scratch->fd, "c/tmp", 0), 0);

	put_link(scratch->fd, "c/fscache.log", "../elsewhere/log");
	assert_int_not_equal(read_through(cache, "5/a", FSCACHE_PASSED).code, ERR_NONE);
	assert_int_equal(unlinkat(scratch->fd, "c/fscache.log", 0), 0);

	read_numbered(cache, 0, FSCACHE_MISS);
	assert_true(fscache_name_of_key("4096/0", &name));
	folder = xasprintf("c/%s", fscache_name_folder(&name).s);
	moved = xasprintf("elsewhere/%s", fscache_name_file(&name));
	assert_int_equal(renameat(scratch->fd, folder, scratch->fd, "moved"), 0);
	assert_int_equal(unlinkat(scratch->fd, "elsewhere", AT_REMOVEDIR), 0);
	assert_int_equal(renameat(scratch->fd, "moved", scratch->fd, "elsewhere"), 0);
	put_link(scratch->fd, folder, "../elsewhere");
	/* Neither read, nor written, nor evicted through the link. */
	assert_int_not_equal(read_through(cache, "4096/0", FSCACHE_PASSED).code, ERR_NONE);
	for (int i = 1; i < 30; i++) {
		char key[32];
		autoobject struct fscache_object object;

		snprintf(key, sizeof key, "4096/%d", i);
		assert_int_equal(fscache_open(cache, key, &object, NULL), 1);
	}
	assert_true(has(scratch->fd, moved));
	assert_int_equal(count_entries(scratch->fd, "elsewhere"), 1);
	/* An object that is a link, a folder, a pipe. */
	assert_int_equal(unlinkat(scratch->fd, folder, 0), 0);
	autofree char *object = xasprintf("c/%s", name.path);
	put_link(scratch->fd, object, "../../elsewhere/x");
	read_numbered(cache, 0, FSCACHE_MISS);
	assert_int_equal(unlinkat(scratch->fd, object, 0), 0);
	assert_int_equal(mkfifoat(scratch->fd, object, 0600), 0);
	read_numbered(cache, 0, FSCACHE_MISS);
	assert_int_equal(unlinkat(scratch->fd, object, 0), 0);
	put_dir(scratch->fd, object);
	read_numbered(cache, 0, FSCACHE_PASSED);
	assert_int_equal(count_entries(scratch->fd, "elsewhere"), 1);
}

static struct fscache *cache_for(const struct scratch *scratch, const char *pattern,
				 const char *user, struct source *source, struct err *err)
{
	autofree char *path = xasprintf("%s%s", scratch->path, pattern);
	struct fscache_options options = {
		.path = *pattern == '/' ? path : pattern,
		.user = user,
		.limit_bytes = 1 << 20,
		.get = source_get,
		.get_ctx = source,
	};
	struct fscache *cache = NULL;

	fscache_new(&options, &cache, err);
	return cache;
}

static void test_split(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	struct err err = { 0 };
	autofscache struct fscache *a = cache_for(scratch, "/%2Mu/%u/", "a@x", &source, &err);
	autofscache struct fscache *b = cache_for(scratch, "/%2Mu/%u/", "b@x", &source, &err);
	autofscache struct fscache *plain = cache_for(scratch, "/plain//", "a@x", &source, &err);

	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(plain);
	assert_string_equal(strrchr(fscache_path(a), '/'), "/a@x");
	assert_string_equal(strrchr(fscache_path(plain), '/'), "/plain");
	read_through(a, "10/m", FSCACHE_MISS);
	read_through(a, "10/m", FSCACHE_HIT);
	read_through(b, "10/m", FSCACHE_MISS);
	read_through(plain, "10/m", FSCACHE_MISS);

	assert_null(cache_for(scratch, "/%u", NULL, &source, &err));
	assert_int_equal(err.code, ERR_USAGE);
	assert_null(cache_for(scratch, "/%u", "a/../b", &source, &err));
	assert_int_equal(err.code, ERR_USAGE);
	assert_null(cache_for(scratch, "/%n", "..", &source, &err));
	assert_null(cache_for(scratch, "relative", NULL, &source, &err));
	assert_int_equal(err.code, ERR_CONFIG);
	assert_null(cache_for(scratch, "/%Zq", "a", &source, &err));

	/* A link below what the operator wrote. */
	put_dir(scratch->fd, "elsewhere");
	put_link(scratch->fd, "s/l@x", "../elsewhere");
	autofscache struct fscache *link = cache_for(scratch, "/s/%u", "l@x", &source, &err);
	assert_non_null(link);
	assert_int_not_equal(read_through(link, "10/m", FSCACHE_PASSED).code, ERR_NONE);
	assert_int_equal(count_entries(scratch->fd, "elsewhere"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_miss_and_hit),
		scratch_test(test_sizes),
		scratch_test(test_no_object),
		scratch_test(test_hostile_keys),
		scratch_test(test_eviction_order),
		scratch_test(test_smaller_limit),
		scratch_test(test_too_large),
		scratch_test(test_removed_by_hand),
		scratch_test(test_replaced_by_hand),
		scratch_test(test_other_version),
		scratch_test(test_log_cut_short),
		scratch_test(test_links),
		scratch_test(test_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
