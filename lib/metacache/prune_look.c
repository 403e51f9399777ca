#include "metacache/prune_look.h"

#include <errno.h>
#include <string.h>

#include "base/fsx.h"
#include "base/quote.h"
#include "metacache/changes.h"
#include "metacache/fetch.h"
#include "metacache/remote.h"
#include "metacache/session.h"
#include "metacache/state.h"

#define MANIFESTS_MAX 16 /* of one unit, read to find what is contained in another */

void prune_look_free(struct prune_look *look)
{
	cleanup_fd(&look->homefd);
	look->homefd = -1;
	unit_home_free(&look->scanned);
	metacache_home_free(&look->home);
	buf_free(&look->lost);
}

static int take_row(void *ctx, const struct registry_user *row, struct err *err)
{
	int64_t *latest = ctx;

	(void)err;
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		if (row->last_access[i] > *latest)
			*latest = row->last_access[i];
	}
	return 0;
}

int64_t prune_look_registered(const struct metacache *mc, const char *user)
{
	int64_t latest = 0;

	if (!mc->registry || registry_find(mc->registry, user, take_row, &latest, NULL) < 0)
		return 0;
	return latest;
}

int prune_look_open(const struct metacache *mc, const char *user, struct prune_look *look_r,
		    struct err *err)
{
	int ret;

	*look_r = PRUNE_LOOK_NONE;
	look_r->mc = mc;
	ret = metacache_find(mc, user, &look_r->home, err);
	if (ret <= 0)
		return ret;
	look_r->homefd = metacache_open_home(&look_r->home, err);
	if (look_r->homefd < 0 || unit_scan(look_r->homefd, &mc->rules, &look_r->scanned, err) < 0)
		return -1;
	for (size_t i = 0; i < look_r->scanned.units.count; i++)
		look_r->bytes += look_r->scanned.units.items[i].bytes;
	return 1;
}

static void note_access(struct prune_look *look, int64_t when_s)
{
	if (when_s > look->last_access_s)
		look->last_access_s = when_s;
}

void prune_look_accessed(struct prune_look *look, int64_t registered_s, bool with_state)
{
	autostate struct state state = { 0 };

	note_access(look, registered_s);
	for (size_t i = 0; i < look->scanned.units.count; i++)
		note_access(look, look->scanned.units.items[i].newest_ns / 1000000000);
	if (with_state && state_read(look->homefd, &state, NULL) > 0)
		note_access(look, state.last_access);
}

enum prune_session prune_look_session(const struct prune_look *look, struct err *err)
{
	int ret = session_logged_in(look->mc->doveadm, look->home.user, err);

	if (ret == 0) {
		ret = session_home_in_use(look->homefd, &look->scanned, err);
		if (ret > 0)
			err_set(err, ERR_BUSY, "a session has the indexes open");
	}
	if (ret < 0)
		return PRUNE_SESSION_UNKNOWN;
	return ret > 0 ? PRUNE_SESSION_LIVE : PRUNE_SESSION_NONE;
}

/* ---- one unit, compared with storage ---- */

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

/* The first is told. */
static struct err *why_kept(const struct compared *compared)
{
	struct err *err = &compared->look->err;

	return err->code == ERR_NONE ? err : NULL;
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
	struct err *why = why_kept(compared);

	if (why)
		*why = *err;
	err_prefix(why, "%s", unit_title(compared->unit));
	return PRUNE_UNIT_UNKNOWN;
}

static unsigned in_conflict(const struct compared *compared, const char *what)
{
	const char *title = unit_title(compared->unit);
	struct buf *lost = &compared->look->lost;
	struct err *err = why_kept(compared);

	buf_printf(lost, "%s%s: %s", lost->len > 0 ? "; " : "", title, what);
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
		return in_conflict(compared, found->class == CHANGES_IMPORTANT ? found->reason
									       : "mails appended");
	ret = is_contained(compared, &err);
	/* All there is of it may be in that one. */
	if (ret > 0 && !remote_holds(compared->remote, &compared->state))
		ret = check_newest(compared, &err);
	if (ret < 0)
		return untold(compared, &err);
	return ret > 0 ? PRUNE_UNIT_OBSOLETE
		       : in_conflict(compared, "another writer's bundle does not contain it");
}

static unsigned judge_known(const struct compared *compared)
{
	struct err *err;

	if (compared->found.class != CHANGES_NONE)
		return PRUNE_UNIT_CHANGED;
	if (remote_holds(compared->remote, &compared->state))
		return PRUNE_UNIT_STORED;
	err = why_kept(compared);
	err_set(err, ERR_DATA, "%s: its bundle is not in storage any more, or not whole",
		unit_title(compared->unit));
	err_hint(err, "metacache-flush --overwrite uploads it again");
	return PRUNE_UNIT_MISSING;
}

static unsigned judge(const struct compared *compared)
{
	if (compared->known && compared->state.installing) {
		struct err *err = why_kept(compared);

		err_set(err, ERR_TEMP, "%s: a refresh was cut short", unit_title(compared->unit));
		err_hint(err, "metacache-refresh finishes it");
		return PRUNE_UNIT_INTERRUPTED;
	}
	return remote_unknown(compared->remote, state_of(compared)) ? judge_newer(compared)
								    : judge_known(compared);
}

static unsigned judge_unit(struct prune_look *look, const struct unit *unit,
			   const struct remote_unit *remote)
{
	CLEANUP(compared_free)
	struct compared compared = { .look = look, .unit = unit, .remote = remote };
	autofd int unitfd = fsx_opendir(look->homefd, unit->path);
	struct err err = { 0 };

	if (unitfd < 0) {
		err_sys(&err, errno, "open directory");
		return untold(&compared, &err);
	}
	compared.known =
		state_read_of(unitfd, look->home.user, unit->path, &compared.state, NULL) > 0;
	if (compared.known)
		state_disown(&compared.state, look->mc->host);
	changes_find(unitfd, unit, state_of(&compared), &compared.found);
	if (unit->kind == UNIT_ROOT && compared.known &&
	    changes_in_folders(&look->scanned, &compared.state)) {
		compared.found.class = CHANGES_IMPORTANT;
		compared.found.reason = "folders came or went";
	}
	if (compared.found.class > look->changes)
		look->changes = compared.found.class;
	return judge(&compared);
}

void prune_look_storage(struct prune_look *look)
{
	CLEANUP(remote_units_free) struct remote_unit_vec remote = { 0 };

	if (remote_list_user(look->mc->store, look->home.prefix, &remote, &look->err) < 0) {
		look->units = PRUNE_UNIT_UNKNOWN;
		return;
	}
	for (size_t i = 0; i < look->scanned.units.count; i++) {
		const struct unit *unit = &look->scanned.units.items[i];

		look->units |= judge_unit(look, unit, remote_find(&remote, unit->id));
	}
	if (!look->scanned.foreign)
		return;
	look->units |= PRUNE_UNIT_FOREIGN;
	if (look->err.code == ERR_NONE)
		err_set(&look->err, ERR_DATA, "%s is in no bundle and would be lost",
			quote_str(look->scanned.foreign).s);
}
