/* What is known of one user's indexes; prune.h is the whole. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "metacache/metacache.h"
#include "metacache/prune_decide.h"

struct prune_look {
	const struct metacache *mc;
	struct metacache_home home;
	int homefd;
	struct home scanned;
	int64_t last_access_s; /* UNIX time; 0 unknown */
	uint64_t bytes;
	unsigned units; /* PRUNE_UNIT_… */
	enum registry_changes changes;
	struct buf lost;      /* units that storage does not have as they are here, and why */
	bool crashed_changes; /* some of those are given up by the crash rule */
	struct err err;       /* what keeps the home, */
	unsigned err_of;      /* and as which of PRUNE_UNIT_… */
};
#define PRUNE_LOOK_NONE ((struct prune_look){ .homefd = -1 })
void prune_look_free(struct prune_look *look);
#define autoprunelook CLEANUP(prune_look_free)

/* When the registry knows the user to have been accessed last; 0: it does not know. */
int64_t prune_look_registered(const struct metacache *mc, const char *user);

/* Look at the tree: names, sizes, times. 1; 0 there is no home; -1. */
int prune_look_open(const struct metacache *mc, const char *user, struct prune_look *look_r,
		    struct err *err);

/* The latest of what the registry said, the files' modifications, and, `with_state`, what the
 * root's .state notes of sessions. */
void prune_look_accessed(struct prune_look *look, int64_t registered_s, bool with_state);

/* Whether somebody is at work on it. `err` says who, or why that can't be told. */
enum prune_session prune_look_session(const struct prune_look *look, struct err *err);

/* Compare with what storage lists: fills in units, changes, lost and err. */
void prune_look_storage(struct prune_look *look);

/* Where to say why the home is kept, for a unit that is this; NULL if another reason, which the
 * decision is made by, was said already. */
struct err *prune_look_err(struct prune_look *look, enum prune_unit unit);

/* The part of it that compares one unit: prune_unit.c. `remote` NULL: nothing is listed. */
struct remote_unit;
unsigned prune_unit_judge(struct prune_look *look, const struct unit *unit,
			  const struct remote_unit *remote);
