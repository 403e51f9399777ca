/* The URL of an S3 store within a chain; private to store_url.c and the tests. */
#pragma once

#include "store/store_url.h"

/* `url_r` is all zero but for `aws`. 0 or -1 ERR_CONFIG. */
int store_url_s3_parse(const char *text, struct store_url_s3 *url_r, struct err *err);
void store_url_s3_free(struct store_url_s3 *url);

/* Add `len` bytes, percent-decoded, to a new string. NULL when an escape is
 * broken or stands for NUL or another control character. */
char *store_url_s3_decode(const char *text, size_t len);
