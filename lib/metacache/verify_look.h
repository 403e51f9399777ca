/* What a look at one user finds; verify.h is the whole. */
#pragma once

#include "base/vec.h"
#include "metacache/changes.h"
#include "metacache/remote.h"
#include "metacache/state.h"
#include "metacache/verify.h"

struct verify_finding {
	enum verify_drift drift;
	char *unit, *object; /* as in struct verify_found */
	bool repairable;
	bool repaired;
	struct err err;
};
VEC(verify_finding_vec, struct verify_finding);
void verify_findings_free(struct verify_finding_vec *findings);

/* What the manifests of a unit's bundles say, where they had to be read. */
struct verify_included {
	bool read;
	struct str_vec names; /* of bundles that are contained in another listed one */
};

/* What is known of a unit that is here. */
struct verify_unit {
	const struct unit *unit;
	const struct remote_unit *remote; /* NULL: nothing listed */
	struct state state;
	bool known; /* state is its own */
	bool torn;
	bool whole; /* has all that storage has */
	struct changes_found changes;
};

struct verify_look {
	const struct metacache *mc;
	struct metacache_home home;
	bool has_home;
	struct home scanned;
	struct state root_state;   /* empty without one */
	struct verify_unit *units; /* one for each of `scanned` */
	struct remote_unit_vec remote;
	struct verify_included *included; /* one for each of `remote` */
	bool stale;                       /* a listed object is gone: a race with another writer */
	struct verify_finding_vec findings;
	struct verify_totals counts; /* of this user, but for drifts */
};
void verify_look_free(struct verify_look *look);
#define autolook CLEANUP(verify_look_free)

/* Look at a user's tree, registry row and listing, and at bundles' contents where the listing
 * is not explained by itself; at all of them with `deep`. 0, or -1: what was found until then
 * stands, and nothing may be repaired. */
int verify_look(const struct metacache *mc, const char *user, bool deep, struct verify_look *look_r,
		struct err *err);

/* Add a finding, and return its error to be filled in. Texts are copied; NULL: none. */
struct err *verify_look_add(struct verify_look *look, enum verify_drift drift, const char *unit,
			    const char *object, bool repairable);

/* ---- the parts of it that look at a unit's bundles: verify_bundles.c ---- */

/* Read manifests where the listing of a unit does not explain itself. */
int verify_bundles_read(struct verify_look *look, const struct remote_unit *remote,
			struct verify_included *included_r, struct err *err);

/* Whether the listed bundles' manifests include all of these names: 1, 0, -1. */
int verify_bundles_include(struct verify_look *look, const struct remote_unit *remote,
			   const struct str_vec *names, struct err *err);

/* Contained in another bundle, and no base of one that is not. */
bool verify_bundles_contained(const struct remote_unit *remote,
			      const struct verify_included *included,
			      const struct remote_object *object);

/* Look at all of them; `unit` NULL: it is not here. */
int verify_bundles(struct verify_look *look, const struct verify_unit *unit, size_t index,
		   bool deep, struct err *err);

/* The part that compares the registry's row: verify_row.c. */
int verify_row(struct verify_look *look, struct err *err);

/* How a unit is called in a finding: "." is the root unit. */
const char *verify_unit_name(const struct verify_unit *unit, const struct remote_unit *remote);
