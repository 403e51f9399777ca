/* One try of a request on a libcurl easy handle; private to this folder. */
#pragma once

#include <curl/curl.h>
#include <pthread.h>

#include "http/http.h"

struct http_transfer {
	const struct http_request *request;
	struct http_response *response;
	int64_t deadline_ms; /* of the monotonic clock, for this try; 0: none */

	CURL *easy;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];

	/* The pool's thread owns these from submission to completion. */
	uint64_t body_at; /* of the request's body, next to be sent */
	size_t header_bytes;
	bool has_length;     /* an answer that is cut can be told from a whole one */
	bool is_cut;         /* the rest of an error's body is not wanted */
	int64_t progress_ms; /* when something last moved */
	bool timed_out;
	CURLcode code;
	struct err local; /* what went wrong on this side */

	enum http_outcome outcome;

	struct http_transfer *next; /* in the pool's queue */
	pthread_mutex_t mutex;
	pthread_cond_t done_cond;
	bool done; /* guarded by `mutex` */
};

/* Set transfer->easy up for the request. 0 or -1. */
int http_transfer_prepare(struct http_transfer *transfer, struct err *err);

/* When it is overdue, by the monotonic clock; INT64_MAX: never. */
int64_t http_transfer_due_ms(const struct http_transfer *transfer);

/* Judge how it ended: fills in outcome and, unless HTTP_ANSWERED, err. */
void http_transfer_finish(struct http_transfer *transfer, struct err *err);

/* An answer's headers, to be freed or reused. */
void http_transfer_free_headers(struct http_header_vec *headers);
