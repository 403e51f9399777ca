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
	char *refused;                   /* after ERR_DATA: the bundle that is no good */
};
void fetch_free(struct fetched *fetched);
#define autofetched CLEANUP(fetch_free)

/* Unpack what storage says the unit is into the new directory `name` of
 * `staging_fd`, and write its .state and .state.blocks there. 1 done; 0 the listing is out of date
 * (an object it names is gone): list again; -1 with `name` perhaps half made:
 * ERR_DATA names a bundle that was refused. With `discard`, the .state of a tree that an
 * operator gives up, the newest bundle that this tree was not made of is taken, and all
 * others count as contained in it. */
int fetch_unit(const struct metacache *mc, const struct metacache_home *home,
	       const struct remote_unit *remote, const struct state *discard, int staging_fd,
	       const char *name, struct fetched *fetched_r, struct err *err);

/* Which of the unit's listed bundles are contained in another one: downloads each that no
 * other contains, the newest first, and reads what its manifest includes. 1 with the names
 * appended; 0 the listing is out of date; -1, with ERR_DATA and *refused_r (to be freed) for
 * a bundle that is no good: then none counts as contained. bytes_r is added to. */
int fetch_included(const struct metacache *mc, const struct metacache_home *home,
		   const struct remote_unit *remote, struct str_vec *included_r, char **refused_r,
		   uint64_t *bytes_r, struct err *err);

/* Download one bundle of the unit and read its manifest. 1, 0 it is gone, -1 (ERR_DATA: it
 * is no bundle). */
int fetch_manifest(const struct metacache *mc, const struct metacache_home *home,
		   const struct remote_unit *remote, const struct remote_object *object,
		   struct bundle_manifest *manifest_r, struct err *err);
