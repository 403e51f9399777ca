/* The S3 driver's parts; private to store_s3*.c. */
#pragma once

#include "http/http.h"
#include "store/store_driver.h"

struct store_s3 {
	struct store_driver driver;
	struct store_stats *stats;
	struct store_url_s3 url; /* what the chain said; the keys are not in it any more */
	struct http_pool *pool;
	char *spool_dir;
	char *base; /* "https://host[/bucket]/": where objects are */
	char *access_key, *secret_key, *session_token;
	atomic_bool has_bucket; /* a request has shown that the bucket is there */
	void (*warn)(void *ctx, const char *text);
	void *warn_ctx;
};

/* Where a key and its secret come from: the URL, else the environment, else the
 * AWS tools' credentials file. 0 or -1 ERR_CONFIG. */
int store_s3_credentials(struct store_s3 *s3, const char *credentials_file, struct err *err);

/* One request and its answer. */
struct store_s3_call {
	enum store_kind kind;
	enum http_method method;
	const char *key;   /* whole key; NULL: the bucket itself */
	const char *query; /* encoded and sorted; NULL: none */
	const struct spool *body;
	const struct str_vec *headers; /* beside those that every request has */
	const struct store_url_limits *limits;
	struct spool *into;
	uint64_t into_max;
};

/* Send it. 1: 2xx; 0: there is no such key, in a bucket that is there; -1 with a
 * message that has S3's code. The answer's headers are in response_r, to be freed
 * by the caller in any case. */
int store_s3_send(struct store_s3 *s3, const struct store_s3_call *call,
		  struct http_response *response_r, struct err *err);

/* store_s3_list.c */
int store_s3_list(struct store_driver *driver, const struct store_list_args *args, struct err *err);
int store_s3_remove(struct store_driver *driver, const char *const *keys, size_t count,
		    bool *deleted_r, struct err *err);

static inline struct store_s3 *store_s3_of(struct store_driver *driver)
{
	return (struct store_s3 *)(void *)driver;
}
