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

/* What was given up and what would have been lost with it. */
struct crash_loss {
	unsigned units;     /* given up */
	unsigned important; /* of these, had changes that storage has not */
	char text[512]; /* those units, what changed in them, and where they are kept; "" none */
};

/* Count and log one unit. `kept` is a path of what was kept, NULL if nothing was. */
void crash_note(const struct metacache *mc, const char *user, const struct unit *unit,
		const struct changes_found *found, const char *kept, struct crash_loss *loss);
