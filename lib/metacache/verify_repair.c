#include "metacache/verify_repair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/str.h"
#include "metacache/blocks.h"
#include "metacache/flush.h"
#include "metacache/refresh.h"
#include "metacache/tidy.h"
#include "metacache/user_lock.h"

struct repair {
	const struct metacache *mc;
	struct verify_look *look;
	struct workers *pool;
	struct err err; /* the first failure */
};

static bool is_upload(enum verify_drift drift)
{
	return drift == VERIFY_MISSING_REMOTE || drift == VERIFY_WRONG_REMOTE_SIZE ||
	       drift == VERIFY_CORRUPT_BUNDLE;
}

static bool is_deletion(enum verify_drift drift)
{
	return drift == VERIFY_ORPHAN_DIFF || drift == VERIFY_SUPERSEDED;
}

static bool is_row(enum verify_drift drift)
{
	return drift == VERIFY_UNREGISTERED_HOME || drift == VERIFY_UNKNOWN_USER ||
	       drift == VERIFY_WRONG_SIZE || drift == VERIFY_WRONG_CHANGES;
}

static bool is_flush(enum verify_drift drift)
{
	return is_upload(drift) || drift == VERIFY_TORN_STATE;
}

static bool is_refresh(enum verify_drift drift)
{
	return drift == VERIFY_OBSOLETE;
}

static bool has(const struct verify_look *look, bool (*is)(enum verify_drift))
{
	for (size_t i = 0; i < look->findings.count; i++) {
		if (look->findings.items[i].repairable && is(look->findings.items[i].drift))
			return true;
	}
	return false;
}

static void note_failure(struct repair *repair, const struct err *err)
{
	if (repair->err.code == ERR_NONE && err->code != ERR_NONE)
		repair->err = *err;
}

static const struct verify_unit *find_unit(const struct verify_look *look, const char *name)
{
	for (size_t i = 0; i < look->scanned.units.count; i++) {
		if (strcmp(verify_unit_name(&look->units[i], NULL), name) == 0)
			return &look->units[i];
	}
	return NULL;
}

static const struct remote_unit *find_remote(const struct verify_look *look, const char *name)
{
	const struct verify_unit *unit = find_unit(look, name);

	if (unit)
		return unit->remote;
	return remote_find(&look->remote, strcmp(name, ".") == 0 ? "" : name);
}

/* ---- in the unit's directory ---- */

static int remove_blocks(int unitfd, struct err *err)
{
	if (unlinkat(unitfd, BLOCKS_NAME, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove " BLOCKS_NAME);
	return 0;
}

/* Have the next flush upload a base, whoever does it: no file is what it was at the last
 * upload, no place in the log says that all before it is in storage, and there is nothing to
 * cut a diff from. What .state knows of storage stays. */
static int forget_upload(const struct verify_unit *was, int unitfd, struct err *err)
{
	static const struct unit_file_vec none;
	autostate struct state state = { 0 };
	int ret = state_read(unitfd, &state, err);

	if (ret <= 0)
		return ret;
	/* Somebody was here since. */
	if (state.installing || !state.base || !was->state.base ||
	    strcmp(state.base, was->state.base) != 0 || state.unmerged.count > 0)
		return 0;
	state_set_files(&state, &none);
	state.log = (struct index_position){ 0 };
	if (remove_blocks(unitfd, err) < 0)
		return -1;
	return state_write(unitfd, &state, NULL, err);
}

static void mend_unit(struct repair *repair, int homefd, const struct verify_finding *finding)
{
	const struct verify_unit *unit = find_unit(repair->look, finding->unit);
	autofd int unitfd = unit ? fsx_opendir(homefd, unit->unit->path) : -1;
	struct err err = { 0 };
	int ret;

	if (unitfd < 0)
		return; /* gone meanwhile: the second look says */
	ret = is_upload(finding->drift) ? forget_upload(unit, unitfd, &err)
					: remove_blocks(unitfd, &err);
	if (ret < 0)
		note_failure(repair, &err);
}

static bool is_local(enum verify_drift drift)
{
	return is_upload(drift) || drift == VERIFY_BAD_BLOCKS;
}

/* false: a flush may take a unit whose bundle is damaged for unchanged. */
static bool mend_units(struct repair *repair)
{
	const struct metacache *mc = repair->mc;
	struct verify_look *look = repair->look;
	struct err err = { 0 };
	autofd int homefd = -1, lock = -1;

	lock = user_lock(mc->locks_fd, look->home.user, USER_LOCK_UPLOAD,
			 mc->settings->user_lock_timeout_ms, &err);
	if (lock >= 0)
		homefd = metacache_open_home(&look->home, &err);
	if (homefd < 0) {
		note_failure(repair, &err);
		return false;
	}
	for (size_t i = 0; i < look->findings.count; i++) {
		const struct verify_finding *finding = &look->findings.items[i];

		if (finding->repairable && is_local(finding->drift))
			mend_unit(repair, homefd, finding);
	}
	return repair->err.code == ERR_NONE;
}

/* ---- by what other programs do ---- */

static bool has_conflict(const struct verify_look *look)
{
	for (size_t i = 0; i < look->findings.count; i++) {
		if (look->findings.items[i].drift == VERIFY_CONFLICT)
			return true;
	}
	return false;
}

/* It is of all units of the user, and would take storage's version of one whose tree may be
 * all there is of a change. */
static void refresh(struct repair *repair)
{
	const char *user = repair->look->home.user;
	struct refresh_options options = { 0 }, mark = { .mark = true };
	struct refresh_result result = { 0 };
	struct err err = { 0 };
	int ret;

	if (has_conflict(repair->look)) {
		err_set(&err, ERR_CONFLICT, "not refreshed, as another unit is in conflict");
		note_failure(repair, &err);
		return;
	}
	ret = refresh_user(repair->mc, user, &options, repair->pool, &result, &err);
	/* Closed a moment ago: have storage asked all the same. */
	if (ret == 0 && result.worst == REFRESH_KEPT) {
		ret = refresh_user(repair->mc, user, &mark, repair->pool, &result, &err);
		if (ret == 0)
			ret = refresh_user(repair->mc, user, &options, repair->pool, &result, &err);
	}
	note_failure(repair, ret < 0 ? &err : &result.err);
}

/* A flush tidies up all units of the user that are here. Where a damaged bundle stays, what that
 * one replaced may be the last that can be read. */
static bool leaves_corrupt(const struct verify_look *look)
{
	for (size_t i = 0; i < look->findings.count; i++) {
		const struct verify_finding *finding = &look->findings.items[i];

		if (finding->drift == VERIFY_CORRUPT_BUNDLE && !finding->repairable &&
		    find_unit(look, finding->unit))
			return true;
	}
	return false;
}

/* Without `tidy` it only uploads. */
static void flush_once(struct repair *repair, struct tidy *tidy)
{
	struct flush_options options = { .many_users = true };
	struct flush_result result;
	struct err err = { 0 };

	if (flush_user(repair->mc, &repair->look->home, &options, repair->pool, tidy, &result,
		       &err) < 0)
		note_failure(repair, &err);
	else
		note_failure(repair, &result.err);
}

/* A base that was replaced is only deleted after another look at storage. */
static void flush(struct repair *repair, struct tidy *tidy)
{
	flush_once(repair, tidy);
	flush_once(repair, tidy);
}

static bool is_deletion_of(const struct verify_finding *finding, const char *unit)
{
	return finding->repairable && is_deletion(finding->drift) &&
	       strcmp(finding->unit, unit) == 0;
}

/* What one unit has in storage now. */
struct again {
	const struct verify_unit *unit; /* NULL: not here */
	struct remote_unit listed;
	struct verify_included included;
	bool asked;
	int readable; /* then: whether all tips are; 1, 0, -1 */
};

static void again_free(struct again *again)
{
	remote_unit_free(&again->listed);
	verify_included_free(&again->included);
}

static int list_again(struct repair *repair, const char *name, struct again *again, struct err *err)
{
	struct verify_look *look = repair->look;
	const struct remote_unit *was = find_remote(look, name);

	again->unit = find_unit(look, name);
	/* Bundles never change: what could be read a moment ago still can. */
	str_vec_copy(&again->included.proved, &look->included[was - look->remote.items].proved);
	if (remote_list_unit(repair->mc->store, look->home.prefix, was->id, &again->listed, err) <
	    0)
		return -1;
	return verify_bundles_read(look, &again->listed, &again->included, err);
}

/* Whether it is of no use, as the listing is now: a manifest may be whole, and the bundle damaged
 * behind it. */
static bool may_go(struct repair *repair, const struct verify_finding *finding, struct again *again)
{
	struct verify_look *look = repair->look;
	const struct remote_unit *listed = &again->listed;
	const struct remote_object *object = remote_find_object(listed, finding->object);
	struct err kept = { 0 }, err = { 0 };
	int ret;

	if (!object || remote_is_orphan(listed, object) != (finding->drift == VERIFY_ORPHAN_DIFF))
		return false;
	if (finding->drift == VERIFY_ORPHAN_DIFF && object->size_bytes == 0)
		return true;
	if (finding->drift == VERIFY_ORPHAN_DIFF)
		ret = verify_bundles_is_rubbish(look, again->unit, listed, &again->included, object,
						&kept, &err);
	else
		ret = verify_bundles_contained(listed, &again->included, object);
	if (ret > 0 && !again->asked) {
		again->asked = true;
		again->readable = verify_tips_prove(look, listed, &again->included, &err);
	}
	note_failure(repair, &err);
	return ret > 0 && again->readable > 0;
}

/* Another writer may have put a diff on a base since the look, or what contained a bundle may
 * be gone. Nobody here uploads one between the listing and the deletion. */
static void delete_of_unit(struct repair *repair, struct tidy *tidy, const char *name)
{
	const struct metacache *mc = repair->mc;
	const struct verify_look *look = repair->look;
	CLEANUP(again_free) struct again again = { 0 };
	struct str_vec names = { 0 };
	struct err err = { 0 };
	autofd int lock = user_lock(mc->locks_fd, look->home.user, USER_LOCK_UPLOAD,
				    mc->settings->user_lock_timeout_ms, &err);

	if (lock < 0 || list_again(repair, name, &again, &err) < 0) {
		note_failure(repair, &err);
		return;
	}
	for (size_t i = 0; i < look->findings.count; i++) {
		const struct verify_finding *finding = &look->findings.items[i];

		if (is_deletion_of(finding, name) && may_go(repair, finding, &again))
			vec_push(&names, finding->object);
	}
	tidy_add(tidy, &look->home, again.unit ? again.unit->unit->path : again.listed.id,
		 again.listed.id, &names);
	tidy_delete(tidy);
	vec_free(&names);
}

static void delete_objects(struct repair *repair, struct tidy *tidy)
{
	const struct verify_finding_vec *findings = &repair->look->findings;

	for (size_t i = 0; i < findings->count; i++) {
		const struct verify_finding *finding = &findings->items[i];
		size_t first = 0;

		if (!finding->repairable || !is_deletion(finding->drift))
			continue;
		while (!is_deletion_of(&findings->items[first], finding->unit))
			first++;
		if (first == i)
			delete_of_unit(repair, tidy, finding->unit);
	}
}

static int correct_row(const struct metacache *mc, const char *user, struct err *err)
{
	autohomeref struct metacache_home home = { 0 };
	autofd int lock = user_lock(mc->locks_fd, user, USER_LOCK_UPLOAD,
				    mc->settings->user_lock_timeout_ms, err);
	autofd int homefd = -1;
	int ret;

	if (lock < 0)
		return -1;
	ret = metacache_find(mc, user, &home, err);
	if (ret <= 0)
		return ret < 0 || registry_remove(mc->registry, user, err) < 0 ? -1 : 0;
	homefd = metacache_open_home(&home, err);
	return homefd < 0 ? -1 : metacache_record(mc, &home, homefd, err);
}

static void act(struct repair *repair)
{
	struct verify_look *look = repair->look;
	struct tidy *tidy = tidy_new(repair->mc);
	bool mended = !has(look, is_local) || mend_units(repair);
	struct err err = { 0 };

	if (has(look, is_refresh))
		refresh(repair);
	if (has(look, is_flush))
		flush(repair, mended && !leaves_corrupt(look) ? tidy : NULL);
	delete_objects(repair, tidy);
	if (tidy_finish(&tidy, &look->counts.deleted, &err) < 0)
		note_failure(repair, &err);
	if (has(look, is_row) && correct_row(repair->mc, look->home.user, &err) < 0)
		note_failure(repair, &err);
}

/* ---- what came of it ---- */

static struct verify_finding *find(struct verify_look *look, const struct verify_finding *like)
{
	for (size_t i = 0; i < look->findings.count; i++) {
		struct verify_finding *finding = &look->findings.items[i];

		if (finding->drift == like->drift && str_same(finding->unit, like->unit) &&
		    str_same(finding->object, like->object))
			return finding;
	}
	return NULL;
}

/* The second look is not a deep one: a corrupt bundle is gone when it is not listed. */
static bool remains(struct verify_look *now, const struct verify_finding *finding)
{
	const struct remote_unit *remote;

	if (find(now, finding))
		return true;
	if (finding->drift != VERIFY_CORRUPT_BUNDLE)
		return false;
	remote = find_remote(now, finding->unit);
	return remote && remote_find_object(remote, finding->object);
}

static void compare(struct repair *repair, struct verify_look *now)
{
	struct verify_look *look = repair->look;

	for (size_t i = 0; i < look->findings.count; i++) {
		struct verify_finding *finding = &look->findings.items[i];

		finding->repaired = !remains(now, finding);
		if (!finding->repaired && finding->repairable && repair->err.code != ERR_NONE)
			finding->err = repair->err;
	}
	for (size_t i = 0; i < now->findings.count; i++) {
		const struct verify_finding *finding = &now->findings.items[i];

		if (find(look, finding))
			continue;
		*verify_look_add(look, finding->drift, finding->unit, finding->object, false) =
			finding->err;
	}
}

static bool any(enum verify_drift drift)
{
	(void)drift;
	return true;
}

void verify_repair(struct verify_look *look, struct workers *pool)
{
	struct repair repair = { .mc = look->mc, .look = look, .pool = pool };
	static const struct verify_options shallow = { 0 };
	autolook struct verify_look now = { 0 };
	struct err err = { 0 };

	if (!has(look, any))
		return;
	act(&repair);
	/* Without a user nothing can be wrong with him. */
	if (verify_look(look->mc, look->home.user, &shallow, &now, &err) == 0 ||
	    err.code == ERR_NOUSER)
		compare(&repair, &now);
	else
		*verify_look_add(look, VERIFY_ERROR, NULL, NULL, false) = err;
	look->counts.not_uploaded = now.counts.not_uploaded;
	look->counts.remote_only = now.counts.remote_only;
	look->counts.units = now.counts.units;
	look->counts.bytes += now.counts.bytes;
}
