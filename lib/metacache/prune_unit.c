#include <errno.h>
#include <string.h>

#include "base/fsx.h"
#include "metacache/changes.h"
#include "metacache/crash.h"
#include "metacache/fetch.h"
#include "metacache/prune_look.h"
#include "metacache/remote.h"
#include "metacache/state.h"

#define MANIFESTS_MAX 16 /* of one unit, read to find what is contained in another */

struct compared {
	struct prune_look *look;
	const struct unit *unit;
	const struct remote_unit *remote; /* NULL: nothing is listed */
	struct state state;
	bool known; /* the state is the unit's own */
	struct changes_found found;
};

static void compared_free(struct compared *compared)
{
	state_free(&compared->state);
}

static const struct state *state_of(const struct compared *compared)
{
	return compared->known ? &compared->state : NULL;
}

static bool is_unknown(const struct compared *compared, const struct remote_object *object)
{
	struct remote_unit alone = { .objects = { .items = (struct remote_object *)object,
						  .count = 1 } };

	return remote_unknown(&alone, state_of(compared)) != NULL;
}

/* Another writer's, and one that a refresh can take. */
static bool is_readable_unknown(const struct compared *compared, const struct remote_object *object)
{
	return object->size_bytes > 0 && !remote_is_orphan(compared->remote, object) &&
	       is_unknown(compared, object);
}

static bool has_readable_unknown(const struct compared *compared)
{
	for (size_t i = 0; i < compared->remote->objects.count; i++) {
		if (is_readable_unknown(compared, &compared->remote->objects.items[i]))
			return true;
	}
	return false;
}

/* Another writer has put a diff on this base. */
static bool is_built_upon(const struct compared *compared, const struct remote_object *base)
{
	for (size_t i = 0; i < compared->remote->objects.count; i++) {
		const struct remote_object *object = &compared->remote->objects.items[i];

		if (object->parsed.is_diff && is_readable_unknown(compared, object) &&
		    remote_base_of(compared->remote, object) == base)
			return true;
	}
	return false;
}

/* Whether a manifest of another writer's bundles names `name` as contained: 1, 0, -1. */
static int is_included(const struct compared *compared, const char *name, struct err *err)
{
	const struct remote_unit *remote = compared->remote;
	size_t read = 0;

	for (size_t i = remote->objects.count; i-- > 0 && read < MANIFESTS_MAX;) {
		const struct remote_object *object = &remote->objects.items[i];
		automanifest struct bundle_manifest manifest = { 0 };
		int ret;

		if (!is_readable_unknown(compared, object))
			continue;
		read++;
		ret = fetch_manifest(compared->look->mc, &compared->look->home, remote, object,
				     &manifest, err);
		if (ret == 0)
			return err_set(err, ERR_BUSY, "storage changes just now");
		if (ret < 0)
			return -1;
		if (str_vec_has(&manifest.includes, name))
			return 1;
	}
	return 0;
}

/* The newest of another writer is a bundle of this unit: 1, -1. */
static int check_newest(const struct compared *compared, struct err *err)
{
	const struct remote_unit *remote = compared->remote;
	automanifest struct bundle_manifest manifest = { 0 };
	size_t i = remote->objects.count;
	int ret;

	while (!is_readable_unknown(compared, &remote->objects.items[--i]))
		;
	ret = fetch_manifest(compared->look->mc, &compared->look->home, remote,
			     &remote->objects.items[i], &manifest, err);
	if (ret == 0)
		return err_set(err, ERR_BUSY, "storage changes just now");
	if (ret > 0 && strcmp(manifest.unit_id, compared->unit->id) != 0)
		return err_set(err, ERR_DATA, "%s in storage is of another unit",
			       remote->objects.items[i].name);
	return ret;
}

/* What was uploaded or downloaded last. Not listed any more: then another writer has superseded
 * it, who only deletes what he contains. */
static int is_contained(const struct compared *compared, struct err *err)
{
	const struct state *state = &compared->state;
	size_t count = state->diffs.count > 0 ? state->diffs.count : 1;

	for (size_t i = 0; i < count; i++) {
		const char *tip = state->diffs.count > 0 ? state->diffs.items[i] : state->base;
		const struct remote_object *object = remote_find_object(compared->remote, tip);
		int ret;

		if (!object || is_built_upon(compared, object))
			continue;
		ret = is_included(compared, tip, err);
		if (ret <= 0)
			return ret;
	}
	return 1;
}

static unsigned untold(const struct compared *compared, const struct err *err)
{
	struct err *why = prune_look_err(compared->look, PRUNE_UNIT_UNKNOWN);

	if (why)
		*why = *err;
	err_prefix(why, "%s", unit_title(compared->unit));
	return PRUNE_UNIT_UNKNOWN;
}

static void add_lost(const struct compared *compared, const char *what)
{
	struct buf *lost = &compared->look->lost;

	buf_printf(lost, "%s%s: %s", lost->len > 0 ? "; " : "", unit_title(compared->unit), what);
}

/* What there is to lose. */
static const char *what_changed(const struct changes_found *found)
{
	return found->class == CHANGES_IMPORTANT ? found->reason : "mails appended";
}

static unsigned in_conflict(const struct compared *compared, const char *what)
{
	const char *title = unit_title(compared->unit);
	struct err *err = prune_look_err(compared->look, PRUNE_UNIT_CONFLICT);

	add_lost(compared, what);
	err_set(err, ERR_CONFLICT,
		"%s: %s, and storage has a newer bundle of another writer; both "
		"are kept",
		title, what);
	err_hint(err, "metacache-prune --discard-important gives up the one here, "
		      "metacache-flush --overwrite the one in storage");
	return PRUNE_UNIT_CONFLICT;
}

static unsigned judge_newer(const struct compared *compared)
{
	const struct changes_found *found = &compared->found;
	struct err err = { 0 };
	int ret;

	if (!has_readable_unknown(compared)) {
		if (compared->known && remote_holds(compared->remote, &compared->state))
			return in_conflict(compared, "storage has a diff without a base");
		err_set(&err, ERR_DATA, "storage has only a diff whose base is gone");
		return untold(compared, &err);
	}
	if (!compared->known || !compared->state.base)
		return in_conflict(compared, "never uploaded from here");
	if (changes_to_keep(found))
		return in_conflict(compared, what_changed(found));
	ret = is_contained(compared, &err);
	/* All there is of it may be in that one. */
	if (ret > 0 && !remote_holds(compared->remote, &compared->state))
		ret = check_newest(compared, &err);
	if (ret < 0)
		return untold(compared, &err);
	return ret > 0 ? PRUNE_UNIT_OBSOLETE
		       : in_conflict(compared, "another writer's bundle does not contain it");
}

static unsigned missing(const struct compared *compared)
{
	struct err *err = prune_look_err(compared->look, PRUNE_UNIT_MISSING);

	err_set(err, ERR_DATA, "%s: its bundle is not in storage any more, or not whole",
		unit_title(compared->unit));
	err_hint(err, "metacache-flush --overwrite uploads it again");
	return PRUNE_UNIT_MISSING;
}

static unsigned judge_known(const struct compared *compared)
{
	if (compared->found.class != CHANGES_NONE)
		return PRUNE_UNIT_CHANGED;
	return remote_holds(compared->remote, &compared->state) ? PRUNE_UNIT_STORED
								: missing(compared);
}

/* As good as not here, if storage has it as it was before, or newer. */
static unsigned judge_crashed(const struct compared *compared)
{
	bool is_held = compared->known && remote_holds(compared->remote, &compared->state);
	struct err err = { 0 };

	if (!is_held && (!compared->remote || !has_readable_unknown(compared)))
		return missing(compared);
	if (!is_held && check_newest(compared, &err) < 0)
		return untold(compared, &err);
	if (changes_to_keep(&compared->found)) {
		add_lost(compared, what_changed(&compared->found));
		compared->look->crashed_changes = true;
	}
	return PRUNE_UNIT_CRASHED;
}

static unsigned judge(const struct compared *compared)
{
	if (compared->known && compared->state.installing) {
		struct err *err = prune_look_err(compared->look, PRUNE_UNIT_INTERRUPTED);

		err_set(err, ERR_TEMP, "%s: a refresh was cut short", unit_title(compared->unit));
		err_hint(err, "metacache-refresh finishes it");
		return PRUNE_UNIT_INTERRUPTED;
	}
	return remote_unknown(compared->remote, state_of(compared)) ? judge_newer(compared)
								    : judge_known(compared);
}

/* Whether the crash rule gives it up. */
static bool load(struct compared *compared, int unitfd)
{
	struct prune_look *look = compared->look;
	const struct unit *unit = compared->unit;
	struct state *state = &compared->state;
	int ret = state_read_of(unitfd, look->home.user, unit->path, state, NULL);
	bool crashed = crash_judge(look->mc, unit, ret, state, NULL) == BOOT_CRASHED;

	compared->known = ret > 0;
	if (compared->known)
		state_disown(state, look->mc->host);
	if (crashed)
		crash_changes(unitfd, unit, state_of(compared), &compared->found);
	else
		changes_find(unitfd, unit, state_of(compared), &compared->found);
	if (unit->kind == UNIT_ROOT && compared->known &&
	    changes_in_folders(&look->scanned, state)) {
		compared->found.class = CHANGES_IMPORTANT;
		compared->found.reason = "folders came or went";
	}
	if (compared->found.class > look->changes)
		look->changes = compared->found.class;
	return crashed;
}

unsigned prune_unit_judge(struct prune_look *look, const struct unit *unit,
			  const struct remote_unit *remote)
{
	CLEANUP(compared_free)
	struct compared compared = { .look = look, .unit = unit, .remote = remote };
	autofd int unitfd = fsx_opendir(look->homefd, unit->path);
	struct err err = { 0 };

	if (unitfd >= 0)
		return load(&compared, unitfd) ? judge_crashed(&compared) : judge(&compared);
	err_sys(&err, errno, "open directory");
	return untold(&compared, &err);
}
