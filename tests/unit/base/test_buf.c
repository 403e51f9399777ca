/* The string builder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void test_appends(void **state)
{
	autobuf struct buf buf = { 0 };

	(void)state;
	assert_string_equal(buf_str(&buf), "");
	buf_puts(&buf, "ab");
	buf_putc(&buf, 'c');
	buf_append(&buf, "d\0e", 3);
	assert_int_equal(buf.len, 6);
	assert_memory_equal(buf.data, "abcd\0e\0", 7);
	buf_truncate(&buf, 3);
	buf_truncate(&buf, 100);
	assert_string_equal(buf_str(&buf), "abc");
	buf_printf(&buf, "-%d-%s", 42, "x");
	buf_hex(&buf, "\x00\xff\x1a", 3);
	assert_string_equal(buf_str(&buf), "abc-42-x00ff1a");
	assert_int_equal(buf.len, strlen(buf.data));
	buf_append(&buf, NULL, 0);
	assert_string_equal(buf_str(&buf), "abc-42-x00ff1a");
}

static void test_grows(void **state)
{
	autobuf struct buf buf = { 0 };
	char chunk[97];

	(void)state;
	memset(chunk, 'y', sizeof chunk);
	for (size_t i = 1; i <= 1000; i++) {
		buf_append(&buf, chunk, sizeof chunk);
		assert_int_equal(buf.len, i * sizeof chunk);
		assert_true(buf.len < buf.cap);
		assert_int_equal(buf.data[buf.len], '\0');
	}
	for (size_t i = 0; i < buf.len; i++)
		assert_int_equal(buf.data[i], 'y');
}

static void test_long_format(void **state)
{
	autobuf struct buf buf = { 0 };

	(void)state;
	buf_printf(&buf, "%0*d", 5000, 7);
	assert_int_equal(buf.len, 5000);
	assert_string_equal(buf.data + 4998, "07");
}

static void test_reserve(void **state)
{
	autobuf struct buf buf = { 0 };
	char *at = buf_reserve(&buf, 10);

	(void)state;
	memcpy(at, "0123456789", 10);
	buf.len += 10;
	buf_putc(&buf, 'x');
	assert_string_equal(buf_str(&buf), "0123456789x");
}

static void test_steal_and_free(void **state)
{
	struct buf buf = { 0 };
	char *stolen = buf_steal(&buf);

	(void)state;
	assert_string_equal(stolen, "");
	free(stolen);
	buf_puts(&buf, "kept");
	stolen = buf_steal(&buf);
	assert_string_equal(stolen, "kept");
	assert_null(buf.data);
	assert_int_equal(buf.len, 0);
	free(stolen);
	buf_puts(&buf, "again");
	buf_free(&buf);
	buf_free(&buf);
	assert_string_equal(buf_str(&buf), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_appends),        cmocka_unit_test(test_grows),
		cmocka_unit_test(test_long_format),    cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_steal_and_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
