/* Object storage behind one interface: put, get, head, list, delete many.
 *
 * A store is opened from a URL chain in the form that Dovecot's obox settings
 * document, e.g.
 *   posix:/srv/bundles
 *   compress:zstd:3:s3:https://KEY:SECRET@s3.example.com/?bucket=mails&region=eu-central-1
 * It is thread-safe: many threads may call it at once; each call blocks until
 * its outcome is known, and at most `max_parallel` requests are in flight.
 *
 * Keys are relative paths: components that are not empty, not "." and not "..",
 * separated by single slashes, at most 1024 bytes in all. Any other key is
 * refused with ERR_USAGE before anything is sent, and so are control characters; posix keeps
 * names that begin with ".tmp-" for itself. Keys are UTF-8; a driver escapes what
 * its protocol needs.
 *
 * Errors: ERR_NOTFOUND (get, head: no such object), ERR_NOPERM (wrong key, no
 * right), ERR_UNAVAILABLE (unreachable, 5xx after all retries; `again` is set),
 * ERR_DATA (an answer that makes no sense), ERR_CANTCREATE (store full). A
 * message names the store, the operation and the key; credentials never appear. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/spool.h"

struct store;

enum store_kind {
	STORE_PUT,
	STORE_GET,
	STORE_HEAD,
	STORE_LIST,   /* each page is one request */
	STORE_DELETE, /* each batch is one request */
	STORE_KINDS,
};

/* What was asked of the store since it was opened. Retries count as requests. */
struct store_counters {
	uint64_t requests[STORE_KINDS];
	uint64_t retries[STORE_KINDS];
	uint64_t bytes[STORE_KINDS]; /* payload: sent by PUT and DELETE, received by GET and LIST */
};

enum store_caps {
	STORE_CAP_METADATA = 1, /* put keeps metadata and head returns it (s3; not posix) */
};

struct store_options {
	unsigned max_parallel;                     /* 0: 10 */
	const char *spool_dir;                     /* for answers too large for memory */
	const char *credentials_file;              /* INI as of the AWS tools; NULL: none */
	void (*warn)(void *ctx, const char *text); /* retries, slow requests; NULL: silent */
	void *warn_ctx;
};

/* What the chain says about packing, for whoever makes the objects: the store
 * itself moves bytes as they are. */
struct store_compression {
	char name[8]; /* "zstd", "gz", "lz4", "none"; "" where the chain says nothing */
	int level;    /* 0: the filter's default */
};

/* Parse the chain and prepare the driver; nothing is sent yet. A bad chain is
 * ERR_CONFIG and names the part, with secrets masked. */
int store_open(const char *url_chain, const struct store_options *options, struct store **store_r,
	       struct err *err);
void store_close(struct store **store);
#define autostore CLEANUP(store_close)

/* Only parse; for `metacache-config` and for tests. */
int store_check_url(const char *url_chain, struct err *err);

unsigned store_caps(const struct store *store);
const struct store_compression *store_compression(const struct store *store);

/* "s3 mails at s3.example.com", "posix /srv/bundles": for messages. */
const char *store_name(const struct store *store);

void store_counters(const struct store *store, struct store_counters *counters_r);

struct store_meta {
	const char *key;   /* lower-case letters, digits and '-', without the x-amz-meta-dovecot-
			      prefix */
	const char *value; /* at most 1024 bytes; a driver encodes what is not ASCII */
};

/* Write one object whole. It is durable and visible, or not there at all, when
 * this returns 0. On -1 with err->again the object may exist all the same (the
 * reply was lost). Names are unique, so nothing is ever overwritten knowingly: a key that
 * posix already has is ERR_CONFLICT. */
int store_put(struct store *store, const char *key, const struct spool *content,
	      const struct store_meta *meta, size_t meta_count, struct err *err);

/* Append the object to `into` (empty before; reset by the driver for a retry).
 * 1 found, 0 no such object, -1. A body shorter or longer than announced is -1. */
int store_get(struct store *store, const char *key, struct spool *into, struct err *err);

struct store_head {
	uint64_t size_bytes;
	struct store_meta *meta; /* owned; freed by store_head_free() */
	size_t meta_count;
};
/* 1 found, 0 no such object, -1. */
int store_head(struct store *store, const char *key, struct store_head *head_r, struct err *err);
void store_head_free(struct store_head *head);

struct store_object {
	const char *key; /* whole key; with is_prefix it ends in '/' */
	uint64_t size_bytes;
	int64_t modified; /* UNIX seconds */
	bool is_prefix;   /* a common prefix of a listing with delimiter */
};

/* Return 0 to go on, 1 to stop without an error. */
typedef int store_list_fn(void *ctx, const struct store_object *object);

/* All objects whose key starts with `prefix`, in byte order, over all pages.
 * With `delimiter` keys below the next '/' are folded into one entry. 0 when the
 * listing is complete (or was stopped), -1 when it is not: then what was seen so
 * far proves nothing. `max_pages` 0 is no limit; else 1 is returned when there
 * would have been more pages than that. */
int store_list(struct store *store, const char *prefix, bool delimiter, unsigned max_pages,
	       store_list_fn *fn, void *ctx, struct err *err);

/* Delete objects, in as many batches as the store needs; one that is not there
 * counts as deleted. deleted_r[i] (may be NULL) tells which are known to be gone;
 * -1 when any is not, with the first reason. */
int store_delete(struct store *store, const char *const *keys, size_t count, bool *deleted_r,
		 struct err *err);

/* 0, or -1 ERR_USAGE with the reason: the key rules above. */
int store_key_check(const char *key, struct err *err);
