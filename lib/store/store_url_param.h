/* The parameters of an S3 URL, with the names and defaults that Dovecot documents
 * for HTTP-based object storages; private to store_url_s3.c. */
#pragma once

#include "store/store_url.h"

/* The documented defaults; "as timeout" and the like are marked, to be resolved
 * by store_url_param_inherit() once all parameters are known. */
void store_url_param_defaults(struct store_url_s3 *url);
void store_url_param_inherit(struct store_url_s3 *url);

/* One "name=value" of the query, still encoded. 0 or -1 ERR_CONFIG. */
int store_url_param_set(struct store_url_s3 *url, const char *text, size_t len, struct err *err);
