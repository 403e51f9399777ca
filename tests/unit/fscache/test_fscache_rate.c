/* How fast a cache evicts, whatever becomes of its log meanwhile. */
#include "../scratch.h"

#include "base/clock.h"
#include "fscache/fscache_rate.h"
#include "fscache/fscache_rewrite.h"

#define NS_PER_S INT64_C(1000000000)
#define START 1000000 /* s */

static int64_t now_s;

static void set_time(int64_t at_s)
{
	now_s = at_s;
	clock_set_for_test(at_s * NS_PER_S);
}

static int reset_time(void **state)
{
	clock_set_for_test(0);
	return scratch_teardown(state);
}

static void lock(struct fscache_log *log, int dirfd)
{
	fscache_log_init(log, dirfd);
	assert_int_equal(fscache_log_lock(log, 1000, NULL), 1);
}

static void append(struct fscache_log *log, enum fscache_record_kind kind, uint64_t cursor)
{
	struct fscache_record record = {
		.kind = kind, .bytes = 4096, .inode = 7, .cursor = cursor, .name = "name"
	};

	assert_int_equal(fscache_log_append(log, &record, NULL), 0);
}

/* Objects come and go: the queue is as long afterwards. */
static void evict(struct fscache_log *log, int count)
{
	for (int i = 0; i < count; i++) {
		append(log, FSCACHE_ADDED, 0);
		append(log, FSCACHE_REMOVED, log->totals.cursor + 1);
	}
}

static void rewrite(struct fscache_log *log)
{
	autorewrite struct fscache_rewrite rewrite;

	assert_int_equal(fscache_rewrite_begin(&rewrite, log, NULL), 0);
	assert_int_equal(fscache_rewrite_commit(&rewrite, "rescan", NULL), 0);
}

static int rate_of(const struct fscache_log *log)
{
	struct fscache_rate rate;

	assert_int_equal(fscache_rate_read(log, now_s, &rate, NULL), 0);
	return (int)fscache_rate_per_minute(&rate, log->totals.evictions, now_s);
}

static void test_lines(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;

	set_time(START);
	lock(&log, scratch->fd);
	assert_int_equal(rate_of(&log), 0);
	evict(&log, 70);
	assert_int_equal(rate_of(&log), 7);
	/* A checkpoint that was just made is no shorter time to go by. */
	fscache_log_checkpoint(&log, "size", NULL);
	evict(&log, 10);
	assert_int_equal(rate_of(&log), 8);
	set_time(START + 300);
	evict(&log, 20);
	assert_int_equal(rate_of(&log), 10);
	set_time(START + 601);
	assert_int_equal(rate_of(&log), 2);
	set_time(START + 1000);
	assert_int_equal(rate_of(&log), 0);
}

/* Fifty a second, and the log rewritten every few seconds. */
static void test_thrash(void **state)
{
	static const int every_s[] = { 1, 7, 59, 61, 250 };
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < sizeof every_s / sizeof *every_s; i++) {
		autofscachelog struct fscache_log log;

		lock(&log, scratch->fd);
		for (int s = 0; s < 1500; s++) {
			set_time(START + 10000 * (int64_t)i + s);
			evict(&log, 50);
			if (s % 20 == 0)
				fscache_log_checkpoint(&log, "size", NULL);
			if (s % every_s[i] == 0)
				assert_int_equal(fscache_rewrite_compact(&log, NULL), 0);
			/* At first there are no ten minutes to go by. */
			if (s < 599)
				assert_in_range(rate_of(&log), 5 * s, 5 * s + 10);
			else
				assert_in_range(rate_of(&log), 2950, 3050);
		}
		/* It ends as it does without. */
		set_time(now_s + 300);
		assert_in_range(rate_of(&log), 1400, 1700);
		set_time(now_s + 300);
		assert_in_range(rate_of(&log), 0, 50);
	}
}

static void test_few_evictions_and_a_rescan(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;

	set_time(START);
	lock(&log, scratch->fd);
	for (int s = 0; s < 600; s += 6) {
		set_time(START + s);
		evict(&log, 1);
	}
	assert_int_equal(rate_of(&log), 10);
	for (int i = 0; i < 3; i++) {
		rewrite(&log);
		assert_int_equal(rate_of(&log), 10);
	}
	set_time(START + 660);
	rewrite(&log);
	set_time(START + 700);
	assert_in_range(rate_of(&log), 8, 9);
}

/* The log of a program that keeps no such checkpoints. */
static void test_only_its_last_checkpoint(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;

	put(scratch->fd, FSCACHE_LOG_FILE,
	    FSCACHE_LOG_HEADER "= 1000000 14 0 0 14 0 370000 0 370000 compacted\n"
			       "= 1000000 14 0 0 14 0 370000 0 370001 damaged\n"
			       "= 1000000 14 0 0 14 0 370000 0 370000 compacted\n"
			       "= 9000000 14 0 0 14 0 370000 0 370000 tomorrow\n");
	set_time(START);
	lock(&log, scratch->fd);
	assert_int_equal(rate_of(&log), 0);
	evict(&log, 100);
	assert_int_equal(rate_of(&log), 6000);
	set_time(START + 3);
	assert_int_equal(rate_of(&log), 2000);
	rewrite(&log);
	assert_int_equal(rate_of(&log), 2000);
}

/* Only the end of a large log is read. */
static void test_large(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;

	lock(&log, scratch->fd);
	for (int s = 0; s < 110; s++) {
		set_time(START + s);
		evict(&log, 1000);
		fscache_log_checkpoint(&log, "size", NULL);
	}
	assert_true(log.offset > 5 << 20);
	assert_in_range(rate_of(&log), 60000, 61000);
}

#define rate_test(f) cmocka_unit_test_setup_teardown(f, scratch_setup, reset_time)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rate_test(test_lines),
		rate_test(test_thrash),
		rate_test(test_few_evictions_and_a_rescan),
		rate_test(test_only_its_last_checkpoint),
		rate_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
