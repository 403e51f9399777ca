/* What object storage holds of a user's units, as its listing says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"
#include "bundle/bundle_name.h"
#include "metacache/state.h"
#include "store/store.h"

struct remote_object {
	char *name; /* of the bundle, without its prefix */
	uint64_t size_bytes;
	struct bundle_name parsed;
};
VEC(remote_object_vec, struct remote_object);

/* One unit's bundles, oldest first. */
struct remote_unit {
	char *id; /* "" root, "fts…", or 32 hex */
	struct remote_object_vec objects;
};
VEC(remote_unit_vec, struct remote_unit);

void remote_unit_free(struct remote_unit *unit);
#define autoremote CLEANUP(remote_unit_free)
void remote_units_free(struct remote_unit_vec *units);

/* Append the prefix of a unit's bundles: <prefix>/[mailboxes/<id>/|<fts id>/]idx/ */
void remote_prefix(struct buf *out, const char *user_prefix, const char *unit_id);

/* List one unit: one request. Objects whose names are no bundle's are passed over.
 * 0 or -1; a failed listing never counts as empty. */
int remote_list_unit(struct store *store, const char *user_prefix, const char *unit_id,
		     struct remote_unit *unit_r, struct err *err);

/* List all units of a user in one request. 1; 0 there is more than a page of
 * objects (units_r is empty then); -1. */
int remote_list_at_once(struct store *store, const char *user_prefix,
			struct remote_unit_vec *units_r, struct err *err);

/* List all units of a user, the root unit first. One request where the user has
 * at most a page of objects; one more for each unit where there are more (mail objects in
 * the same place would make a plain listing long). */
int remote_list_user(struct store *store, const char *user_prefix, struct remote_unit_vec *units_r,
		     struct err *err);

struct remote_unit *remote_find(const struct remote_unit_vec *units, const char *id);

enum remote_verdict {
	REMOTE_NOTHING,   /* no bundle of this unit in storage */
	REMOTE_KNOWN,     /* nothing that this tree does not contain or know of */
	REMOTE_NEWER,     /* bundles of another writer that this tree does not contain */
	REMOTE_BASE_LOST, /* what this tree was built from is not listed any more */
};

/* The listed object by that name, or NULL. */
const struct remote_object *remote_find_object(const struct remote_unit *unit, const char *name);

/* The base that a listed diff builds on; NULL where it is not listed. */
const struct remote_object *remote_base_of(const struct remote_unit *unit,
					   const struct remote_object *diff);

/* A diff without its base: of no use to anybody any more. It was superseded with that
 * base and not deleted yet, if a listed bundle includes it; else its writer did not
 * know that the base was being superseded, and has what nobody else has. */
bool remote_is_orphan(const struct remote_unit *unit, const struct remote_object *object);

/* The newest listed bundle that this tree neither wrote nor contains; NULL without one. */
const struct remote_object *remote_unknown(const struct remote_unit *unit,
					   const struct state *state);

/* Compare a listing with what the tree's .state says (NULL: no state). `own_r`
 * (may be NULL) gets the names that this tree wrote or contains, other than its
 * base and diffs: what may be deleted once the next upload is there. */
enum remote_verdict remote_judge(const struct remote_unit *unit, const struct state *state,
				 struct str_vec *own_r);

/* Whether storage lists all bundles that this tree was made of or uploaded as, whole. */
bool remote_holds(const struct remote_unit *unit, const struct state *state);
