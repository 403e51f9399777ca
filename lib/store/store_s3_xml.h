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
#include "base/vec.h"
#include "store/store.h"

/* <Error><Code/><Message/></Error>, cleaned for one line of a message. "" where
 * the body is none. */
struct store_s3_error {
	char code[64];
	char message[200];
};
void store_s3_xml_error(const char *body, size_t len, struct store_s3_error *error_r);

struct store_s3_page {
	VEC(store_s3_entry_vec, struct store_object) entries; /* in byte order */
	struct buf token; /* of the next page; empty: this was the last */
};
void store_s3_page_reset(struct store_s3_page *page); /* no entries; the memory stays */
void store_s3_page_free(struct store_s3_page *page);

struct store_s3_page_rules {
	const char *prefix; /* every key begins with it */
	size_t cut;         /* so much of a key is not the caller's */
	bool is_encoded;    /* the keys came in encoding-type=url */
};

/* Entries with keys as they came: decode, check, cut and sort them. 0 or -1. */
int store_s3_page_finish(struct store_s3_page *page, const struct store_s3_page_rules *rules,
			 struct err *err);

/* Append the decoded text; -1 for a broken escape. */
int store_s3_page_decode(const char *text, bool is_encoded, struct buf *out);

/* One page of ListObjectsV2 with encoding-type=url; what the page held before is
 * dropped. Every key must begin with `prefix`; its first `cut` bytes are left
 * out, and what remains must be a valid key. Objects that only mark a folder (of
 * no size, their name ending in a slash) are passed over: no key of ours is one. */
int store_s3_xml_list(const char *body, size_t len, const char *prefix, size_t cut,
		      struct store_s3_page *page, struct err *err);

/* The answer to POST ?delete with Quiet: what could not be deleted. -1 when it is
 * no such answer. */
typedef void store_s3_failed_fn(void *ctx, const char *key, const struct store_s3_error *error);
int store_s3_xml_deleted(const char *body, size_t len, store_s3_failed_fn *fn, void *ctx,
			 struct err *err);
