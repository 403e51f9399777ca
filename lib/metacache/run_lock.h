/* One run at a time: a program that works on all users is not joined by another run of it,
 * which would only do the same work twice. It is refused, never queued up. */
#pragma once

#include "base/err.h"
#include "metacache/metacache.h"

/* The lock is held while the handle is open. -1 with ERR_BUSY when another run of `what`
 * has it. */
int run_lock(const struct metacache *mc, const char *what, struct err *err);
