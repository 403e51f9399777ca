/* Errors: what a caller is told, whatever the length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/err.h"

static void test_set(void **state)
{
	struct err err = { .hint = "old", .again = true, .sys = 5 };

	(void)state;
	assert_int_equal(err_set(&err, ERR_DATA, "%s is %d", "x", 3), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_string_equal(err.msg, "x is 3");
	assert_string_equal(err.hint, "");
	assert_false(err.again);
	assert_int_equal(err.sys, 0);
}

static void test_sys(void **state)
{
	static const struct {
		int errnum;
		enum err_code code;
		bool again;
	} cases[] = {
		{ ENOENT, ERR_NOTFOUND, false },
		{ EACCES, ERR_NOPERM, false },
		{ EROFS, ERR_NOPERM, false },
		{ ENOSPC, ERR_CANTCREATE, false },
		{ EDQUOT, ERR_CANTCREATE, false },
		{ EAGAIN, ERR_BUSY, true },
		{ EIO, ERR_IO, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err err = { 0 };

		assert_int_equal(err_sys(&err, cases[i].errnum, "open %s", "f"), -1);
		assert_int_equal(err.code, cases[i].code);
		assert_true(err.again == cases[i].again);
		assert_int_equal(err.sys, cases[i].errnum);
		assert_memory_equal(err.msg, "open f: ", 8);
		assert_string_equal(err.msg + 8, strerror(cases[i].errnum));
		assert_true((err.hint[0] != '\0') == (err.code == ERR_CANTCREATE));
	}
}

static void test_prefix_and_hint(void **state)
{
	struct err err = { 0 };

	(void)state;
	err_set(&err, ERR_IO, "inner");
	assert_int_equal(err_prefix(&err, "user %s", "u"), -1);
	assert_string_equal(err.msg, "user u: inner");
	assert_int_equal(err.code, ERR_IO);
	err_hint(&err, "first");
	err_hint(&err, "second");
	assert_string_equal(err.hint, "first");
	err_again(&err);
	assert_true(err.again);
	err_clear(&err);
	assert_int_equal(err.code, ERR_NONE);
	assert_string_equal(err.msg, "");
	assert_string_equal(err.hint, "");
	assert_false(err.again);
}

static void check_cut(const struct err *err, const char *start)
{
	assert_int_equal(strlen(err->msg), sizeof err->msg - 1);
	assert_memory_equal(err->msg, start, strlen(start));
	assert_string_equal(err->msg + sizeof err->msg - 4, "...");
}

static void test_too_long(void **state)
{
	char text[2000];
	struct err err = { 0 };

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	err_set(&err, ERR_IO, "%s", text);
	check_cut(&err, "xxx");
	err_prefix(&err, "a");
	check_cut(&err, "a: xxx");
	err_prefix(&err, "%s", text);
	check_cut(&err, "xxx");
	err_sys(&err, EIO, "%s", text);
	assert_string_equal(err.msg + strlen(err.msg) - strlen(strerror(EIO)), strerror(EIO));
	assert_non_null(strstr(err.msg, "...: "));
	err_hint(&err, "%s", text);
	assert_int_equal(strlen(err.hint), sizeof err.hint - 1);
}

static void test_null_is_fine(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_IO, "x"), -1);
	assert_int_equal(err_sys(NULL, EIO, "x"), -1);
	assert_int_equal(err_prefix(NULL, "x"), -1);
	assert_int_equal(err_hint(NULL, "x"), -1);
	assert_int_equal(err_again(NULL), -1);
	err_clear(NULL);
}

static void test_exit_codes(void **state)
{
	(void)state;
	assert_int_equal(err_exit_code(ERR_NONE), 0);
	assert_int_equal(err_exit_code(ERR_NOTFOUND), 66);
	assert_int_equal(err_exit_code(ERR_BUSY), 75);
	assert_int_equal(err_exit_code(ERR_CONFLICT), 65);
	assert_int_equal(err_exit_code(ERR_CONFIG), 78);
	assert_int_equal(err_exit_code(ERR_USAGE), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_sys),
		cmocka_unit_test(test_prefix_and_hint),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_null_is_fine),
		cmocka_unit_test(test_exit_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
