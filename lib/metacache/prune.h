/* Prune: remove obsolete indexes, those of users who belong to another backend.
 *
 * Each user is asked about in the order of prune_decide.h: not accessed for so long here;
 * belongs elsewhere; nobody has him open or logged in; nothing here is missing in storage. Changes
 * that only this tree has are uploaded before. Whatever can't be told keeps the tree.
 * Nothing in storage is deleted, not even what an upload supersedes.
 *
 * Without `act` nothing is changed: what would be done is told. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "metacache/metacache.h"
#include "metacache/prune_decide.h"

struct prune;

struct prune_options {
	int64_t older_than_s;   /* not accessed for so long */
	uint64_t limit;         /* users to delete; 0: all */
	bool act;               /* else only decide */
	bool discard_important; /* delete what is in conflict, too: the result names what is lost */
};

struct prune_result {
	const char *user;
	enum prune_decision decision; /* KEEP, DELETE, or FLUSH for what is uploaded first */
	enum prune_reason reason;
	bool deleted;
	int64_t last_access_s; /* UNIX time; 0 unknown */
	const char *host;      /* whom the user belongs to; NULL not asked or not known */
	bool looked;           /* compared with storage: what follows is known */
	enum registry_changes changes;
	uint64_t bytes;   /* of the indexes */
	const char *lost; /* what storage does not have, where that is deleted; NULL: nothing */
	const char *kept; /* where it is kept nevertheless; NULL: it is not */
	struct err err;   /* why it is kept, where somebody should know */
};

/* Called for each user, one call at a time, from any thread. Return 0, or -1 to stop with err. */
typedef int prune_fn(void *ctx, const struct prune_result *result, struct err *err);

struct prune_totals {
	uint64_t users;
	uint64_t asked;   /* whose owner was asked for */
	uint64_t deleted; /* without `act`: would be */
	uint64_t bytes;   /* of those */
	uint64_t reasons[PRUNE_REASONS];
	struct err owner_err; /* the first of those whose owner can't be told */
};

/* `mc` with a store, and with METACACHE_SESSIONS. NULL with ERR_CONFIG where the setting
 * `director` makes no sense; where it is not set, that is an error once somebody has to be asked
 * for. */
struct prune *prune_new(const struct metacache *mc, const struct prune_options *options,
			prune_fn *fn, void *ctx, struct err *err);

/* Have a user decided about, soon. 0, or -1 once the run has stopped. */
int prune_user(struct prune *prune, const char *user);

/* The same for all users with a home here whose name the mask matches (NULL: all). 0; 1 a part of
 * a tree could not be read (err says which); -1 stopped. */
int prune_all(struct prune *prune, const char *mask, struct err *err);

/* Wait for all, and free. 0; -1 with the error that stopped it. */
int prune_finish(struct prune **prune, struct prune_totals *totals_r, struct err *err);
