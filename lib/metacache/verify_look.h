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
	struct str_vec names;  /* of bundles that are contained in another listed one */
	struct str_vec proved; /* of tips that were unpacked, with all digests right */
};
void verify_included_free(struct verify_included *included);
#define autoincluded CLEANUP(verify_included_free)

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
	struct verify_options options;
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
 * is not explained by itself; at all of them with `deep`, and for a repair at those that have to
 * be readable before others may be deleted. 0, or -1: what was found until then stands, and
 * nothing may be repaired. */
int verify_look(const struct metacache *mc, const char *user, const struct verify_options *options,
		struct verify_look *look_r, struct err *err);

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

/* Whether nothing is known to be lost with an orphan. 1; 0 with the reason; -1. */
int verify_bundles_is_rubbish(struct verify_look *look, const struct verify_unit *unit,
			      const struct remote_unit *remote,
			      const struct verify_included *included,
			      const struct remote_object *orphan, struct err *reason,
			      struct err *err);

/* Look at all of them; `unit` NULL: it is not here. */
int verify_bundles(struct verify_look *look, const struct verify_unit *unit, size_t index,
		   struct err *err);

/* ---- and at those that no other contains, the tips: verify_tips.c ---- */

/* Whether the i-th is neither an orphan nor a base that has a diff. Manifests are not asked. */
bool verify_tips_is_one(const struct remote_unit *remote, size_t i);

/* A base, or a base and a diff, are explained by themselves. */
bool verify_tips_is_plain(const struct remote_unit *remote);

/* The next tip that no manifest includes, from i - 1 downwards: its index, or -1. */
ssize_t verify_tips_next(const struct remote_unit *remote, const struct verify_included *included,
			 size_t i);

/* Download a tip, with its base, and unpack it. 1; 0 the listing is out of date, or it is refused:
 * then *refused_r, to be freed, is the one that is no good, and err says why; -1. */
int verify_tips_unpack(struct verify_look *look, const struct remote_unit *remote,
		       const struct remote_object *tip, char **refused_r, struct err *err);

/* Whether all tips of the unit can be read, so that what they contain is needed by nobody. Those
 * in `proved` are not read once more. 1; 0 and -1 with the reason. */
int verify_tips_prove(struct verify_look *look, const struct remote_unit *remote,
		      const struct verify_included *included, struct err *err);

/* The part that compares the registry's row: verify_row.c. */
int verify_row(struct verify_look *look, struct err *err);

/* How a unit is called in a finding: "." is the root unit. */
const char *verify_unit_name(const struct verify_unit *unit, const struct remote_unit *remote);
