#include "../scratch.h"
#include "base/str.h"

static void test_starts_and_ends(void **state)
{
	static const struct {
		const char *s, *part;
		bool starts, ends;
	} rows[] = {
		{ "", "", true, true },          { "abc", "", true, true },
		{ "abc", "abc", true, true },    { "abc", "ab", true, false },
		{ "abc", "bc", false, true },    { "abc", "b", false, false },
		{ "abc", "abcd", false, false }, { "abc", "zabc", false, false },
		{ "", "a", false, false },       { "aba", "a", true, true },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		if (str_starts_with(rows[i].s, rows[i].part) != rows[i].starts ||
		    str_ends_with(rows[i].s, rows[i].part) != rows[i].ends)
			fail_msg("row %zu", i);
	}
}

static void test_same(void **state)
{
	(void)state;
	assert_true(str_same(NULL, NULL));
	assert_true(str_same("a", "a"));
	assert_false(str_same("a", "b"));
	assert_false(str_same("a", NULL));
	assert_false(str_same(NULL, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_and_ends),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
