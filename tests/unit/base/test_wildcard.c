/* Masks: what they match, and that no mask is slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wildcard.h"

static void test_matches(void **state)
{
	static const struct {
		const char *mask, *s;
		bool matches;
	} cases[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "*", "", true },
		{ "*", "anything@x", true },
		{ "**", "", true },
		{ "?", "", false },
		{ "?", "a", true },
		{ "?", "ab", false },
		{ "??*", "a", false },
		{ "??*", "ab", true },
		{ "testuser*", "testuser1@x", true },
		{ "testuser*", "mytestuser", false },
		{ "*@example.com", "a@example.com", true },
		{ "*@example.com", "a@example.com.evil", false },
		{ "a*b*c", "aXbXc", true },
		{ "a*b*c", "abcb", false },
		{ "*ab", "aab", true },
		{ "*aab*b", "aaaabxb", true },
		{ "a\\*", "a*", false },
		{ "[ab]", "a", false },
		{ "A", "a", false },
		{ "*?*?*", "a", false },
		{ "*?*?*", "ab", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (wildcard_match(cases[i].mask, cases[i].s) != cases[i].matches)
			fail_msg("mask %s, text %s", cases[i].mask, cases[i].s);
	}
}

/* With backtracking into every star this would not end in anybody's lifetime. */
static void test_hostile_mask(void **state)
{
	char mask[401], text[4001];
	int64_t start = clock_mono_ms();

	(void)state;
	for (size_t i = 0; i < 400; i += 2)
		memcpy(mask + i, "*a", 2);
	mask[399] = 'b';
	mask[400] = '\0';
	memset(text, 'a', 4000);
	text[4000] = '\0';
	assert_false(wildcard_match(mask, text));
	assert_true(clock_mono_ms() - start < 2000);
}

static void test_literal(void **state)
{
	(void)state;
	assert_true(wildcard_is_literal("user@example.com"));
	assert_true(wildcard_is_literal(""));
	assert_false(wildcard_is_literal("user*"));
	assert_false(wildcard_is_literal("us?r"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_hostile_mask),
		cmocka_unit_test(test_literal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
