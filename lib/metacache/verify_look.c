#include "metacache/verify_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "base/str.h"
#include "metacache/blocks.h"
#include "metacache/flush_unit.h"
#include "metacache/user_lock.h"

#define TRIES 3 /* of a look while another writer deletes what was listed */

void verify_findings_free(struct verify_finding_vec *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		free(findings->items[i].unit);
		free(findings->items[i].object);
	}
	vec_free(findings);
}

void verify_included_free(struct verify_included *included)
{
	str_vec_free(&included->names);
	str_vec_free(&included->proved);
}

void verify_look_free(struct verify_look *look)
{
	for (size_t i = 0; look->units && i < look->scanned.units.count; i++)
		state_free(&look->units[i].state);
	free(look->units);
	look->units = NULL;
	for (size_t i = 0; look->included && i < look->remote.count; i++)
		verify_included_free(&look->included[i]);
	free(look->included);
	look->included = NULL;
	state_free(&look->root_state);
	unit_home_free(&look->scanned);
	remote_units_free(&look->remote);
	verify_findings_free(&look->findings);
	metacache_home_free(&look->home);
}

struct err *verify_look_add(struct verify_look *look, enum verify_drift drift, const char *unit,
			    const char *object, bool repairable)
{
	struct verify_finding_vec *findings = &look->findings;

	for (size_t i = 0; i < findings->count; i++) {
		struct verify_finding *old = &findings->items[i];

		if (old->drift == drift && str_same(old->unit, unit) &&
		    str_same(old->object, object))
			return &old->err;
	}
	vec_push(findings, ((struct verify_finding){
				   .drift = drift,
				   .unit = unit ? xstrdup(unit) : NULL,
				   .object = object ? xstrdup(object) : NULL,
				   .repairable = repairable,
			   }));
	return &findings->items[findings->count - 1].err;
}

const char *verify_unit_name(const struct verify_unit *unit, const struct remote_unit *remote)
{
	const char *name = unit ? unit->unit->path : remote->id;

	return name[0] == '\0' ? "." : name;
}

/* ---- what .state says, against the listing ---- */

/* Without a .state of its own: what would flush do with it? */
static void judge_unknown(struct verify_look *look, int homefd, const struct verify_unit *unit)
{
	static const struct flush_options options = { .dry_run = true };
	static const struct remote_unit nothing;
	struct flush_unit job = {
		.mc = look->mc,
		.home = &look->home,
		.homefd = homefd,
		.unit = &look->scanned.units.items[unit - look->units],
		.options = &options,
		.reborn = bundle_gone_find(&look->root_state.gone, unit->unit->id),
		.listed = unit->remote ? unit->remote : &nothing,
		.unitfd = -1,
	};

	flush_unit_look(&job);
	if (job.changed)
		flush_unit_upload(&job);
	if (job.outcome == FLUSH_CONFLICT)
		*verify_look_add(look, VERIFY_CONFLICT, verify_unit_name(unit, NULL),
				 remote_unknown(job.listed, NULL)->name, false) = job.err;
	else
		look->counts.not_uploaded++;
	flush_unit_free(&job);
}

/* The newest bundle that is neither known here nor contained in another; NULL: none. */
static const struct remote_object *find_newer(const struct verify_look *look,
					      const struct verify_unit *unit)
{
	const struct remote_object *unknown;
	struct remote_unit rest = { 0 };
	const struct remote_unit *remote = unit->remote;

	if (!remote)
		return NULL;
	for (size_t i = 0; i < remote->objects.count; i++) {
		const struct remote_object *object = &remote->objects.items[i];

		/* An orphan is a drift of its own. */
		if (!remote_is_orphan(remote, object) &&
		    !verify_bundles_contained(remote, &look->included[remote - look->remote.items],
					      object))
			vec_push(&rest.objects, *object);
	}
	unknown = remote_unknown(&rest, &unit->state);
	if (unknown)
		unknown = remote_find_object(remote, unknown->name);
	vec_free(&rest.objects);
	return unknown;
}

static void add_conflict(struct verify_look *look, const struct verify_unit *unit,
			 const char *object, const char *what)
{
	struct err *err =
		verify_look_add(look, VERIFY_CONFLICT, verify_unit_name(unit, NULL), object, false);

	err_set(err, ERR_CONFLICT, "%s, and storage has a newer bundle", what);
	err_hint(err, "metacache-refresh --discard-important takes the one in storage, "
		      "metacache-flush --overwrite the one here");
}

/* What this tree was built from cannot be read from storage, and no manifest there says where
 * it went: this tree may be all there is of it. 1, 0, -1. */
static int is_only_copy(struct verify_look *look, const struct verify_unit *unit, struct err *err)
{
	const struct state *state = &unit->state;
	struct str_vec lost = { 0 };
	int ret;

	if (state->base && !remote_find_object(unit->remote, state->base))
		vec_push(&lost, state->base);
	for (size_t i = 0; i < state->diffs.count; i++) {
		const struct remote_object *diff =
			remote_find_object(unit->remote, state->diffs.items[i]);

		if (!diff || remote_is_orphan(unit->remote, diff))
			vec_push(&lost, state->diffs.items[i]);
	}
	ret = lost.count == 0 ? 1 : verify_bundles_include(look, unit->remote, &lost, err);
	vec_free(&lost);
	return ret < 0 ? -1 : ret == 0;
}

/* Why another version must not take its place, by the rules of flush and refresh; to be freed.
 * NULL: nothing would be lost. */
static char *why_kept(const struct verify_unit *unit)
{
	const struct changes_found *changes = &unit->changes;

	if (!unit->state.base)
		return xstrdup("never uploaded from here");
	if (unit->state.installing)
		return state_accounts_for(&unit->state, &unit->unit->files)
			       ? NULL
			       : xstrdup("changed here since a refresh was cut short");
	if (!changes_to_keep(changes))
		return NULL;
	return changes->class == CHANGES_IMPORTANT
		       ? xasprintf("changed here (%s)", changes->reason)
		       : xasprintf("changed here (%llu appended)",
				   (unsigned long long)changes->appends);
}

static int judge_newer(struct verify_look *look, const struct verify_unit *unit,
		       const struct remote_object *newer, struct err *err)
{
	autofree char *what = why_kept(unit);
	int alone = 0;

	if (!what && !unit->state.installing)
		alone = is_only_copy(look, unit, err);
	if (alone < 0)
		return -1;
	if (alone > 0)
		what = xstrdup("no bundle contains all that was uploaded or downloaded from here");
	if (what)
		add_conflict(look, unit, newer ? newer->name : unit->state.installing, what);
	else
		err_set(verify_look_add(look, VERIFY_OBSOLETE, verify_unit_name(unit, NULL),
					newer ? newer->name : unit->state.installing, true),
			ERR_DATA, newer ? "storage has a newer bundle" : "a refresh was cut short");
	return 0;
}

static void check_listed(struct verify_look *look, const struct verify_unit *unit, const char *name,
			 uint64_t bytes)
{
	const struct remote_object *object =
		unit->remote ? remote_find_object(unit->remote, name) : NULL;

	if (!object)
		err_set(verify_look_add(look, VERIFY_MISSING_REMOTE, verify_unit_name(unit, NULL),
					name, true),
			ERR_DATA, "uploaded or downloaded from here, and not in storage");
	else if (object->size_bytes != bytes)
		err_set(verify_look_add(look, VERIFY_WRONG_REMOTE_SIZE,
					verify_unit_name(unit, NULL), name, true),
			ERR_DATA, "%llu bytes in storage, %llu were uploaded",
			(unsigned long long)object->size_bytes, (unsigned long long)bytes);
}

static int judge_known(struct verify_look *look, struct verify_unit *unit, struct err *err)
{
	const struct state *state = &unit->state;
	const struct remote_object *newer = find_newer(look, unit);

	if (state->installing || newer)
		return judge_newer(look, unit, newer, err);
	for (size_t i = 0; i < state->unmerged.count; i++)
		err_set(verify_look_add(look, VERIFY_CONFLICT, verify_unit_name(unit, NULL),
					state->unmerged.items[i], false),
			ERR_CONFLICT, "of another writer, and not contained in what is here");
	unit->whole = state->unmerged.count == 0;
	if (state->base)
		check_listed(look, unit, state->base, state->base_bytes);
	/* There is one at most; of more than one only the sum of sizes is known. */
	for (size_t i = 0; i < state->diffs.count; i++) {
		const struct remote_object *object =
			unit->remote ? remote_find_object(unit->remote, state->diffs.items[i])
				     : NULL;

		check_listed(look, unit, state->diffs.items[i],
			     state->diffs.count == 1 || !object ? state->diff_bytes
								: object->size_bytes);
	}
	if (!state->base || unit->changes.class != CHANGES_NONE)
		look->counts.not_uploaded++;
	return 0;
}

/* ---- the unit's directory ---- */

static void check_blocks(struct verify_look *look, const struct verify_unit *unit, int unitfd)
{
	autoblocks struct blocks blocks = { 0 };
	const char *base = unit->known ? unit->state.base : NULL;
	struct err err = { 0 };
	int ret = blocks_read(unitfd, &blocks, &err);

	if (ret > 0 && (!base || strcmp(blocks.base, base) != 0)) {
		err_set(&err, ERR_DATA, "of another base, %s", quote_str(blocks.base).s);
		ret = -1;
	}
	if (ret < 0)
		*verify_look_add(look, VERIFY_BAD_BLOCKS, verify_unit_name(unit, NULL), BLOCKS_NAME,
				 true) = err;
}

static int load_unit(struct verify_look *look, int homefd, struct verify_unit *unit,
		     struct err *err)
{
	autofd int unitfd = fsx_opendir(homefd, unit->unit->path);
	struct err torn = { 0 };
	int ret;

	if (unitfd < 0)
		return err_sys(err, errno, "open directory %s", unit_title(unit->unit));
	ret = state_read_of(unitfd, look->home.user, unit->unit->path, &unit->state, &torn);
	unit->known = ret > 0;
	unit->torn = ret < 0;
	if (ret < 0 && torn.code != ERR_DATA) {
		*err = torn;
		return -1;
	}
	unit->remote = remote_find(&look->remote, unit->unit->id);
	changes_find(unitfd, unit->unit, unit->known ? &unit->state : NULL, &unit->changes);
	if (unit->unit->kind == UNIT_ROOT && unit->known &&
	    changes_in_folders(homefd, look->home.user, &look->scanned, &unit->state))
		unit->changes = (struct changes_found){ .class = CHANGES_IMPORTANT,
							.reason = "folders came or went" };
	if (unit->torn)
		*verify_look_add(look, VERIFY_TORN_STATE, verify_unit_name(unit, NULL),
				 UNIT_STATE_NAME,
				 !unit->remote || unit->remote->objects.count == 0) = torn;
	else
		check_blocks(look, unit, unitfd);
	return 0;
}

static int look_at_units(struct verify_look *look, int homefd, struct err *err)
{
	size_t count = look->scanned.units.count;

	look->units = xcalloc(count, sizeof *look->units);
	look->counts.units = count;
	for (size_t i = 0; i < count; i++) {
		struct verify_unit *unit = &look->units[i];

		unit->unit = &look->scanned.units.items[i];
		if (load_unit(look, homefd, unit, err) < 0)
			return -1;
		if (unit->known && judge_known(look, unit, err) < 0)
			return -1;
		if (!unit->known && !unit->torn)
			judge_unknown(look, homefd, unit);
	}
	if (look->scanned.foreign)
		err_set(verify_look_add(look, VERIFY_FOREIGN, NULL, look->scanned.foreign, false),
			ERR_DATA, "in no bundle, so the home is never cleaned whole");
	return 0;
}

/* ---- one look ---- */

static int open_and_scan(struct verify_look *look, int *homefd_r, struct err *err)
{
	*homefd_r = metacache_open_home(&look->home, err);
	if (*homefd_r < 0 || metacache_scan(look->mc, *homefd_r, &look->scanned, err) < 0)
		return -1;
	/* A torn one is found with its unit. */
	if (state_read(*homefd_r, &look->root_state, NULL) <= 0)
		look->root_state = (struct state){ 0 };
	return 0;
}

static int list(struct verify_look *look, struct err *err)
{
	if (remote_list_user(look->mc->store, look->home.prefix, &look->remote, err) < 0)
		return -1;
	look->included = xcalloc(look->remote.count, sizeof *look->included);
	for (size_t i = 0; i < look->remote.count && !look->stale; i++) {
		if (verify_bundles_read(look, &look->remote.items[i], &look->included[i], err) < 0)
			return -1;
	}
	return 0;
}

/* Nobody uploads, replaces or removes meanwhile. */
static int look_locked(struct verify_look *look, const char *user, struct err *err)
{
	const struct metacache *mc = look->mc;
	autofd int homefd = -1, lock = -1;
	int ret;

	lock = user_lock(mc->locks_fd, user, USER_LOCK_UPLOAD, mc->settings->user_lock_timeout_ms,
			 err);
	if (lock < 0)
		return -1;
	ret = metacache_find(mc, user, &look->home, err);
	if (ret < 0)
		return -1;
	look->has_home = ret > 0;
	if ((look->has_home && open_and_scan(look, &homefd, err) < 0) || list(look, err) < 0 ||
	    (look->has_home && look_at_units(look, homefd, err) < 0))
		return -1;
	return verify_row(look, err);
}

static const struct verify_unit *unit_of(const struct verify_look *look,
					 const struct remote_unit *remote)
{
	for (size_t i = 0; i < look->scanned.units.count; i++) {
		if (look->units[i].remote == remote)
			return &look->units[i];
	}
	return NULL;
}

/* Bundles never change, so most are read without a lock. */
static int look_once(struct verify_look *look, const char *user, struct err *err)
{
	if (look_locked(look, user, err) < 0)
		return -1;
	for (size_t i = 0; i < look->remote.count && !look->stale; i++) {
		const struct remote_unit *remote = &look->remote.items[i];
		const struct verify_unit *unit = unit_of(look, remote);

		if (remote->objects.count == 0)
			continue;
		look->counts.remote_only += !unit;
		if (verify_bundles(look, unit, i, err) < 0)
			return -1;
	}
	return 0;
}

int verify_look(const struct metacache *mc, const char *user, const struct verify_options *options,
		struct verify_look *look_r, struct err *err)
{
	for (int i = 0; i < TRIES; i++) {
		*look_r = (struct verify_look){ .mc = mc, .options = *options };
		if (look_once(look_r, user, err) < 0)
			return -1;
		if (!look_r->stale)
			return 0;
		if (i + 1 < TRIES)
			verify_look_free(look_r);
	}
	err_set(err, ERR_BUSY,
		"storage changes all the time: listed bundles are gone when asked for");
	return err_again(err);
}
