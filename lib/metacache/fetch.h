/* Bringing a unit from storage into a staging directory: choose the newest bundle, a
 * base or a diff and its base, download, verify, unpack. Nothing of the live tree is
 * touched. After a single writer that is one GET, or two. */
#pragma once

#include "base/err.h"
#include "bundle/bundle.h"
#include "metacache/metacache.h"
#include "metacache/remote.h"
#include "metacache/state.h"

struct fetched {
	struct bundle_manifest manifest; /* of the bundle that was chosen */
	struct state state;              /* what the new tree's .state is to say */
	uint64_t bytes;                  /* downloaded */
};
void fetch_free(struct fetched *fetched);
#define autofetched CLEANUP(fetch_free)

/* Unpack what storage says the unit is into the new directory `name` of
 * `staging_fd`, and write its .state and .state.blocks there. 1 done; 0 the listing is out of date
 * (an object it names is gone): list again; -1 with `name` perhaps half made:
 * ERR_DATA names a bundle that was refused. */
int fetch_unit(const struct metacache *mc, const struct metacache_home *home,
	       const struct remote_unit *remote, int staging_fd, const char *name,
	       struct fetched *fetched_r, struct err *err);
