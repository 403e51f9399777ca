/* What an operator does to a cache while it is used. */
#include "cache.h"

#include "fscache/fscache_temp.h"

#define LIMIT ((uint64_t)40 * 4096)

/* A key, and what there is of it. */
struct place {
	const struct scratch *scratch;
	struct fscache_name name;
	char object[400], temporary[400];
	int fd; /* of another fetch's temporary */
};

static struct place place_of(const struct scratch *scratch, const char *key)
{
	struct place place = { .scratch = scratch, .fd = -1 };

	assert_true(fscache_name_of_key(key, &place.name));
	snprintf(place.object, sizeof place.object, "c/%s", place.name.path);
	snprintf(place.temporary, sizeof place.temporary, "c/tmp/%s", place.name.hash);
	return place;
}

static void remove_temporary(const void *arg)
{
	const struct place *place = arg;

	assert_int_equal(unlinkat(place->scratch->fd, place->temporary, 0), 0);
}

/* Removed, and somebody else who wants the object has a temporary of his own. */
static void replace_temporary(const void *arg)
{
	const struct place *place = arg;

	remove_temporary(place);
	put(place->scratch->fd, place->temporary, "half of it");
}

/* The same, with the first one under another name, too, as a copy by links has it. */
static void replace_linked_temporary(const void *arg)
{
	const struct place *place = arg;
	int dirfd = place->scratch->fd;

	assert_int_equal(linkat(dirfd, place->temporary, dirfd, "copy", 0), 0);
	replace_temporary(place);
}

static void put_directory(const void *arg)
{
	const struct place *place = arg;

	put_dir(place->scratch->fd, place->object);
}

static void test_temporary_removed(void **state)
{
	static void (*const rows[])(const void *) = { remove_temporary, replace_temporary,
						      replace_linked_temporary };
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		autofree char *key = xasprintf("5000/%zu", i);
		struct place place = place_of(scratch, key);
		struct source source = { .meanwhile = rows[i], .meanwhile_arg = &place };
		autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);

		assert_int_equal(read_through(cache, key, FSCACHE_PASSED).code, ERR_TEMP);
		assert_false(is_kept(scratch, "c", key));
		source.meanwhile = NULL;
		if (i == 1) /* not ours, so not touched */
			assert_text(scratch->fd, place.temporary, "half of it");
		read_through(cache, key, FSCACHE_MISS);
		read_through(cache, key, FSCACHE_HIT);
		assert_int_equal(count_entries(scratch->fd, "c/tmp"), 0);
	}
	/* Only the last could not be known before the log said it. */
	assert_int_equal(totals_of(scratch, "c").bytes, disk_bytes(scratch, "c") + 8192);
	assert_int_equal(totals_of(scratch, "c").files, 4);
}

/* Between the last look and the renaming. */
static void test_temporary_replaced_late(void **state)
{
	const struct scratch *scratch = *state;
	struct place place = place_of(scratch, "5/a");
	autofscachetemp struct fscache_temp temp = FSCACHE_TEMP_NONE;
	autospool struct spool *spool = spool_new(NULL, 100);
	struct fscache_temps temps;
	struct err err = { 0 };
	uint64_t bytes;

	put_dir(scratch->fd, "c");
	autofd int dirfd = openat(scratch->fd, "c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd int folder = openat(scratch->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(spool_write(spool, "whole", 5, NULL), 0);
	fscache_temps_init(&temps, dirfd);
	assert_int_equal(fscache_temp_take(&temps, &place.name, 0, &temp, NULL), 1);
	assert_int_equal(fscache_temp_write(&temp, spool, NULL), 0);
	assert_int_equal(fscache_temp_bytes(&temp, &bytes, NULL), 0);
	assert_true(fscache_temp_is_there(&temp));
	replace_temporary(&place);
	assert_false(fscache_temp_is_there(&temp));
	assert_int_equal(fscache_temp_rename(&temp, folder, "object", &err), -1);
	assert_int_equal(err.code, ERR_TEMP);
	assert_false(has(scratch->fd, "object"));
	fscache_temp_end(&temp);
	fscache_temps_close(&temps);
}

/* No object is kept empty: it is one whose content a crash has lost. */
static void test_empty_object(void **state)
{
	const struct scratch *scratch = *state;
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);

	put(scratch->fd, place_of(scratch, "5000/a").object, "");
	read_through(cache, "5000/a", FSCACHE_MISS);
	read_through(cache, "5000/a", FSCACHE_HIT);
	assert_exact(scratch, "c");
}

static void read_numbers(struct fscache *cache, int from, int to)
{
	for (int i = from; i < to; i++) {
		char key[32];

		snprintf(key, sizeof key, "4096/%d", i);
		read_through(cache, key, FSCACHE_MISS);
	}
}

/* A name that cannot be taken costs nobody else his place. */
static void test_directory_in_the_way(void **state)
{
	const struct scratch *scratch = *state;
	struct place place = place_of(scratch, "16384/bad");
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", LIMIT, &source);

	read_numbers(cache, 0, 40);
	put_dir(scratch->fd, place.object);
	for (int i = 0; i < 30; i++)
		assert_int_not_equal(read_through(cache, "16384/bad", FSCACHE_PASSED).code,
				     ERR_NONE);
	assert_exact(scratch, "c");
	assert_int_equal(disk_bytes(scratch, "c"), LIMIT);
	assert_int_equal(count_entries(scratch->fd, "c/tmp"), 0);
	assert_int_equal(unlinkat(scratch->fd, place.object, AT_REMOVEDIR), 0);
	read_through(cache, "16384/bad", FSCACHE_MISS);
	assert_exact(scratch, "c");
}

/* What comes in the way while the object is fetched is not logged either. */
static void test_directory_comes_meanwhile(void **state)
{
	const struct scratch *scratch = *state;
	struct place place = place_of(scratch, "16384/bad");
	struct source source = { 0 };
	autofscache struct fscache *cache = cache_of(scratch, "c", LIMIT, &source);

	read_numbers(cache, 0, 40);
	source.meanwhile = put_directory;
	source.meanwhile_arg = &place;
	for (int i = 0; i < 30; i++) {
		read_through(cache, "16384/bad", FSCACHE_PASSED);
		assert_int_equal(unlinkat(scratch->fd, place.object, AT_REMOVEDIR), 0);
	}
	assert_exact(scratch, "c");
	/* Room was made for it once. */
	assert_int_equal(disk_bytes(scratch, "c"), LIMIT - 16384);
	assert_int_equal(count_entries(scratch->fd, "c/tmp"), 0);
}

/* Keys whose objects are all in one folder, or all in others. */
static void read_of_folder(struct fscache *cache, int *number, int count, bool in_folder,
			   enum fscache_outcome expected)
{
	while (count > 0) {
		struct fscache_name name;
		char key[32];

		snprintf(key, sizeof key, "4096/%d", ++*number);
		assert_true(fscache_name_of_key(key, &name));
		if ((strcmp(fscache_name_folder(&name).s, "00") == 0) != in_folder)
			continue;
		read_through(cache, key, expected);
		count--;
	}
}

static uint64_t log_size(const struct scratch *scratch)
{
	struct stat st;

	assert_int_equal(fstatat(scratch->fd, "c/fscache.log", &st, 0), 0);
	return (uint64_t)st.st_size;
}

/* Objects that can't be removed are tried a few at a time, not all by each who fetches. */
static void test_stuck(void **state)
{
	struct scratch *scratch = *state;
	struct source source = { 0 };
	struct fscache *cache;
	uint64_t before;
	int number = 0;

	mount_small(scratch, "m", "size=64k"); /* or skip */
	unmount_small(scratch, "m");
	cache = cache_of(scratch, "c", LIMIT, &source);
	read_of_folder(cache, &number, 30, true, FSCACHE_MISS);
	read_of_folder(cache, &number, 10, false, FSCACHE_MISS);
	fscache_free(&cache);
	autofree char *folder = xasprintf("%s/c/00", scratch->path);
	assert_int_equal(mount(folder, folder, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	cache = cache_of(scratch, "c", LIMIT, &source);
	before = log_size(scratch);
	read_of_folder(cache, &number, 1, false, FSCACHE_PASSED);
	assert_true(log_size(scratch) - before <
		    10 * strlen("~ 1700000000 4096 1234567890 1234 name"));
	/* The next go on behind them, until they come to those that can be removed. */
	read_of_folder(cache, &number, 2, false, FSCACHE_PASSED);
	read_of_folder(cache, &number, 10, false, FSCACHE_MISS);
	assert_exact(scratch, "c");
	fscache_free(&cache);
	assert_int_equal(umount2(folder, MNT_DETACH), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_temporary_removed),
		scratch_test(test_temporary_replaced_late),
		scratch_test(test_empty_object),
		scratch_test(test_directory_in_the_way),
		scratch_test(test_directory_comes_meanwhile),
		scratch_test(test_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
