/* What a driver is to store.c: private to this folder.
 *
 * store.c has checked keys and prefixes before it calls, and completes messages
 * with the store's name, the operation and the key: a driver says only what went
 * wrong. All functions may be called by many threads at once. */
#pragma once

#include <stdatomic.h>

#include "store/store.h"
#include "store/store_url.h"

#define STORE_PARALLEL_DEFAULT 10
#define STORE_LIST_PAGE 1000 /* entries of a listing's page, and keys of one batch */

struct store_stats {
	atomic_uint_fast64_t requests[STORE_KINDS];
	atomic_uint_fast64_t retries[STORE_KINDS];
	atomic_uint_fast64_t bytes[STORE_KINDS];
};

static inline void store_count(struct store_stats *stats, enum store_kind kind, uint64_t bytes)
{
	atomic_fetch_add_explicit(&stats->requests[kind], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&stats->bytes[kind], bytes, memory_order_relaxed);
}

/* A driver's own struct begins with this. */
struct store_driver {
	const struct store_driver_ops *ops;
	unsigned caps; /* enum store_caps */
	char *name;    /* of the store, for messages; freed by the driver */
};

struct store_put_args {
	const char *key;
	const struct spool *content;
	const struct store_meta *meta;
	size_t meta_count;
};

struct store_list_args {
	const char *prefix;
	bool delimiter;
	unsigned max_pages;
	store_list_fn *fn;
	void *ctx;
};

struct store_driver_ops {
	int (*put)(struct store_driver *driver, const struct store_put_args *args, struct err *err);
	int (*get)(struct store_driver *driver, const char *key, struct spool *into,
		   struct err *err);
	int (*head)(struct store_driver *driver, const char *key, struct store_head *head_r,
		    struct err *err);
	int (*list)(struct store_driver *driver, const struct store_list_args *args,
		    struct err *err);
	/* deleted_r is never NULL, and all false at first. */
	int (*remove)(struct store_driver *driver, const char *const *keys, size_t count,
		      bool *deleted_r, struct err *err);
	void (*close)(struct store_driver *driver);
};

/* What a driver is opened with; `stats` outlives it, the rest may not. */
struct store_driver_args {
	struct store_url *url; /* a driver may take over what it holds */
	const struct store_options *options;
	struct store_stats *stats;
};

/* 0 or -1. */
int store_posix_open(const struct store_driver_args *args, struct store_driver **driver_r,
		     struct err *err);
int store_s3_open(const struct store_driver_args *args, struct store_driver **driver_r,
		  struct err *err);

/* Put the rules of `fault:` around a driver, which it then owns; see store_fault.h. */
void store_fault_open(const struct store_driver_args *args, struct store_driver *inner,
		      struct store_driver **driver_r);
