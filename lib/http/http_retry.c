#include "http/http_retry.h"

bool http_retry_status(int status)
{
	return (status >= 500 && status <= 599) || status == 408 || status == 429;
}

int64_t http_retry_wait_ms(const struct http_retry_policy *policy, const struct http_tries *tries,
			   enum http_outcome outcome, int status)
{
	static const int64_t waits_ms[] = { 50, 500, 5000, 10000 };
	const unsigned last = sizeof waits_ms / sizeof *waits_ms - 1;
	bool unreachable = outcome == HTTP_UNREACHABLE;
	unsigned used =
		unreachable ? tries->connect_retries : tries->retries - tries->connect_retries;
	unsigned allowed = unreachable ? policy->max_connect_retries : policy->max_retries;
	int64_t wait_ms = waits_ms[used < last ? used : last];

	if (outcome == HTTP_IMPOSSIBLE || used >= allowed ||
	    (outcome == HTTP_ANSWERED && !http_retry_status(status)))
		return -1;
	if (policy->absolute_timeout_ms > 0 &&
	    tries->elapsed_ms + wait_ms >= policy->absolute_timeout_ms)
		return -1;
	return wait_ms;
}
