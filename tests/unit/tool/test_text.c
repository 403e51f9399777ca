/* Hostile text in lines, key=value text and JSON. */
#include "capture.h"

#include "base/utf8.h"
#include "tool/text.h"
#include "json/json.h"

static const struct {
	const char *text, *shown, *quoted;
} cases[] = {
	{ "", "", "\"\"" },
	{ "user@example.com", "user@example.com", "user@example.com" },
	{ "a b", "a b", "\"a b\"" },
	{ "a=b", "a=b", "\"a=b\"" },
	{ "say \"x\"", "say \"x\"", "\"say \\\"x\\\"\"" },
	{ "D\\user", "D\\user", "\"D\\\\user\"" },
	{ "a\nb\tc\rd", "a\\nb\\tc\\rd", "\"a\\nb\\tc\\rd\"" },
	{ "\x1b[2J", "\\x1b[2J", "\"\\x1b[2J\"" },
	{ "\x01\x7f", "\\x01\\x7f", "\"\\x01\\x7f\"" },
	{ "h\xc3\xa9", "h\xc3\xa9", "\"h\xc3\xa9\"" },
	{ "\xf0\x9f\x93\xac", "\xf0\x9f\x93\xac", "\"\xf0\x9f\x93\xac\"" },
	{ "\xc2\x9b", "\\xc2\\x9b", "\"\\xc2\\x9b\"" },                  /* C1: CSI */
	{ "\xe2\x80\xae!", "\\xe2\\x80\\xae!", "\"\\xe2\\x80\\xae!\"" }, /* right-to-left */
	{ "\xff", "\\xff", "\"\\xff\"" },
	{ "\xc3", "\\xc3", "\"\\xc3\"" },                             /* cut */
	{ "\xe2\x82", "\\xe2\\x82", "\"\\xe2\\x82\"" },               /* cut */
	{ "\xc0\xaf", "\\xc0\\xaf", "\"\\xc0\\xaf\"" },               /* overlong */
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80", "\"\\xed\\xa0\\x80\"" }, /* surrogate */
	{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\"\\xf4\\x90\\x80\\x80\"" },
};

static void test_shown_and_quoted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(cases); i++) {
		autobuf struct buf shown = { 0 }, quoted = { 0 };

		text_shown(&shown, cases[i].text);
		assert_string_equal(buf_str(&shown), cases[i].shown);
		text_quoted(&quoted, cases[i].text);
		assert_string_equal(buf_str(&quoted), cases[i].quoted);
	}
}

/* Every string of up to three of these bytes: they begin, continue and break all
 * that can be begun. */
static const unsigned char bytes[] = { 1,    '\t', '\n', 0x1b, ' ',  '"',  '\\',
				       'a',  0x7f, 0x80, 0x8f, 0x9b, 0xa0, 0xae,
				       0xc0, 0xc2, 0xe2, 0xed, 0xf0, 0xf4, 0xff };

static void check_any(const char *text)
{
	autobuf struct buf shown = { 0 }, quoted = { 0 }, out = { 0 };
	autojson struct json *json = NULL;
	struct err err = { 0 };
	const char *value;

	text_shown(&shown, text);
	text_quoted(&quoted, text);
	buf_puts(&out, "{\"v\":");
	text_json(&out, text);
	buf_puts(&out, "}");
	for (size_t i = 0, n; i < shown.len; i += n) {
		n = utf8_char_len(shown.data + i, shown.len - i);
		assert_true(n > 0);
		assert_false(utf8_is_control(shown.data + i, n));
	}
	assert_true(utf8_is_valid(quoted.data, quoted.len));
	assert_null(strpbrk(quoted.data, "\n\t\x1b\x7f"));
	assert_true(utf8_is_valid(out.data, out.len));
	if (json_parse(out.data, out.len, &json, &err) < 0)
		fail_msg("%s: %s", out.data, err.msg);
	assert_int_equal(json_get_str(json, "v", &value, &err), 1);
	if (utf8_is_valid(text, strlen(text)))
		assert_string_equal(value, text);
}

static void test_all_short_strings(void **state)
{
	size_t count = sizeof bytes;

	(void)state;
	for (size_t i = 0; i < count * count * count; i++) {
		char text[4] = { (char)bytes[i % count], (char)bytes[i / count % count],
				 (char)bytes[i / count / count], '\0' };

		check_any(text);
		check_any(text + 1);
		check_any(text + 2);
	}
}

static void test_numbers(void **state)
{
	static const struct {
		int64_t n;
		const char *text;
	} numbers[] = {
		{ 0, "0" },
		{ 7, "7" },
		{ 10, "10" },
		{ 99, "99" },
		{ 100, "100" },
		{ 12345, "12345" },
		{ -1, "-1" },
		{ -100, "-100" },
		{ INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};
	autobuf struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < ROWS(numbers); i++) {
		buf_truncate(&out, 0);
		text_int(&out, numbers[i].n);
		assert_string_equal(buf_str(&out), numbers[i].text);
	}
	buf_truncate(&out, 0);
	text_uint(&out, UINT64_MAX);
	assert_string_equal(buf_str(&out), "18446744073709551615");
}

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(text_width("h\xc3\xa9llo", 6), 5);
	assert_int_equal(text_width("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown_and_quoted),
		cmocka_unit_test(test_all_short_strings),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
