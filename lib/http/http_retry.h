/* When a request is tried again: pure, so that it can be tested as a table. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum http_outcome {
	HTTP_ANSWERED,    /* with `status` */
	HTTP_UNREACHABLE, /* no connection: nothing was sent */
	HTTP_BROKEN,      /* the connection ended or stalled within the exchange */
	HTTP_IMPOSSIBLE, /* no second try would be different: bad certificate, bad URL, disk full */
};

struct http_retry_policy {
	unsigned max_retries;         /* after 5xx, 408, 429 and broken connections */
	unsigned max_connect_retries; /* after failing to connect */
	int64_t absolute_timeout_ms;  /* the end of all tries and waits; 0: no limit */
};

struct http_tries {
	unsigned retries; /* so far, of either kind */
	unsigned connect_retries;
	int64_t elapsed_ms; /* since the request was handed in */
};

/* How long to wait before trying again, in milliseconds; -1: what came is final. The
 * waits are 50 ms, 500 ms, 5 s, then 10 s each, as documented for Dovecot's S3 driver. */
int64_t http_retry_wait_ms(const struct http_retry_policy *policy, const struct http_tries *tries,
			   enum http_outcome outcome, int status);

/* Whether a status means that trying again can help. */
bool http_retry_status(int status);
