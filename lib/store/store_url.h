/* The URL chain of a store, taken apart. Nothing is opened or sent here.
 *
 *   chain   = { "compress:" ["maybe-"] name [":" level] ":"
 *             | "fscache:" size ":" path ":"
 *             | "fault:" rules ":" }               each at most once
 *             ( "posix:" directory | "s3:" url | "aws-s3:" url )
 *   url     = ("http" | "https") "://" [ key ":" secret "@" ] host [ ":" port ]
 *             "/" [ path ] [ "?" name "=" value { "&" name "=" value } ]
 *
 * as documented for Dovecot's obox_fs (docs: "HTTP-Based Object Storages",
 * "S3-compatible Storages", "fs-compress plugin", "fscache"). Key, secret, path
 * and values are percent-decoded. Where we differ from that document:
 * - requests are always signed with version 4; `region` defaults to the one in an
 *   amazonaws.com host, else us-east-1;
 * - IAM roles (auth_role, auth_host) are not looked up; the parameters are
 *   accepted where credentials come from elsewhere;
 * - addhdrvar is accepted for x-amz-security-token only, which is sent anyway;
 *   no_trace_headers and reason_header_max_length have no effect, since no such
 *   header is sent. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "store/store.h"

enum store_url_driver {
	STORE_URL_POSIX,
	STORE_URL_S3,
};

/* Parameters that one request kind may override. */
struct store_url_limits {
	int64_t timeout_ms;   /* without any progress */
	unsigned max_retries; /* after 5xx, 408, 429 and broken connections */
};

struct store_url_s3 {
	bool tls;
	bool aws;     /* aws-s3: log Amazon's request ids with errors */
	char *host;   /* as in the URL, with port where given; brackets around IPv6 */
	char *bucket; /* decoded; the first label of the host in virtual-host style */
	bool path_style;
	char *prefix; /* put before every key; "" or ends in '/' */
	char *region;
	char *access_key; /* NULL: from elsewhere */
	char *secret_key; /* ditto; never in a message */
	char *auth_role;  /* NULL: none */
	struct store_url_limits default_limits, read, write, remove;
	int64_t connect_timeout_ms;
	int64_t absolute_timeout_ms; /* 0: none */
	int64_t slow_warn_ms;        /* 0: never */
	unsigned max_connect_retries;
	unsigned bulk_delete_limit; /* 0: one request a key */
	struct str_vec add_headers; /* "Name: value" */
	struct str_vec log_headers; /* lower-case names */
};

struct store_url {
	struct store_compression compression;
	uint64_t fscache_limit_bytes; /* with fscache_path */
	char *fscache_path;           /* NULL: the chain has no fscache; may hold %variables */
	char *fault_rules;            /* NULL: none */
	enum store_url_driver driver;
	char *posix_dir; /* absolute */
	struct store_url_s3 s3;
};

/* 0, or -1 with ERR_CONFIG. No message holds anything of the part of a URL that
 * could be a secret. */
int store_url_parse(const char *chain, struct store_url *url_r, struct err *err);
void store_url_free(struct store_url *url);
#define autostoreurl CLEANUP(store_url_free)

/* "s3 mails at s3.example.com", "posix /srv/bundles"; malloc'd. */
char *store_url_name(const struct store_url *url);
