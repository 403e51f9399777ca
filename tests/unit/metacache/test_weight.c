/* Cleanup weights: the published examples, limits, overflow, the order within a user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "metacache/weight.h"

#define KB (UINT64_C(1) << 10)
#define MB (UINT64_C(1) << 20)
#define GB (UINT64_C(1) << 30)
#define NOW INT64_C(1700000000)
#define DAY 86400

static const struct settings defaults = {
	.metacache_max_space_bytes = 100 * GB,
	.metacache_priority_weights = { { 10, DAY }, { 10, DAY }, { 50, 3600 }, { 100, 0 } },
	.metacache_size_weights = { .low_bytes = 2 * MB,
				    .low_add = 30,
				    .high_bytes = GB,
				    .high_add = 120 },
};

static void test_sizes(void **state)
{
	/* Dovecot's documentation of metacache_size_weights. It also says +60 for
	 * 500 MB, where its own rule gives 58.5. */
	static const struct {
		uint64_t bytes;
		int64_t adds;
	} cases[] = {
		{ 0, 30 },        { 500 * KB, 23 },  { MB, 15 },          { 1536 * KB, 8 },
		{ 2 * MB, 0 },    { 2 * MB + 1, 0 }, { 10 * MB, 1 },      { 50 * MB, 6 },
		{ 100 * MB, 12 }, { 258 * MB, 30 },  { 500 * MB, 58 },    { GB, 120 },
		{ GB + 1, 120 },  { 500 * GB, 120 }, { UINT64_MAX, 120 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(weight_of(&defaults, 3, NOW, cases[i].bytes, 0),
				 NOW + cases[i].adds);
}

static void test_priorities(void **state)
{
	static const struct {
		unsigned priority;
		uint64_t all_bytes, max_space;
		int64_t adds;
	} cases[] = {
		{ 0, 0, 100 * GB, DAY },
		{ 0, 10 * GB, 100 * GB, DAY },
		{ 0, 10 * GB + 1, 100 * GB, 0 },
		{ 1, 10 * GB, 100 * GB, DAY },
		{ 1, 11 * GB, 100 * GB, 0 },
		{ 2, 50 * GB, 100 * GB, 3600 },
		{ 2, 50 * GB + 1, 100 * GB, 0 },
		{ 3, 0, 100 * GB, 0 },
		{ 3, 200 * GB, 100 * GB, 0 },
		/* Not a whole number of bytes: 10 % of 15 are 1.5. */
		{ 0, 1, 15, DAY },
		{ 0, 2, 15, 0 },
		/* No limit: nothing is too much of it. */
		{ 0, UINT64_MAX, 0, DAY },
		{ 2, UINT64_MAX, 0, 3600 },
		/* A product of them has more than 64 bits. */
		{ 0, UINT64_MAX / 10, UINT64_MAX, DAY },
		{ 0, UINT64_MAX / 10 + 1, UINT64_MAX, 0 },
		{ 2, UINT64_MAX, UINT64_MAX, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct settings settings = defaults;

		settings.metacache_max_space_bytes = cases[i].max_space;
		assert_int_equal(
			weight_of(&settings, cases[i].priority, NOW, 2 * MB, cases[i].all_bytes),
			NOW + cases[i].adds);
	}
}

static void test_empty_settings_leave_the_last_access(void **state)
{
	static const struct settings none = { .metacache_max_space_bytes = GB };

	(void)state;
	for (unsigned i = 0; i < SETTINGS_PRIORITIES; i++) {
		assert_int_equal(weight_of(&none, i, NOW, 0, 0), NOW);
		assert_int_equal(weight_of(&none, i, NOW, UINT64_MAX, UINT64_MAX), NOW);
	}
}

static void test_extremes(void **state)
{
	struct settings settings = defaults;

	(void)state;
	assert_int_equal(weight_of(&settings, 0, INT64_MAX, 0, 0), INT64_MAX);
	assert_int_equal(weight_of(&settings, 3, INT64_MAX - 29, 0, 0), INT64_MAX);
	assert_int_equal(weight_of(&settings, 0, INT64_MIN, 0, 0), INT64_MIN + DAY + 30);
	assert_int_equal(weight_of(&settings, 3, -5, 2 * MB, 0), -5);

	settings.metacache_priority_weights[0].adjust_s = -DAY;
	assert_int_equal(weight_of(&settings, 0, NOW, 2 * MB, 0), NOW - DAY);
	assert_int_equal(weight_of(&settings, 0, INT64_MIN + 5, 2 * MB, 0), INT64_MIN);

	settings.metacache_size_weights = (struct settings_size_weights){
		.low_bytes = UINT64_MAX - 1,
		.low_add = INT64_MAX,
		.high_bytes = UINT64_MAX,
		.high_add = INT64_MAX,
	};
	assert_int_equal(weight_of(&settings, 3, 0, 0, 0), INT64_MAX);
	assert_int_equal(weight_of(&settings, 3, 0, UINT64_MAX - 1, 0), 0);
	assert_int_equal(weight_of(&settings, 3, 0, UINT64_MAX, 0), INT64_MAX);
	assert_int_equal(weight_of(&settings, 3, 0, UINT64_MAX / 2, 0), INT64_MAX / 2 + 1);
}

static void test_users(void **state)
{
	static const struct {
		int64_t access[SETTINGS_PRIORITIES], weights[SETTINGS_PRIORITIES], lowest;
	} cases[] = {
		{ .lowest = INT64_MAX, .weights = { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX } },
		{ .access = { NOW, NOW, NOW, NOW },
		  .weights = { NOW + DAY, NOW + DAY, NOW + 3600, NOW },
		  .lowest = NOW },
		{ .access = { NOW, 0, NOW, 0 },
		  .weights = { NOW + DAY, INT64_MAX, NOW + 3600, INT64_MAX },
		  .lowest = NOW + 3600 },
		{ .access = { NOW, 0, 0, 0 },
		  .weights = { NOW + DAY, INT64_MAX, INT64_MAX, INT64_MAX },
		  .lowest = NOW + DAY },
		/* INBOX would take a folder along that was used since. */
		{ .access = { NOW, 0, NOW - 2 * DAY, NOW - 3600 },
		  .weights = { NOW + DAY, INT64_MAX, NOW - 3600, NOW - 3600 },
		  .lowest = NOW - 3600 },
		{ .access = { NOW - 9 * DAY, 0, 0, NOW },
		  .weights = { NOW, INT64_MAX, INT64_MAX, NOW },
		  .lowest = NOW },
		{ .access = { -9, 0, 0, -DAY },
		  .weights = { DAY - 9, INT64_MAX, INT64_MAX, -DAY },
		  .lowest = -DAY },
	};
	static const uint64_t bytes[SETTINGS_PRIORITIES] = { 2 * MB, 2 * MB, 2 * MB, 2 * MB };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t weights[SETTINGS_PRIORITIES];

		assert_int_equal(weight_user(&defaults, cases[i].access, bytes, bytes, weights),
				 cases[i].lowest);
		for (size_t k = 0; k < SETTINGS_PRIORITIES; k++)
			assert_int_equal(weights[k], cases[i].weights[k]);
	}
}

static void test_users_are_weighed_by_their_bytes(void **state)
{
	static const int64_t access[SETTINGS_PRIORITIES] = { NOW, NOW, NOW, NOW };
	static const uint64_t bytes[SETTINGS_PRIORITIES] = { 0, 2 * GB, MB, 100 * MB };
	static const uint64_t all[SETTINGS_PRIORITIES] = { 10 * GB, 11 * GB, 51 * GB, 28 * GB };
	int64_t weights[SETTINGS_PRIORITIES];

	(void)state;
	assert_int_equal(weight_user(&defaults, access, bytes, all, weights), NOW + 12);
	assert_int_equal(weights[3], NOW + 12);
	assert_int_equal(weights[2], NOW + 15);
	assert_int_equal(weights[1], NOW + 120);
	assert_int_equal(weights[0], NOW + DAY + 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_empty_settings_leave_the_last_access),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_users_are_weighed_by_their_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
