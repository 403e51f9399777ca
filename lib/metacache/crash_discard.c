#include <errno.h>
#include <stdlib.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "metacache/crash.h"
#include "metacache/remote.h"
#include "metacache/removal.h"
#include "metacache/session.h"
#include "metacache/user_lock.h"

struct looked {
	bool crashed, known;
	struct state state;
	struct changes_found found;
};

struct discard {
	const struct metacache *mc;
	struct metacache_home home;
	int homefd;
	struct home scanned;
	struct looked *units; /* as many as scanned has */
	size_t crashed;
	struct remote_unit_vec remote;
};

static void discard_deinit(struct discard *discard)
{
	for (size_t i = 0; discard->units && i < discard->scanned.units.count; i++)
		state_free(&discard->units[i].state);
	free(discard->units);
	discard->units = NULL;
	remote_units_free(&discard->remote);
	unit_home_free(&discard->scanned);
	cleanup_fd(&discard->homefd);
	discard->homefd = -1;
	metacache_home_free(&discard->home);
}

static int look_at_unit(const struct discard *discard, const struct unit *unit,
			struct looked *looked, struct err *err)
{
	autofd int unitfd = fsx_opendir(discard->homefd, unit->path);
	int ret;

	if (unitfd < 0)
		return err_sys(err, errno, "open directory %s", unit->path);
	ret = state_read_of(unitfd, discard->home.user, unit->path, &looked->state, NULL);
	looked->known = ret > 0;
	looked->crashed = crash_judge(discard->mc, unit, ret, &looked->state, NULL) == BOOT_CRASHED;
	if (looked->crashed)
		crash_changes(unitfd, unit, looked->known ? &looked->state : NULL, &looked->found);
	return 0;
}

/* 0, with what has crashed; -1. A user without a home has nothing. */
static int look(struct discard *discard, const char *user, struct err *err)
{
	int ret = metacache_find(discard->mc, user, &discard->home, err);

	if (ret <= 0)
		return ret;
	discard->homefd = metacache_open_home(&discard->home, err);
	if (discard->homefd < 0)
		return err->code == ERR_NOTFOUND ? 0 : -1;
	if (metacache_scan(discard->mc, discard->homefd, &discard->scanned, err) < 0)
		return -1;
	discard->units = xcalloc(discard->scanned.units.count, sizeof *discard->units);
	for (size_t i = 0; i < discard->scanned.units.count; i++) {
		if (look_at_unit(discard, &discard->scanned.units.items[i], &discard->units[i],
				 err) < 0)
			return -1;
		discard->crashed += discard->units[i].crashed;
	}
	return 0;
}

static bool has_base(const struct remote_unit *remote)
{
	for (size_t i = 0; remote && i < remote->objects.count; i++) {
		if (!remote->objects.items[i].parsed.is_diff)
			return true;
	}
	return false;
}

/* Storage can't replace what it has not. */
static int check_storage(struct discard *discard, struct err *err)
{
	if (!discard->mc->store)
		return err_set(err, ERR_UNAVAILABLE, "storage could not be asked what it has");
	if (remote_list_user(discard->mc->store, discard->home.prefix, &discard->remote, err) < 0)
		return -1;
	for (size_t i = 0; i < discard->scanned.units.count; i++) {
		const struct unit *unit = &discard->scanned.units.items[i];

		if (!discard->units[i].crashed || has_base(remote_find(&discard->remote, unit->id)))
			continue;
		discard->units[i].crashed = false;
		discard->crashed--;
		err_set(err, ERR_DATA, "%s: storage has nothing to put in its place",
			unit_title(unit));
		err_hint(err, "metacache-flush --overwrite uploads it as it is");
	}
	return 0;
}

static int check_sessions(const struct discard *discard, struct err *err)
{
	int ret = session_logged_in(discard->mc->doveadm, discard->home.user, err);

	if (ret == 0)
		ret = session_home_in_use(discard->homefd, &discard->scanned, err);
	if (ret > 0 && err->code == ERR_NONE)
		err_set(err, ERR_BUSY, "a session has the indexes open");
	return ret == 0 ? 0 : -1;
}

/* What has not crashed can be brought back from storage as it is. */
static bool is_stored(const struct discard *discard, size_t i)
{
	const struct unit *unit = &discard->scanned.units.items[i];
	struct looked *looked = &discard->units[i];
	const struct remote_unit *remote = remote_find(&discard->remote, unit->id);

	if (!looked->known || looked->state.installing || !looked->state.base ||
	    !state_matches(&looked->state, &unit->files) || !remote_holds(remote, &looked->state))
		return false;
	state_disown(&looked->state, discard->mc->host);
	return !remote_unknown(remote, &looked->state);
}

static bool may_go_whole(const struct discard *discard)
{
	for (size_t i = 0; i < discard->scanned.units.count; i++) {
		if (!discard->units[i].crashed && !is_stored(discard, i))
			return false;
	}
	return !discard->scanned.foreign;
}

static void note(struct discard *discard, size_t i, const char *kept, struct crash_loss *loss)
{
	crash_note(discard->mc, discard->home.user, &discard->scanned.units.items[i],
		   &discard->units[i].found, kept, loss);
	discard->units[i].crashed = false;
	discard->crashed--;
}

static int discard_home(struct discard *discard, struct crash_loss *loss, struct err *err)
{
	const struct metacache *mc = discard->mc;
	char kept[REMOVAL_PATH_MAX];
	struct err failed = { 0 };
	bool keep = false;

	for (size_t i = 0; i < discard->scanned.units.count; i++)
		keep |= discard->units[i].crashed && changes_to_keep(&discard->units[i].found);
	if (removal_keep(mc, &discard->home, discard->home.path, &discard->scanned,
			 keep ? kept : NULL, err) < 0)
		return -1;
	for (size_t i = 0; i < discard->scanned.units.count; i++) {
		if (discard->units[i].crashed)
			note(discard, i, keep ? kept : NULL, loss);
	}
	if (mc->registry && registry_remove(mc->registry, discard->home.user, &failed) < 0)
		metacache_warn(mc, "metacache_registry_failed", discard->home.user, &failed);
	return 0;
}

static int discard_unit(struct discard *discard, size_t i, struct crash_loss *loss, struct err *err)
{
	const struct unit *unit = &discard->scanned.units.items[i];
	autofree char *path = xasprintf("%s/%s", discard->home.path, unit->path);
	autofd int unitfd = fsx_opendir(discard->homefd, unit->path);
	autohome struct home before = { 0 };
	char kept[REMOVAL_PATH_MAX];
	char *kept_r = changes_to_keep(&discard->units[i].found) ? kept : NULL;
	int ret;

	if (unitfd < 0)
		return err_sys(err, errno, "open directory %s", unit->path);
	if (unit_scan(unitfd, &discard->mc->rules, &before, err) < 0)
		return -1;
	if (unit->kind == UNIT_ROOT || (unit->kind == UNIT_FOLDER && unit->has_subdirs) ||
	    before.foreign)
		return err_set(err, ERR_TEMP, "%s: the next metacache-refresh replaces it",
			       unit_title(unit));
	ret = unit->kind == UNIT_FOLDER
		      ? removal_folder(discard->mc, &discard->home, discard->homefd, unit->path,
				       &before, kept_r, err)
		      : removal_keep(discard->mc, &discard->home, path, &before, kept_r, err);
	if (ret < 0)
		return -1;
	note(discard, i, kept_r, loss);
	return 0;
}

static void discard_units(struct discard *discard, struct crash_loss *loss, struct err *err)
{
	for (size_t i = 0; i < discard->scanned.units.count; i++) {
		struct err failed = { 0 };

		if (discard->units[i].crashed && discard_unit(discard, i, loss, &failed) < 0 &&
		    err->code == ERR_NONE)
			*err = failed;
	}
}

/* Under the lock. `err` is set when something is left. */
static void work(struct discard *discard, struct crash_loss *loss, struct err *err)
{
	if (discard->crashed == 0 || check_storage(discard, err) < 0 || discard->crashed == 0 ||
	    check_sessions(discard, err) < 0)
		return;
	if (may_go_whole(discard))
		(void)discard_home(discard, loss, err);
	else
		discard_units(discard, loss, err);
}

int crash_discard(const struct metacache *mc, const char *user, struct crash_loss *loss_r,
		  unsigned *left_r, struct err *err)
{
	CLEANUP(discard_deinit) struct discard discard = { .mc = mc, .homefd = -1 };
	struct err why = { 0 };
	size_t crashed;
	autofd int lock = -1;
	int ret;

	*loss_r = (struct crash_loss){ 0 };
	*left_r = 0;
	/* Only who may have something to lose is kept from logging in meanwhile. */
	ret = look(&discard, user, err);
	if (ret < 0 || discard.crashed == 0)
		return ret;
	crashed = discard.crashed;
	discard_deinit(&discard);
	discard.crashed = 0;
	lock = user_lock(mc->locks_fd, user, USER_LOCK_WHOLE, 0, &why);
	if (lock >= 0 && look(&discard, user, &why) == 0) {
		crashed = discard.crashed;
		work(&discard, loss_r, &why);
	}
	if (why.code == ERR_NONE)
		return 0;
	*left_r = (unsigned)(crashed - loss_r->units);
	*err = why;
	return -1;
}
