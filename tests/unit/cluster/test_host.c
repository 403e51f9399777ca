/* Hosts are compared by what they are, never by how they are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/host.h"

static void test_parse(void **state)
{
	static const char *const rows[][2] = {
		{ "127.0.0.1", "127.0.0.1" },
		{ "::1", "::1" },
		{ "[::1]", "::1" },
		{ "2001:DB8:0:0::0:1", "2001:db8::1" },
		{ "::ffff:10.0.0.1", "10.0.0.1" },
		{ "::ffff:a00:1", "10.0.0.1" },
		{ "[::FFFF:10.0.0.1]", "10.0.0.1" },
		{ "Backend1", "backend1" },
		{ "B1.Example.COM.", "b1.example.com" },
		{ "2b", "2b" },
		{ "1.2.3.4.example", "1.2.3.4.example" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct host host;

		if (host_parse(rows[i][0], &host) < 0)
			fail_msg("%s is refused", rows[i][0]);
		assert_string_equal(host.text, rows[i][1]);
		assert_int_equal(host.is_address, i < 7);
	}
}

static void test_refuse(void **state)
{
	static const char *const rows[] = {
		"",           ".",          "..",           "a..b",         ".a",
		"10.1",       "10.0.0.256", "12345",        "0x7f.1",       "10.0.0.1 ",
		"10.0.0.1/8", "a b",        "a\tb",         "a:143",        "[a]",
		"[",          "[]",         "::1:143x",     "fe80::1%eth0", "010.0.0.1",
		"n/a",        "b\xc3\xa4",  "10.0.0.1:143", "a@b",          "b1\r",
	};
	char too_long[HOST_MAX + 2];
	struct host host;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (host_parse(rows[i], &host) == 0)
			fail_msg("taken: %s", rows[i]);
	}
	memset(too_long, 'a', HOST_MAX + 1);
	too_long[HOST_MAX + 1] = '\0';
	assert_int_equal(host_parse(too_long, &host), -1);
	assert_int_equal(host_parse(too_long + 1, &host), 0);
}

static void test_compare(void **state)
{
	static const struct {
		const char *a, *b;
		enum host_match match;
	} rows[] = {
		{ "127.0.0.1", "::ffff:127.0.0.1", HOST_SAME },
		{ "2001:db8::1", "[2001:0DB8::0001]", HOST_SAME },
		{ "b1.example.com", "B1.example.com.", HOST_SAME },
		{ "127.0.0.1", "127.0.0.10", HOST_OTHER },
		{ "::1", "127.0.0.1", HOST_OTHER },
		{ "b1", "b2", HOST_OTHER },
		{ "b1", "b10", HOST_OTHER },
		{ "b1.example.com", "b1.example.org", HOST_OTHER },
		{ "b1", "127.0.0.1", HOST_CANT_TELL },
		{ "b1", "b1.example.com", HOST_CANT_TELL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct host a, b;

		assert_int_equal(host_parse(rows[i].a, &a), 0);
		assert_int_equal(host_parse(rows[i].b, &b), 0);
		if (host_compare(&a, &b) != rows[i].match || host_compare(&b, &a) != rows[i].match)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_compare),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
