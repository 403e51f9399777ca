/* Scope exit, clocks, arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"

static int open_null(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_fd_is_closed_and_errno_kept(void **state)
{
	int number;

	(void)state;
	{
		autofd int fd = open_null();

		number = fd;
		assert_true(is_open(number));
		errno = ENOSPC;
	}
	assert_int_equal(errno, ENOSPC);
	assert_false(is_open(number));
	{
		autofd int none = -1;

		(void)none;
		errno = EXDEV;
	}
	assert_int_equal(errno, EXDEV);
}

static void test_stolen_outlives_the_scope(void **state)
{
	int number;
	char *kept;

	(void)state;
	{
		autofd int fd = open_null();
		autofree char *text = xstrdup("kept");

		number = steal_fd(&fd);
		assert_int_equal(fd, -1);
		kept = steal_ptr(&text);
		assert_null(text);
	}
	assert_true(is_open(number));
	assert_string_equal(kept, "kept");
	close(number);
	free(kept);
}

static void test_clock(void **state)
{
	int64_t before = clock_mono_ms(), now;

	(void)state;
	clock_sleep_ms(20);
	assert_true(clock_mono_ms() - before >= 20);
	now = clock_now_ns();
	assert_true(now / 1000000000 - time(NULL) <= 1 && time(NULL) - now / 1000000000 <= 1);
	clock_set_for_test(INT64_C(1700000000123456789));
	assert_true(clock_now_ns() == INT64_C(1700000000123456789));
	clock_set_for_test(0);
	assert_true(clock_now_ns() >= now);
}

static void test_random_differs(void **state)
{
	unsigned char a[32] = { 0 }, b[32] = { 0 };

	(void)state;
	clock_random(a, sizeof a);
	clock_random(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
}

static void test_vec(void **state)
{
	struct str_vec vec = { 0 };

	(void)state;
	for (int i = 0; i < 100; i++)
		vec_push(&vec, xasprintf("item %d", i));
	assert_int_equal(vec.count, 100);
	assert_string_equal(vec.items[99], "item 99");
	assert_true(str_vec_has(&vec, "item 42"));
	assert_false(str_vec_has(&vec, "item 100"));
	str_vec_free(&vec);
	assert_int_equal(vec.count, 0);
	assert_null(vec.items);
	str_vec_free(&vec);
}

static void test_mem(void **state)
{
	autofree char *part = xstrndup("abcdef", 3);
	autofree unsigned char *zero = xcalloc(3, 5);
	autofree void *empty = xmalloc(0);

	(void)state;
	assert_string_equal(part, "abc");
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(zero[i], 0);
	assert_non_null(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fd_is_closed_and_errno_kept),
		cmocka_unit_test(test_stolen_outlives_the_scope),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_random_differs),
		cmocka_unit_test(test_vec),
		cmocka_unit_test(test_mem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
