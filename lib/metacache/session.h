/* Is somebody using these files right now? */
#pragma once

#include "base/err.h"
#include "metacache/unit.h"

/* 1 when another process has a file of the unit open, 0 when surely none has, -1
 * when it can't be told (a filesystem without leases, no right): then the caller
 * keeps its hands off.
 *
 * The kernel answers: a write lease is only given on a file that nobody else has
 * open. It is given back at once. Programs of ours that read the unit count too;
 * the user lock keeps them apart. */
int session_unit_in_use(int unitfd, const struct unit *unit, struct err *err);

/* The same for all units of a home. */
int session_home_in_use(int homefd, const struct home *home, struct err *err);
