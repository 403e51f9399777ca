/* The XML answers of S3: listings, results of a batched delete, errors. Private to
 * the S3 driver.
 *
 * Read with expat into one state struct. A DOCTYPE is refused, depth and the
 * length of every text are limited, and an answer that lacks what it must have is an
 * error, never "empty". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/store.h"

/* <Error><Code/><Message/></Error>, cleaned for one line of a message. "" where
 * the body is none. */
struct store_s3_error {
	char code[64];
	char message[200];
};
void store_s3_xml_error(const char *body, size_t len, struct store_s3_error *error_r);

struct store_s3_page {
	struct buf token; /* of the next page; empty: this was the last */
	bool stopped;     /* by the callback */
};

/* One page of ListObjectsV2 with encoding-type=url. Every key has to begin with
 * `key_prefix`, which is asked for in the answer too and cut off before `fn`. */
int store_s3_xml_list(const char *body, size_t len, const char *key_prefix, size_t cut,
		      store_list_fn *fn, void *ctx, struct store_s3_page *page_r, struct err *err);

/* The answer to POST ?delete with Quiet: what could not be deleted. `fn` gets key
 * and code of each. -1 when it is no such answer. */
typedef void store_s3_failed_fn(void *ctx, const char *key, const char *code, const char *message);
int store_s3_xml_deleted(const char *body, size_t len, store_s3_failed_fn *fn, void *ctx,
			 struct err *err);
