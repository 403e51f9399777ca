#include "cache.h"

#include "fscache/fscache_rescan.h"

/* What happens while the directory is looked at, once. */
struct meanwhile {
	const struct scratch *scratch;
	void (*change)(struct meanwhile *meanwhile);
	struct fscache *cache;
	pthread_mutex_t lock;
	char foreign[2048]; /* "path: what; " of each */
};

static void on_progress(void *ctx, uint64_t files, uint64_t total)
{
	struct meanwhile *meanwhile = ctx;
	void (*change)(struct meanwhile *);

	(void)files, (void)total;
	pthread_mutex_lock(&meanwhile->lock);
	change = meanwhile->change;
	meanwhile->change = NULL;
	if (change)
		change(meanwhile);
	pthread_mutex_unlock(&meanwhile->lock);
}

static void on_foreign(void *ctx, const char *path, const char *what)
{
	struct meanwhile *meanwhile = ctx;
	size_t len;

	pthread_mutex_lock(&meanwhile->lock);
	len = strlen(meanwhile->foreign);
	snprintf(meanwhile->foreign + len, sizeof meanwhile->foreign - len, "%s: %s; ", path, what);
	pthread_mutex_unlock(&meanwhile->lock);
}

static int try_rescan(struct meanwhile *meanwhile, int64_t max_age_s,
		      struct fscache_rescan_report *report_r, struct err *err)
{
	const struct fscache_rescan_options options = {
		.max_age_s = max_age_s,
		.foreign = on_foreign,
		.progress = on_progress,
		.ctx = meanwhile,
	};
	autofd int fd = openat(meanwhile->scratch->fd, "c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fscache_rescan(fd, &options, report_r, err);
}

static struct fscache_rescan_report rescan_with(struct meanwhile *meanwhile, int64_t max_age_s)
{
	struct fscache_rescan_report report;
	struct err err = { 0 };

	if (try_rescan(meanwhile, max_age_s, &report, &err) < 0)
		fail_msg("rescan: %s", err.msg);
	assert_int_equal(report.now.bytes, totals_of(meanwhile->scratch, "c").bytes);
	assert_int_equal(report.now.files, totals_of(meanwhile->scratch, "c").files);
	/* The reasons explain the difference. */
	assert_int_equal(report.found.bytes - report.tracked.bytes,
			 report.unlogged.bytes - report.missing.bytes +
				 (uint64_t)report.resized_bytes -
				 (uint64_t)report.miscounted_bytes);
	assert_false(has(meanwhile->scratch->fd, "c/fscache.log.new"));
	return report;
}

#define MEANWHILE(scratch_)                                                                        \
	{                                                                                          \
		.scratch = (scratch_), .lock = PTHREAD_MUTEX_INITIALIZER                           \
	}

static struct fscache_rescan_report rescan(const struct scratch *scratch)
{
	struct meanwhile meanwhile = MEANWHILE(scratch);

	return rescan_with(&meanwhile, 0);
}

static void assert_right(const struct scratch *scratch)
{
	struct fscache_rescan_report report = rescan(scratch);

	assert_true(report.right);
	assert_false(report.repaired);
	assert_int_equal(report.log, FSCACHE_RESCAN_WHOLE);
	assert_exact(scratch, "c");
}

static char *key_of(unsigned number, unsigned bytes)
{
	return xasprintf("%u/user/%u", bytes, number);
}

static char *path_of(const char *key)
{
	struct fscache_name name;

	assert_true(fscache_name_of_key(key, &name));
	return xasprintf("c/%s", name.path);
}

static struct source source;

static void add(struct fscache *cache, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		autofree char *key = key_of(i, 5000);

		read_through(cache, key, FSCACHE_MISS);
	}
}

static void fill(const struct scratch *scratch, unsigned count)
{
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 30, &source);

	add(cache, 0, count);
}

static void by_hand(const struct scratch *scratch, unsigned number)
{
	autofree char *key = key_of(number, 5000), *path = path_of(key);

	assert_int_equal(unlinkat(scratch->fd, path, 0), 0);
}

static void put_object(const struct scratch *scratch, const char *key)
{
	autofree char *path = path_of(key);

	put(scratch->fd, path, "of nobody's log");
}

static void put_age(const struct scratch *scratch, const char *path, int64_t age_s)
{
	struct timespec times[2] = { { 0, UTIME_OMIT },
				     { clock_now_ns() / 1000000000 - age_s, 0 } };

	assert_int_equal(utimensat(scratch->fd, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void test_right(void **state)
{
	const struct scratch *scratch = *state;
	struct fscache_rescan_report report;

	fill(scratch, 30);
	report = rescan(scratch);
	assert_true(report.right);
	assert_int_equal(report.now.files, 30);
	assert_int_equal(report.now.bytes, disk_bytes(scratch, "c"));
	assert_right(scratch);
}

static void test_by_hand(void **state)
{
	const struct scratch *scratch = *state;
	autofree char *key = key_of(7, 5000), *path = path_of(key);
	struct fscache_rescan_report report;
	static const char more[30000];
	int fd;

	fill(scratch, 30);
	by_hand(scratch, 3);
	by_hand(scratch, 4);
	put_object(scratch, "a/b");
	fd = openat(scratch->fd, path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, more, sizeof more), sizeof more);
	close(fd);
	report = rescan(scratch);
	assert_false(report.right);
	assert_true(report.repaired);
	assert_int_equal(report.missing.files, 2);
	assert_int_equal(report.missing.bytes, 2 * 8192);
	assert_int_equal(report.unlogged.files, 1);
	assert_int_equal(report.unlogged.bytes, 4096);
	assert_int_equal(report.resized_files, 1);
	assert_int_equal(report.resized_bytes, 28672);
	assert_int_equal(report.miscounted_bytes, 0);
	assert_int_equal(report.tracked.files, 30);
	assert_int_equal(report.found.files, 29);
	assert_right(scratch);
	/* The cache goes on with it. */
	{
		autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 20, &source);

		by_hand(scratch, 7);
		read_through(cache, key, FSCACHE_MISS);
	}
}

/* The order of the queue, and what was counted, outlive a repair. */
static void test_order(void **state)
{
	const struct scratch *scratch = *state;
	struct fscache_totals before, after;
	autofscache struct fscache *cache = cache_of(scratch, "c", 20 * 8192, &source);

	add(cache, 0, 20);
	put_object(scratch, "unlogged");
	by_hand(scratch, 5);
	before = totals_of(scratch, "c");
	assert_false(rescan(scratch).right);
	after = totals_of(scratch, "c");
	assert_int_equal(after.misses, before.misses);
	assert_int_equal(after.files, 20);
	add(cache, 100, 4);
	for (unsigned i = 0; i < 20; i++) {
		autofree char *key = key_of(i, 5000);

		assert_int_equal(is_kept(scratch, "c", key), i >= 4 && i != 5);
	}
	assert_right(scratch);
}

static void cut(const struct scratch *scratch, off_t bytes)
{
	autofd int fd = openat(scratch->fd, "c/fscache.log", O_RDWR | O_CLOEXEC);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, bytes < 0 ? st.st_size + bytes : bytes), 0);
}

static void test_cut_short(void **state)
{
	static const off_t lengths[] = { -10, -300, 60, 20, 14, 13, 5, 0 };
	const struct scratch *scratch = *state;

	fill(scratch, 30);
	for (size_t i = 0; i < ROWS(lengths); i++) {
		struct fscache_rescan_report report;

		cut(scratch, lengths[i]);
		report = rescan(scratch);
		assert_true(report.repaired);
		assert_int_equal(report.log, lengths[i] < 14 && lengths[i] >= 0
						     ? FSCACHE_RESCAN_LOST
					     : lengths[i] == 14 ? FSCACHE_RESCAN_WHOLE
								: FSCACHE_RESCAN_TORN);
		assert_int_equal(report.found.files, 30);
		assert_right(scratch);
	}
	assert_int_equal(unlinkat(scratch->fd, "c/fscache.log", 0), 0);
	assert_int_equal(rescan(scratch).unlogged.files, 30);
	assert_right(scratch);
}

/* Write over some bytes of the log, where the text stands in it last. */
static void overwrite(const struct scratch *scratch, const char *text, const char *with)
{
	autofd int fd = openat(scratch->fd, "c/fscache.log", O_RDWR | O_CLOEXEC);
	char log[65536] = "", *at = NULL;

	assert_true(pread(fd, log, sizeof log - 1, 0) > 0);
	for (char *next = log; (next = strstr(next, text)) != NULL; next++)
		at = next;
	assert_non_null(at);
	assert_int_equal(pwrite(fd, with, strlen(with), at - log), strlen(with));
}

static void test_damage(void **state)
{
	const struct scratch *scratch = *state;
	struct fscache_rescan_report report;

	fill(scratch, 30);
	/* One entry says less than there is, one is no line, one names nobody's file. */
	overwrite(scratch, "8192 ", "4096 ");
	overwrite(scratch, "user%2F11\n", "user 2F11\n");
	overwrite(scratch, "user%2F12\n", "user%2f12\n");
	report = rescan(scratch);
	assert_int_equal(report.damaged_lines, 2);
	assert_int_equal(report.resized_files, 1);
	assert_int_equal(report.unlogged.files, 2);
	assert_int_equal(report.tracked.files, 29);
	assert_right(scratch);
	/* A checkpoint that lies. */
	overwrite(scratch, " 30 14 ", " 29 14 ");
	report = rescan(scratch);
	assert_false(report.right);
	assert_int_equal(report.missing.files + report.unlogged.files + report.resized_files, 0);
	assert_right(scratch);
	put(scratch->fd, "c/fscache.log",
	    "fscache.log 1\n= 1 14 999999999999999 5 14 0 0 0 0 lie\n");
	report = rescan(scratch);
	assert_int_equal(report.miscounted_bytes, 999999999999999);
	assert_right(scratch);
}

static void test_no_cache(void **state)
{
	struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	struct fscache_rescan_report report;
	struct err err = { 0 };

	put_dir(scratch->fd, "c");
	assert_int_equal(try_rescan(&meanwhile, 1, &report, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	for (unsigned i = 0; i < 256; i++) {
		char path[64];

		snprintf(path, sizeof path, "c/%02x/0123456789abcdef0123456789abcdef%06x", i, i);
		put(scratch->fd, path, "somebody's object");
		put_age(scratch, path, 1000);
	}
	assert_int_equal(try_rescan(&meanwhile, 1, &report, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_int_equal(count_entries(scratch->fd, "c"), 256);
	assert_int_equal(count_entries(scratch->fd, "c/ab"), 1);
	put(scratch->fd, "c/fscache.log", "fscache.log 2\n+ 1 2 3 4 5\n");
	assert_int_equal(try_rescan(&meanwhile, 1, &report, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_non_null(strstr(err.hint, "remove it"));
	assert_text(scratch->fd, "c/fscache.log", "fscache.log 2\n+ 1 2 3 4 5\n");
}

static void test_max_age(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	struct fscache_rescan_report report;

	fill(scratch, 10);
	put_object(scratch, "old and unlogged");
	put(scratch->fd, "c/00/ no object", "foreign");
	put(scratch->fd, "c/note", "foreign, too");
	for (unsigned i = 0; i < 4; i++) {
		autofree char *key = key_of(i, 5000), *path = path_of(key);

		put_age(scratch, path, i < 3 ? 3700 : 3500);
	}
	{
		autofree char *path = path_of("old and unlogged");

		put_age(scratch, path, 3700);
	}
	put_age(scratch, "c/00/ no object", 3700);
	put_age(scratch, "c/note", 3700);
	report = rescan_with(&meanwhile, 7200);
	assert_int_equal(report.expired.files, 0);
	assert_int_equal(report.foreign.files, 1);
	assert_int_equal(report.strange, 1);
	assert_non_null(strstr(meanwhile.foreign, "00/ no object: not an object; "));
	assert_non_null(strstr(meanwhile.foreign, "note: a file; "));
	report = rescan_with(&meanwhile, 3600);
	assert_true(report.right);
	assert_int_equal(report.expired.files, 5);
	assert_int_equal(report.now.files, 7);
	assert_false(has(scratch->fd, "c/00/ no object"));
	assert_true(has(scratch->fd, "c/note"));
	assert_right(scratch);
	/* Without a log it is not sure whose they are. */
	put(scratch->fd, "c/00/ no object", "foreign");
	put_age(scratch, "c/00/ no object", 3700);
	assert_int_equal(unlinkat(scratch->fd, "c/fscache.log", 0), 0);
	assert_int_equal(rescan_with(&meanwhile, 3600).expired.files, 0);
	assert_true(has(scratch->fd, "c/00/ no object"));
}

static void move_out(const struct scratch *scratch, const char *folder)
{
	autofree char *path = xasprintf("c/%s", folder), *out = xasprintf("out-%s", folder);
	autofree char *target = xasprintf("../%s", out);

	if (!has(scratch->fd, path))
		put_dir(scratch->fd, path);
	assert_int_equal(renameat(scratch->fd, path, scratch->fd, out), 0);
	put_link(scratch->fd, path, target);
}

/* Some of the folders become links to somewhere else, where all is old. */
static void swap_for_links(struct meanwhile *meanwhile)
{
	for (unsigned i = 0; i < 256; i++) {
		char folder[3];

		snprintf(folder, sizeof folder, "%02x", i);
		move_out(meanwhile->scratch, folder);
	}
}

static void test_links(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	autofree char *key = key_of(3, 5000), *path = path_of(key);
	char folder[3] = { path[2], path[3], '\0' };
	autofree char *out = xasprintf("out-%s%s", folder, path + 4);
	struct fscache_rescan_report report;

	fill(scratch, 30);
	put_age(scratch, path, 100);
	move_out(scratch, folder);
	put_link(scratch->fd, "c/linked", "/etc/passwd");
	put_dir(scratch->fd, "c/0x");
	report = rescan_with(&meanwhile, 50);
	assert_int_equal(report.missing.files + report.now.files, 30);
	assert_in_range(report.missing.files, 1, 29);
	assert_int_equal(report.strange, 3);
	assert_non_null(strstr(meanwhile.foreign, ": not a directory; "));
	assert_non_null(strstr(meanwhile.foreign, "linked: a link; "));
	assert_non_null(strstr(meanwhile.foreign, "0x: a directory; "));
	assert_true(has(scratch->fd, out));
	assert_right(scratch);
}

static void test_links_in_folders(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	autofree char *key = key_of(3, 5000), *path = path_of(key);

	fill(scratch, 5);
	put(scratch->fd, "precious", "mine");
	put_age(scratch, "precious", 1000);
	assert_int_equal(unlinkat(scratch->fd, path, 0), 0);
	put_link(scratch->fd, path, "../../precious");
	put_dir(scratch->fd, "c/00/directory");
	assert_int_equal(mkfifoat(scratch->fd, "c/00/fifo", 0600), 0);
	assert_int_equal(rescan_with(&meanwhile, 50).strange, 3);
	assert_text(scratch->fd, "precious", "mine");
	assert_non_null(strstr(meanwhile.foreign, "a link; "));
	assert_non_null(strstr(meanwhile.foreign, "00/directory: a directory; "));
	assert_non_null(strstr(meanwhile.foreign, "00/fifo: neither file nor directory; "));
}

static void test_swapped_meanwhile(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	struct fscache_rescan_report report;
	size_t left = 0;

	fill(scratch, 300);
	for (unsigned i = 0; i < 300; i++) {
		autofree char *key = key_of(i, 5000), *path = path_of(key);

		put_age(scratch, path, 1000);
	}
	meanwhile.change = swap_for_links;
	report = rescan_with(&meanwhile, 500);
	for (unsigned i = 0; i < 256; i++) {
		autofree char *out = xasprintf("out-%02x", i);

		left += count_entries(scratch->fd, out);
	}
	/* Only what was reached through a folder's own handle was deleted. */
	assert_int_equal(left + report.expired.files, 300);
	assert_int_equal(report.now.files, 0);
	assert_true(left > 200);
}

static void test_unreadable(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	struct fscache_rescan_report report;
	struct err err = { 0 };

	if (geteuid() != 0) /* the tests of the command do it otherwise */
		skip();
	fill(scratch, 30);
	put_dir(scratch->fd, "c/00x");
	unlinkat(scratch->fd, "c/00x", AT_REMOVEDIR);
	assert_int_equal(fchmodat(scratch->fd, "c", 0755, 0), 0);
	assert_int_equal(chmod(scratch->path, 0755), 0);
	assert_int_equal(fchmodat(scratch->fd, "c/fscache.log", 0666, 0), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(try_rescan(&meanwhile, 0, &report, &err), -1);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(err.code, ERR_NOPERM);
	assert_right(scratch);
}

/* More comes, and what was there is evicted, all of it logged. */
static void churn(struct meanwhile *meanwhile)
{
	static unsigned first = 1000;

	add(meanwhile->cache, first, 250);
	first += 250;
}

static void test_churn(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	autofscache struct fscache *cache = cache_of(scratch, "c", 300 * 8192, &source);
	struct fscache_rescan_report report;

	add(cache, 0, 300);
	meanwhile.cache = cache;
	meanwhile.change = churn;
	report = rescan_with(&meanwhile, 0);
	assert_true(report.right);
	assert_int_equal(report.now.files, 300);
	assert_exact(scratch, "c");
	/* The same while the log is wrong. */
	for (unsigned i = 100; i < 300; i += 2) {
		autofree char *key = key_of(i, 5000);

		if (is_kept(scratch, "c", key))
			by_hand(scratch, i);
	}
	put_object(scratch, "unlogged");
	meanwhile.change = churn;
	report = rescan_with(&meanwhile, 0);
	assert_false(report.right);
	assert_exact(scratch, "c");
	assert_right(scratch);
}

/* Removed by hand and fetched again: the name is the same, the file another. */
static void again(struct meanwhile *meanwhile)
{
	for (unsigned i = 0; i < 300; i += 3)
		by_hand(meanwhile->scratch, i);
	for (unsigned i = 0; i < 300; i += 6) {
		autofree char *key = key_of(i, 5000);

		read_through(meanwhile->cache, key, FSCACHE_MISS);
	}
}

static void test_again(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 30, &source);

	add(cache, 0, 300);
	meanwhile.cache = cache;
	meanwhile.change = again;
	rescan_with(&meanwhile, 0);
	rescan(scratch);
	assert_right(scratch);
	assert_int_equal(totals_of(scratch, "c").files, 250);
}

static void lose_log(struct meanwhile *meanwhile)
{
	assert_int_equal(unlinkat(meanwhile->scratch->fd, "c/fscache.log", 0), 0);
	add(meanwhile->cache, 1000, 5);
}

static void cut_log(struct meanwhile *meanwhile)
{
	cut(meanwhile->scratch, 500);
	add(meanwhile->cache, 2000, 300);
}

static void test_log_lost_meanwhile(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 30, &source);

	add(cache, 0, 100);
	meanwhile.cache = cache;
	meanwhile.change = lose_log;
	assert_int_equal(rescan_with(&meanwhile, 0).unlogged.files, 100);
	assert_right(scratch);
	meanwhile.change = cut_log;
	assert_true(rescan_with(&meanwhile, 0).repaired);
	assert_right(scratch);
	assert_int_equal(totals_of(scratch, "c").files, 405);
}

static void second_rescan(struct meanwhile *meanwhile)
{
	struct meanwhile none = MEANWHILE(meanwhile->scratch);
	struct fscache_rescan_report report;
	struct err err = { 0 };

	assert_int_equal(try_rescan(&none, 0, &report, &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	/* Nor is the log compacted. */
	add(meanwhile->cache, 5000, 1);
}

static void test_two(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	autofscache struct fscache *cache = cache_of(scratch, "c", 1 << 30, &source);

	add(cache, 0, 10);
	meanwhile.cache = cache;
	meanwhile.change = second_rescan;
	assert_int_equal(rescan_with(&meanwhile, 0).now.files, 11);
	assert_right(scratch);
}

static void test_leftovers(void **state)
{
	const struct scratch *scratch = *state;
	struct meanwhile meanwhile = MEANWHILE(scratch);
	struct fscache_rescan_report report;
	autofd int fd = -1;

	fill(scratch, 5);
	put(scratch->fd, "c/tmp/0123456789abcdef0123456789abcdef", "left");
	put(scratch->fd, "c/tmp/0123456789abcdef0123456789abcdee", "being fetched");
	put(scratch->fd, "c/tmp/somebody's", "note");
	put(scratch->fd, "c/fscache.log.new", "left");
	fd = openat(scratch->fd, "c/tmp/0123456789abcdef0123456789abcdee", O_RDWR | O_CLOEXEC);
	assert_int_equal(lock_range(fd, LOCK_RANGE_WRITE, 0, 1, 0), 1);
	report = rescan_with(&meanwhile, 0);
	assert_true(report.right);
	assert_int_equal(report.leftovers.files, 1);
	assert_int_equal(report.strange, 1);
	assert_int_equal(count_entries(scratch->fd, "c/tmp"), 2);
}

/* The disk is full to its last byte, and the log is wrong. */
static void test_full_disk(void **state)
{
	struct scratch *scratch = *state;
	static const char *const logs[] = { NULL, "", "fscache.log 1\n" };
	static const char block[4096];

	mount_small(scratch, "c", "size=4m");
	for (size_t i = 0; i < ROWS(logs); i++) {
		struct fscache_rescan_report report;
		int fd;

		{
			autofscache struct fscache *cache =
				cache_of(scratch, "c", 2 << 20, &source);

			for (unsigned n = 0; n < 200; n++) {
				autofree char *key = key_of(n, 5000);
				autoobject struct fscache_object object;

				assert_int_equal(fscache_open(cache, key, &object, NULL), 1);
			}
		}
		assert_int_equal(unlinkat(scratch->fd, "c/fscache.log", 0), 0);
		if (logs[i])
			put(scratch->fd, "c/fscache.log", logs[i]);
		fd = openat(scratch->fd, "c/00/fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			fd = openat(scratch->fd, "c/fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		while (write(fd, block, sizeof block) > 0)
			;
		close(fd);
		report = rescan(scratch);
		assert_true(report.repaired);
		assert_true(report.evicted.files > 0);
		assert_in_range(report.now.files, 1, 200);
		unlinkat(scratch->fd, "c/00/fill", 0);
		unlinkat(scratch->fd, "c/fill", 0);
		assert_right(scratch);
	}
	unmount_small(scratch, "c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_right),
		scratch_test(test_by_hand),
		scratch_test(test_order),
		scratch_test(test_cut_short),
		scratch_test(test_damage),
		scratch_test(test_no_cache),
		scratch_test(test_max_age),
		scratch_test(test_links),
		scratch_test(test_links_in_folders),
		scratch_test(test_swapped_meanwhile),
		scratch_test(test_unreadable),
		scratch_test(test_churn),
		scratch_test(test_again),
		scratch_test(test_log_lost_meanwhile),
		scratch_test(test_two),
		scratch_test(test_leftovers),
		scratch_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
