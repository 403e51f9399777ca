/* The registry: what the .state files and directories said when a program last
 * looked, in one SQLite file, so that listing a million users reads no tree. It
 * is a cache: losing it, or failing to write it on a full disk, loses nothing
 * that metacache-rescan does not bring back.
 *
 * Thread-safe; several processes may have it open. Every write is a transaction
 * of its own, except in a batch. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/hash.h"
#include "metacache/unit.h"

#define REGISTRY_SCHEMA 3

struct registry;

enum registry_changes {
	CHANGES_NONE,        /* nothing changed locally since the last upload */
	CHANGES_UNIMPORTANT, /* can be regenerated */
	CHANGES_IMPORTANT,   /* would be lost in a crash */
};
const char *registry_changes_name(enum registry_changes changes);

struct registry_user {
	const char *username;
	const char *root; /* absolute path of the metacache root */
	unsigned dev_major, dev_minor;
	int64_t upload_within_s;
	uint64_t bytes_used[UNIT_PRIORITIES];
	int64_t last_access[UNIT_PRIORITIES]; /* UNIX seconds, 0: nothing of this priority here */
	enum registry_changes changes;
	int64_t unflushed_since;  /* UNIX seconds: about when the oldest important change that
				     is not uploaded was made; 0: there is none */
	const char *last_service; /* "" unknown */
	uint64_t conflicts;       /* units that another writer's bundle is in conflict with */
	uint64_t obsolete;        /* units that were found to be newer in storage */
	/* Of the tree when nothing in it was left to upload or to tidy; all zero
	 * otherwise. */
	unsigned char settled[HASH_CONTENT_SIZE];
};

/* Open or make <state_dir>/users.db. A newer schema is refused (ERR_DATA), the one before is
 * brought up to date, an older one is emptied, for a rescan to fill. */
int registry_open(const char *path, bool read_only, struct registry **registry_r, struct err *err);

/* Ends a batch. 0, or -1 when that failed (the handle is gone anyway). */
int registry_close(struct registry **registry, struct err *err);

/* Add or replace one user. An `unflushed_since` that is there already stays, as long as there
 * is one. */
int registry_put(struct registry *registry, const struct registry_user *user, struct err *err);

/* Forget one user. 1 was there, 0 was not, -1. */
int registry_remove(struct registry *registry, const char *username, struct err *err);

/* The fingerprint with which the user's tree was last seen settled: cheap, called
 * for every home of a flush. 1; 0 never, or not since it changed; -1. */
int registry_settled(struct registry *registry, const char *username,
		     unsigned char fingerprint_r[HASH_CONTENT_SIZE], struct err *err);

/* Return 0 to go on, 1 to stop, -1 with err filled in. */
typedef int registry_fn(void *ctx, const struct registry_user *user, struct err *err);

/* Every user in order of the name, streamed. 0, 1 stopped, or -1. */
int registry_each(struct registry *registry, registry_fn *fn, void *ctx, struct err *err);

/* The same with the smallest key first, and in order of the name where keys are equal. Of the
 * user that `key` gets only bytes_used and last_access are set. */
typedef int64_t registry_key_fn(void *ctx, const struct registry_user *user);
struct registry_order {
	registry_key_fn *key;
	void *ctx;
};
int registry_each_by(struct registry *registry, const struct registry_order *order, registry_fn *fn,
		     void *ctx, struct err *err);

/* One user, for the time of the call. 0 there is none, 1 or what `fn` returned below 0. */
int registry_find(struct registry *registry, const char *username, registry_fn *fn, void *ctx,
		  struct err *err);

/* What all users together use. */
struct registry_totals {
	uint64_t users;
	uint64_t bytes_used[UNIT_PRIORITIES];
	uint64_t users_of[UNIT_PRIORITIES];      /* that have something of this priority */
	uint64_t changed[CHANGES_IMPORTANT + 1]; /* users by the changes that they have */
	int64_t unflushed_since;                 /* the oldest; 0: none */
	uint64_t conflicts, obsolete;            /* units */
};
/* `root` NULL: of all roots. */
int registry_totals(struct registry *registry, const char *root, struct registry_totals *totals_r,
		    struct err *err);

/* The roots that any user is in. */
int registry_roots(struct registry *registry, struct str_vec *roots_r, struct err *err);

/* Alternative user names: what userdb returned in fields user_*. */
struct registry_alias {
	char *field; /* "user_…" */
	char *value;
};
VEC(registry_alias_vec, struct registry_alias);
void registry_aliases_free(struct registry_alias_vec *aliases);

/* Replace those of a user. */
int registry_set_aliases(struct registry *registry, const char *username,
			 const struct registry_alias_vec *aliases, struct err *err);

/* Those of a user, in order of the field; also from within registry_each(). */
int registry_aliases(struct registry *registry, const char *username,
		     struct registry_alias_vec *aliases_r, struct err *err);

/* The fields that any user has, in order. */
int registry_alias_fields(struct registry *registry, struct str_vec *fields_r, struct err *err);

/* Marks for a rescan: users that were not put since registry_mark() are those
 * that registry_sweep() forgets, below `root` only. *removed_r counts them. */
int registry_mark(struct registry *registry, struct err *err);
int registry_sweep(struct registry *registry, const char *root, uint64_t *removed_r,
		   struct err *err);

/* From here on writes are collected into transactions of a few hundred; only for
 * who writes without a pause, since others wait while one is open. A killed
 * process loses the last one. */
void registry_batch_start(struct registry *registry);
int registry_batch_end(struct registry *registry, struct err *err);

/* Sums kept for metacache-status: requests to the store by kind, and when what
 * was last done. */
int registry_count(struct registry *registry, const char *name, uint64_t add, struct err *err);
int registry_note(struct registry *registry, const char *name, int64_t value, struct err *err);
/* 1, 0 never set, -1. */
int registry_value(struct registry *registry, const char *name, int64_t *value_r, struct err *err);
