/* Hostile text in messages, and what is UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/quote.h"
#include "base/utf8.h"

static void test_quotes(void **state)
{
	static const struct {
		const char *text, *quoted;
	} cases[] = {
		{ "", "\"\"" },
		{ "user@example.com", "\"user@example.com\"" },
		{ "a\nb", "\"a\\x0ab\"" },
		{ "\x1b[31m", "\"\\x1b[31m\"" },
		{ "q\"b\\", "\"q\\\"b\\\\\"" },
		{ "h\xc3\xa9", "\"h\xc3\xa9\"" },
		{ "\xff\xc3", "\"\\xff\\xc3\"" },
		{ "\xc2\x9b", "\"\\xc2\\x9b\"" },          /* C1: a terminal's CSI */
		{ "\xe2\x80\xae", "\"\\xe2\\x80\\xae\"" }, /* right-to-left override */
		{ "\x7f", "\"\\x7f\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_string_equal(quote_str(cases[i].text).s, cases[i].quoted);
	assert_string_equal(quote_mem("a\0b", 3).s, "\"a\\x00b\"");
}

static void test_cut(void **state)
{
	char text[1000];
	struct quoted quoted;

	(void)state;
	for (size_t len = 150; len < 260; len++) {
		memset(text, 'x', len);
		quoted = quote_mem(text, len);
		assert_true(strlen(quoted.s) < sizeof quoted.s);
		assert_string_equal(quoted.s + strlen(quoted.s) - 1, len > 202 ? "." : "\"");
		/* Never within a character: the result stays UTF-8. */
		memset(text, '\xc3', len);
		for (size_t i = len % 2 + 1; i < len; i += 2)
			text[i] = '\xa9';
		quoted = quote_mem(text, len);
		assert_true(utf8_is_valid(quoted.s, strlen(quoted.s)));
	}
	memset(text, '\n', sizeof text);
	quoted = quote_mem(text, sizeof text);
	assert_string_equal(quoted.s + strlen(quoted.s) - 8, "\\x0a\"...");
}

static void test_utf8(void **state)
{
	static const struct {
		const char *s;
		size_t len;
	} cases[] = {
		{ "a", 1 },
		{ "\xc3\xa9", 2 },
		{ "\xe2\x82\xac", 3 },
		{ "\xf0\x9f\x98\x80", 4 },
		{ "\xf4\x8f\xbf\xbf", 4 },
		{ "\x80", 0 },
		{ "\xc0\xaf", 0 }, /* overlong / */
		{ "\xc1\xbf", 0 },
		{ "\xe0\x80\xaf", 0 },
		{ "\xf0\x80\x80\xaf", 0 },
		{ "\xed\xa0\x80", 0 },     /* surrogate */
		{ "\xf4\x90\x80\x80", 0 }, /* over U+10FFFF */
		{ "\xf5\x80\x80\x80", 0 },
		{ "\xe2\x82", 0 },
		{ "\xc3", 0 },
		{ "\xc3(", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		/* On the heap, so that a byte read beyond it is seen. */
		size_t size = strlen(cases[i].s);
		char *copy = malloc(size);

		memcpy(copy, cases[i].s, size);
		assert_int_equal(utf8_char_len(copy, size), cases[i].len);
		assert_true(utf8_is_valid(copy, size) == (cases[i].len == size));
		free(copy);
	}
	assert_true(utf8_is_valid("", 0));
	assert_int_equal(utf8_char_len("\xe2\x82\xac", 2), 0);
	assert_int_equal(utf8_char_len("\xf0\x9f\x98\x80", 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
