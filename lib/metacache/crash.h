/* The crash rule (boot.h) for the units of a user.
 *
 * A unit that is assumed corrupt is given up for what storage has of it: refresh puts that in
 * its place, rescan (crash_discard()) takes it away for the next refresh to bring back. Flush
 * does not upload it. What would be lost with it is said, as event metacache_unit_discarded and
 * to the caller, and the old files are then kept in .trash/kept-… for an operator, so that even
 * the rule's exception to "no important change is deleted" deletes none. A unit of which storage
 * has nothing is never given up. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "metacache/boot.h"
#include "metacache/changes.h"
#include "metacache/metacache.h"
#include "metacache/state.h"

/* `state_ret` is what state_read_of() returned; `state` counts if it is 1. A torn .state is judged
 * by time alone. BOOT_UNKNOWN also without a .state of its own, or when it was never uploaded. */
enum boot_verdict crash_judge(const struct metacache *mc, const struct unit *unit, int state_ret,
			      const struct state *state, const char **why_r);

/* changes_find(), for a unit that may be torn: where its log does not end with its file, nobody
 * knows what was in the rest, and that was important. */
void crash_changes(int unitfd, const struct unit *unit, const struct state *state,
		   struct changes_found *found_r);

/* What was given up and what would have been lost with it. */
struct crash_loss {
	unsigned units;     /* given up */
	unsigned important; /* of these, had changes that storage has not */
	char text[512]; /* those units, what changed in them, and where they are kept; "" none */
};

/* Count and log one unit. `kept` is a path of what was kept, NULL if nothing was. */
void crash_note(const struct metacache *mc, const char *user, const struct unit *unit,
		const struct changes_found *found, const char *kept, struct crash_loss *loss);

/* Put the unit's files, as they are now, into .trash/kept-… for an operator, before something
 * takes their place: links, so nobody may have them open. path_r says where. Needs links; without
 * them it is -1. */
#define CRASH_PATH_MAX 4096
int crash_keep(const struct metacache_root *root, int unitfd, const struct unit *unit,
	       char path_r[CRASH_PATH_MAX], struct err *err);

/* Take away what the rule gives up of one user, where storage has a base of it and nobody uses
 * it: the whole home, if all the rest of it is in storage, too; else folders and FTS indexes by
 * themselves, while root indexes and folders with others in them wait for the next refresh.
 * `mc` needs a store, and sessions where they can be asked for.
 *
 * 0, also without anything to do; -1 when something that should go is still there: then err is
 * why. *left_r counts such units, loss_r what is gone. */
int crash_discard(const struct metacache *mc, const char *user, struct crash_loss *loss_r,
		  unsigned *left_r, struct err *err);
