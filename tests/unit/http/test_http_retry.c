/* When a request is tried again: the documented waits, as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http_retry.h"

static const struct {
	struct http_retry_policy policy;
	struct http_tries tries;
	enum http_outcome outcome;
	int status;
	int64_t wait_ms;
} rows[] = {
	/* the waits */
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 500, 50 },
	{ { 4, 2, 0 }, { 1, 0, 60 }, HTTP_ANSWERED, 503, 500 },
	{ { 4, 2, 0 }, { 2, 0, 600 }, HTTP_ANSWERED, 502, 5000 },
	{ { 4, 2, 0 }, { 3, 0, 6000 }, HTTP_ANSWERED, 599, 10000 },
	{ { 4, 2, 0 }, { 4, 0, 16000 }, HTTP_ANSWERED, 500, -1 },
	{ { 9, 2, 0 }, { 7, 0, 60000 }, HTTP_ANSWERED, 500, 10000 },
	{ { 0, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 500, -1 },
	/* which outcomes */
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 200, -1 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 301, -1 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 400, -1 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 403, -1 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 404, -1 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 408, 50 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 429, 50 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_ANSWERED, 600, -1 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_BROKEN, 0, 50 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_BROKEN, 200, 50 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_IMPOSSIBLE, 0, -1 },
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_IMPOSSIBLE, 500, -1 },
	/* connections are counted by themselves */
	{ { 4, 2, 0 }, { 0, 0, 0 }, HTTP_UNREACHABLE, 0, 50 },
	{ { 4, 2, 0 }, { 1, 1, 60 }, HTTP_UNREACHABLE, 0, 500 },
	{ { 4, 2, 0 }, { 2, 2, 600 }, HTTP_UNREACHABLE, 0, -1 },
	{ { 4, 2, 0 }, { 2, 2, 600 }, HTTP_ANSWERED, 500, 50 },
	{ { 0, 2, 0 }, { 0, 0, 0 }, HTTP_UNREACHABLE, 0, 50 },
	{ { 4, 0, 0 }, { 0, 0, 0 }, HTTP_UNREACHABLE, 0, -1 },
	/* the limit on all of it */
	{ { 4, 2, 1000 }, { 1, 0, 400 }, HTTP_BROKEN, 0, 500 },
	{ { 4, 2, 1000 }, { 1, 0, 500 }, HTTP_BROKEN, 0, -1 },
	{ { 4, 2, 40 }, { 0, 0, 0 }, HTTP_UNREACHABLE, 0, -1 },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t wait_ms = http_retry_wait_ms(&rows[i].policy, &rows[i].tries,
						     rows[i].outcome, rows[i].status);

		if (wait_ms != rows[i].wait_ms)
			fail_msg("row %zu: %lld instead of %lld", i, (long long)wait_ms,
				 (long long)rows[i].wait_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
