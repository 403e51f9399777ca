/* Deleting superseded bundles, in batches over many users.
 *
 * A bundle that the newest one contains is only rubbish, so it may stay for a
 * while: .state lists it as superseded until it is known to be gone. Thread-safe. */
#pragma once

#include "base/cleanup.h"
#include "base/err.h"
#include "metacache/metacache.h"

struct tidy;

struct tidy *tidy_new(const struct metacache *mc);

/* Remember the superseded bundles of a unit. When there are enough for a batch,
 * the batch is deleted; the caller may hold the lock of this user then, and no
 * other. Failures are remembered for tidy_finish(). `tidy` NULL: they stay. */
void tidy_add(struct tidy *tidy, const struct metacache_home *home, const char *unit_path,
	      const char *unit_id, const struct str_vec *names);

/* Delete now what was remembered: for who lists and deletes under the user's lock. What is gone is
 * noted later. */
void tidy_delete(struct tidy *tidy);

/* Note in the .state files what is gone by now. The caller holds no user lock. */
void tidy_settle(struct tidy *tidy);

/* Delete what is left, note in each .state what is gone, and free. The caller
 * holds no user lock. Returns 0, or -1 with the first failure: nothing is lost by
 * it, the next flush tries again. *deleted_r (may be NULL) counts objects. */
int tidy_finish(struct tidy **tidy, uint64_t *deleted_r, struct err *err);
