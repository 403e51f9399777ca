#include "../scratch.h"

#include <pthread.h>

#include "fscache/fscache_table.h"

static struct fscache_print print_of(const struct fscache_table *table, unsigned n, uint64_t inode)
{
	char name[16];

	snprintf(name, sizeof name, "name%u", n);
	return fscache_table_print(table, n, name, strlen(name), inode);
}

static void assert_sum(struct fscache_table *table, enum fscache_table_state state, uint64_t files,
		       uint64_t bytes)
{
	struct fscache_table_sum sum = fscache_table_sum(table, state);

	assert_int_equal(sum.files, files);
	assert_int_equal(sum.bytes, bytes);
}

static void test_seen(void **state)
{
	autofscachetable struct fscache_table *table = fscache_table_new(0);
	uint64_t was;

	(void)state;
	fscache_table_add(table, print_of(table, 1, 10), 4096);
	fscache_table_add(table, print_of(table, 2, 11), 8192);
	fscache_table_add(table, print_of(table, 3, 12), 512);
	assert_true(fscache_table_see(table, print_of(table, 1, 10), 4096, &was));
	assert_int_equal(was, 4096);
	assert_true(fscache_table_see(table, print_of(table, 2, 11), 1024, &was));
	assert_int_equal(was, 8192);
	assert_false(fscache_table_see(table, print_of(table, 3, 13), 512, &was));
	assert_false(fscache_table_see(table, print_of(table, 4, 10), 4096, &was));
	assert_sum(table, FSCACHE_TABLE_PRESENT, 1, 4096);
	assert_sum(table, FSCACHE_TABLE_RESIZED, 1, 1024);
	assert_sum(table, FSCACHE_TABLE_ABSENT, 1, 512);
	fscache_table_expire(table, print_of(table, 1, 10));
	assert_sum(table, FSCACHE_TABLE_EXPIRED, 1, 4096);
}

/* One file can stand for one entry only, whichever of them has its size. */
static void test_twice_in_the_log(void **state)
{
	autofscachetable struct fscache_table *table = fscache_table_new(0);
	uint64_t bytes;

	(void)state;
	fscache_table_add(table, print_of(table, 1, 10), 4096);
	fscache_table_add(table, print_of(table, 1, 10), 8192);
	for (int i = 0; i < 2; i++)
		assert_true(fscache_table_see(table, print_of(table, 1, 10), 8192, &bytes));
	assert_sum(table, FSCACHE_TABLE_PRESENT, 1, 8192);
	assert_sum(table, FSCACHE_TABLE_ABSENT, 1, 4096);
	assert_true(fscache_table_take(table, print_of(table, 1, 10), &bytes));
	assert_int_equal(bytes, 8192);
	assert_false(fscache_table_take(table, print_of(table, 1, 10), &bytes));
	fscache_table_untake(table);
	assert_true(fscache_table_take(table, print_of(table, 1, 10), &bytes));
}

static void test_replayed(void **state)
{
	autofscachetable struct fscache_table *table = fscache_table_new(0);
	uint64_t was;

	(void)state;
	fscache_table_add(table, print_of(table, 1, 10), 512);
	fscache_table_see(table, print_of(table, 1, 10), 512, &was);
	/* Another file has got the name. */
	fscache_table_doubt(table, print_of(table, 1, 11));
	fscache_table_add(table, print_of(table, 1, 11), 1024);
	fscache_table_see(table, print_of(table, 1, 11), 1024, &was);
	assert_sum(table, FSCACHE_TABLE_ABSENT, 1, 512);
	assert_sum(table, FSCACHE_TABLE_PRESENT, 1, 1024);
	fscache_table_remove(table, print_of(table, 1, 10));
	assert_false(fscache_table_has(table, print_of(table, 1, 10)));
	assert_true(fscache_table_has(table, print_of(table, 1, 11)));
	assert_sum(table, FSCACHE_TABLE_ABSENT, 0, 0);
	/* Evicted: what else is said of the same file is not true either. */
	fscache_table_add(table, print_of(table, 1, 11), 1024);
	fscache_table_remove(table, print_of(table, 1, 11));
	assert_sum(table, FSCACHE_TABLE_PRESENT, 0, 0);
	assert_sum(table, FSCACHE_TABLE_ABSENT, 1, 1024);
	fscache_table_remove(table, print_of(table, 7, 11));
}

/* No size that a log can claim is mistaken for one that a file has. */
static void test_sizes_that_are_none(void **state)
{
	static const uint64_t sizes[] = { 1, 511, 513, UINT64_MAX, (uint64_t)1 << 45 };
	uint64_t was;

	(void)state;
	for (size_t i = 0; i < ROWS(sizes); i++) {
		autofscachetable struct fscache_table *table = fscache_table_new(0);

		fscache_table_add(table, print_of(table, 1, 10), sizes[i]);
		assert_true(
			fscache_table_see(table, print_of(table, 1, 10), sizes[i] & ~511U, &was));
		assert_sum(table, FSCACHE_TABLE_PRESENT, 0, 0);
	}
}

#define MANY 100000U
#define ADDERS 4

struct adder {
	struct fscache_table *table;
	unsigned first;
};

static void *add_some(void *arg)
{
	const struct adder *adder = arg;

	for (unsigned n = adder->first; n < MANY; n += ADDERS)
		fscache_table_add(adder->table, print_of(adder->table, n, n), n * 512);
	return NULL;
}

static void test_many(void **state)
{
	static const uint64_t hints[] = { 0, MANY / 2, 2 * MANY };
	uint64_t was;

	(void)state;
	for (size_t i = 0; i < ROWS(hints); i++) {
		autofscachetable struct fscache_table *table = fscache_table_new(hints[i]);
		struct adder adders[ADDERS];
		pthread_t threads[ADDERS];

		for (unsigned t = 0; t < ADDERS; t++) {
			adders[t] = (struct adder){ table, t };
			assert_int_equal(pthread_create(&threads[t], NULL, add_some, &adders[t]),
					 0);
		}
		for (unsigned t = 0; t < ADDERS; t++)
			pthread_join(threads[t], NULL);
		for (unsigned n = 0; n < MANY; n++)
			assert_true(fscache_table_see(table, print_of(table, n, n), n * 512, &was));
		assert_sum(table, FSCACHE_TABLE_PRESENT, MANY,
			   (uint64_t)MANY * (MANY - 1) / 2 * 512);
		/* It goes on growing once it was asked. */
		for (unsigned n = MANY; n < 2 * MANY; n++)
			fscache_table_add(table, print_of(table, n, n), 512);
		for (unsigned n = 0; n < 2 * MANY; n += 2)
			fscache_table_remove(table, print_of(table, n, n));
		for (unsigned n = 0; n < 2 * MANY; n++)
			assert_int_equal(fscache_table_has(table, print_of(table, n, n)), n % 2);
		assert_sum(table, FSCACHE_TABLE_ABSENT, MANY / 2, MANY / 2 * 512);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seen),     cmocka_unit_test(test_twice_in_the_log),
		cmocka_unit_test(test_replayed), cmocka_unit_test(test_sizes_that_are_none),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
