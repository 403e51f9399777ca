#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64.h"

/* The examples of RFC 4648, section 10, and bytes with the high bit set. */
static void test_encode(void **state)
{
	static const struct {
		const char *data;
		size_t len;
		const char *text;
	} cases[] = {
		{ "", 0, "" },
		{ "f", 1, "Zg==" },
		{ "fo", 2, "Zm8=" },
		{ "foo", 3, "Zm9v" },
		{ "foob", 4, "Zm9vYg==" },
		{ "fooba", 5, "Zm9vYmE=" },
		{ "foobar", 6, "Zm9vYmFy" },
		{ "\xff\xfe\x00", 3, "//4A" },
		{ "\xfb\xff", 2, "+/8=" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		autobuf struct buf out = { 0 };

		base64_encode(&out, cases[i].data, cases[i].len);
		assert_string_equal(buf_str(&out), cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_encode) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
