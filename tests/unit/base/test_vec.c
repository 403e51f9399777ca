#include "../scratch.h"

#include "base/cleanup.h"
#include "base/vec.h"

VEC(number_vec, long);

static void test_grows(void **state)
{
	struct number_vec numbers = { 0 };

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (long i = 0; i < 10000; i++) {
			vec_push(&numbers, i * 3);
			assert_int_equal(numbers.count, i + 1);
			assert_true(numbers.cap >= numbers.count);
		}
		for (long i = 0; i < 10000; i++)
			assert_int_equal(numbers.items[i], i * 3);
		vec_free(&numbers);
		assert_null(numbers.items);
		assert_int_equal(numbers.count, 0);
		vec_free(&numbers);
	}
}

/* The macro takes its arguments once each. */
static void test_evaluates_once(void **state)
{
	struct number_vec vecs[2] = { 0 }, *at = vecs;
	long next = 5;

	(void)state;
	vec_push(at++, next++);
	assert_ptr_equal(at, vecs + 1);
	assert_int_equal(next, 6);
	assert_int_equal(vecs[0].items[0], 5);
	vec_free(&vecs[0]);
}

static void test_strings(void **state)
{
	static const struct {
		const char *text;
		int is;
	} rows[] = { { "a", 1 }, { "", 1 }, { "long text", 1 }, { "A", 0 }, { "long", 0 } };
	struct str_vec names = { 0 };

	(void)state;
	assert_int_equal(str_vec_has(&names, "a"), 0);
	vec_push(&names, xstrdup("a"));
	vec_push(&names, xstrdup(""));
	vec_push(&names, xstrdup("long text"));
	for (size_t i = 0; i < ROWS(rows); i++)
		assert_int_equal(str_vec_has(&names, rows[i].text), rows[i].is);
	vec_push(&names, xstrdup("last"));
	assert_int_equal(str_vec_drop(&names, "not there"), 0);
	while (names.count > 1) {
		autofree char *first = xstrdup(names.items[0]);

		assert_int_equal(str_vec_drop(&names, first), 1);
		assert_int_equal(str_vec_has(&names, first), 0);
	}
	assert_string_equal(names.items[0], "last");
	vec_push(&names, xstrdup("x"));
	vec_push(&names, xstrdup("last"));
	assert_int_equal(str_vec_drop(&names, "last"), 1); /* all of them */
	assert_int_equal(names.count, 1);
	assert_string_equal(names.items[0], "x");
	str_vec_free(&names);
	assert_int_equal(names.count, 0);
	str_vec_free(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_evaluates_once),
		cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests_name("vec", tests, NULL, NULL);
}
