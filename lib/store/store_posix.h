/* The posix driver's parts; private to store_posix*.c. */
#pragma once

#include <pthread.h>

#include "store/store_driver.h"

#define STORE_POSIX_TMP ".tmp-"
#define STORE_POSIX_SYNCED 4096

struct store_posix {
	struct store_driver driver;
	struct store_stats *stats;
	int root;

	pthread_mutex_t mutex;
	pthread_cond_t freed;
	unsigned slots; /* calls that may still begin */

	/* Directories known to be durable, by the hash of their path: a hash takes
	 * the place of another one now and then, which costs an fsync, no more. */
	atomic_uint_fast64_t synced[STORE_POSIX_SYNCED];
};

static inline struct store_posix *store_posix_of(struct store_driver *driver)
{
	return (struct store_posix *)(void *)driver;
}

/* At most `max_parallel` calls work on the disk at once. */
void store_posix_enter(struct store_posix *posix);
void store_posix_leave(struct store_posix *posix);

/* After "not there": whether that can be believed. An unlinked root shows nothing
 * at all. 0 or -1. */
int store_posix_check_root(const struct store_posix *posix, struct err *err);

/* Whether a name is one of our temporaries. */
bool store_posix_is_tmp(const char *name);

/* store_posix_put.c */
int store_posix_put(struct store_driver *driver, const struct store_put_args *args,
		    struct err *err);
void store_posix_forget_dir(struct store_posix *posix, const char *path, size_t len);

/* store_posix_list.c */
int store_posix_list(struct store_driver *driver, const struct store_list_args *args,
		     struct err *err);
