/* HTTP through one pool: a libcurl multi handle that a thread of its own drives.
 * Callers on any thread hand in a request and wait for its outcome. Connections
 * are kept, requests beyond `max_parallel` wait for their turn, and one that
 * waits before it is tried again holds up no other.
 *
 * Requests are signed with AWS Signature Version 4 where `sign` is given. TLS is
 * verified. Redirects are not followed, proxies not used. Secrets are in no message. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/spool.h"
#include "base/vec.h"
#include "http/http_retry.h"

struct http_pool;

struct http_pool *http_pool_new(unsigned max_parallel);

/* No request may be under way. */
void http_pool_free(struct http_pool **pool);

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_PUT,
	HTTP_POST,
};

struct http_sign {
	const char *region;
	const char *access_key;
	const char *secret_key;
};

struct http_request {
	enum http_method method;
	const char *url;               /* percent-encoded, the query sorted by name */
	const struct str_vec *headers; /* "Name: value" */
	const struct spool *body;      /* of PUT and POST */
	const struct http_sign *sign;  /* NULL: unsigned */
	const struct http_retry_policy *retry;
	int64_t connect_timeout_ms;
	int64_t idle_timeout_ms; /* without any progress; 0: none */
	struct spool *into;      /* the answer's body; emptied before each try; NULL: dropped */
	uint64_t into_max;       /* a longer body is an error, that of an error is cut */
};

struct http_header {
	char *name; /* lower-case */
	char *value;
};
VEC(http_header_vec, struct http_header);

struct http_response {
	int status;
	struct http_header_vec headers;
	unsigned tries;
	int64_t duration_ms; /* of all tries */
};
void http_response_free(struct http_response *response);
#define autoresponse CLEANUP(http_response_free)

/* The value of a header, NULL without it. */
const char *http_response_header(const struct http_response *response, const char *name);

/* 0: an answer came, whatever its status, after all tries that the policy allows.
 * -1: none did (ERR_UNAVAILABLE with `again`: unreachable, broken, too slow; the
 * server may have done what was asked), or it could not be taken (too long, of
 * no stated length, or the disk is full). `response_r->tries` is right in any
 * case. The wait before another try is spent in the calling thread. */
int http_perform(struct http_pool *pool, const struct http_request *request,
		 struct http_response *response_r, struct err *err);

/* Append `text` percent-encoded as RFC 3986 wants it (and S3's signature): only
 * letters, digits and -._~ stay, and '/' if `keep_slash`. */
void http_encode(struct buf *out, const char *text, bool keep_slash);

/* Append `text` decoded; -1 for a broken escape or an encoded NUL. */
int http_decode(struct buf *out, const char *text, size_t len);
