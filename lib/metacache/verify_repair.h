/* Repairing what a look at one user found; verify.h is the whole. */
#pragma once

#include "base/workers.h"
#include "metacache/verify_look.h"

/* Try every finding that is repairable, and look again: sets `repaired`, and adds what is
 * found only now. `pool` is for units. */
void verify_repair(struct verify_look *look, struct workers *pool);
