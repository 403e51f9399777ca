#include "metacache/clean.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/expand.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "metacache/remote.h"
#include "metacache/removal.h"
#include "metacache/session.h"
#include "metacache/state.h"
#include "metacache/user_lock.h"

const char *clean_outcome_name(enum clean_outcome outcome)
{
	static const char *const names[] = {
		[CLEAN_NOTHING] = "nothing", [CLEAN_CLEANED] = "cleaned", [CLEAN_BUSY] = "busy",
		[CLEAN_DIRTY] = "dirty",     [CLEAN_FAILED] = "failed",
	};

	return names[outcome];
}

struct clean {
	const struct metacache *mc;
	const struct clean_options *options;
	struct metacache_home home;
	struct clean_result *result;
	int homefd;
	struct home scanned;
	struct remote_unit_vec remote;
};

static void clean_deinit(struct clean *clean)
{
	cleanup_fd(&clean->homefd);
	unit_home_free(&clean->scanned);
	remote_units_free(&clean->remote);
	metacache_home_free(&clean->home);
}

static bool is_selected(const struct clean *clean, const struct unit *unit)
{
	return unit->priority >= clean->options->priority_min;
}

/* Whatever goes wrong ends here: nothing of this step was removed. */
static int stop(struct clean *clean, enum clean_outcome outcome)
{
	clean->result->outcome = outcome;
	return -1;
}

static int stop_of_err(struct clean *clean)
{
	return stop(clean, clean->result->err.code == ERR_BUSY ? CLEAN_BUSY : CLEAN_FAILED);
}

static int not_uploaded(struct clean *clean, const struct unit *unit, const char *why)
{
	struct err *err = &clean->result->err;

	err_set(err, ERR_DATA, "%s: %s", unit_title(unit), why);
	err_hint(err, "metacache-flush uploads it");
	return stop(clean, CLEAN_DIRTY);
}

static int in_no_bundle(struct clean *clean, const char *path)
{
	err_set(&clean->result->err, ERR_DATA, "%s is in no bundle and would be lost",
		quote_str(path).s);
	err_hint(&clean->result->err, "move it out of the metacache root");
	return stop(clean, CLEAN_DIRTY);
}

/* Another writer goes on with this unit: what it does with our bundles is not known. */
static int check_unknown(struct clean *clean, const struct unit *unit, struct state *state)
{
	const struct remote_object *unknown;
	struct err *err = &clean->result->err;

	state_disown(state, clean->mc->host);
	unknown = remote_unknown(remote_find(&clean->remote, unit->id), state);
	if (!unknown)
		return 0;
	err_set(err, ERR_DATA, "%s: storage has %s of another writer", unit_title(unit),
		unknown->name);
	err_hint(err, "metacache-refresh takes it");
	return stop(clean, CLEAN_DIRTY);
}

static int check_unit(struct clean *clean, const struct unit *unit)
{
	autostate struct state state = { 0 };
	autofd int unitfd = fsx_opendir(clean->homefd, unit->path);

	if (unitfd < 0) {
		err_sys(&clean->result->err, errno, "open directory %s", unit->path);
		return stop_of_err(clean);
	}
	if (state_read_of(unitfd, clean->home.user, unit->path, &state, NULL) <= 0 || !state.base)
		return not_uploaded(clean, unit, "was never uploaded");
	if (state.installing || !state_matches(&state, &unit->files))
		return not_uploaded(clean, unit, "has changes that are not uploaded");
	if (!remote_holds(remote_find(&clean->remote, unit->id), &state)) {
		err_set(&clean->result->err, ERR_DATA,
			"%s: its bundle is not in storage any more, or not whole",
			unit_title(unit));
		err_hint(&clean->result->err, "metacache-refresh takes a newer one, "
					      "metacache-flush --overwrite uploads it again");
		return stop(clean, CLEAN_DIRTY);
	}
	return check_unknown(clean, unit, &state);
}

static int check_logged_in(struct clean *clean)
{
	int ret = session_logged_in(clean->mc->doveadm, clean->home.user, &clean->result->err);

	return ret == 0 ? 0 : stop(clean, ret > 0 ? CLEAN_BUSY : CLEAN_FAILED);
}

static int check_in_use(struct clean *clean)
{
	struct err *err = &clean->result->err;
	int in_use = session_home_in_use(clean->homefd, &clean->scanned, err);

	if (in_use > 0) {
		err_set(err, ERR_BUSY, "a session has the indexes open");
		err_again(err);
	}
	if (in_use != 0)
		return stop(clean, CLEAN_BUSY);
	return 0;
}

static int check_units(struct clean *clean)
{
	for (size_t i = 0; i < clean->scanned.units.count; i++) {
		const struct unit *unit = &clean->scanned.units.items[i];

		if (is_selected(clean, unit) && check_unit(clean, unit) < 0)
			return -1;
	}
	if (clean->options->priority_min == 0 && clean->scanned.foreign)
		return in_no_bundle(clean, clean->scanned.foreign);
	return check_logged_in(clean) < 0 ? -1 : check_in_use(clean);
}

static int clean_unit(struct clean *clean, const struct unit *unit)
{
	autofree char *path = xasprintf("%s/%s", clean->home.path, unit->path);
	autohome struct home before = { 0 };
	autofd int unitfd = fsx_opendir(clean->homefd, unit->path);
	int ret;

	if (unit->kind == UNIT_FOLDER && unit->has_subdirs) {
		err_set(&clean->result->err, ERR_DATA,
			"%s has folders inside it: it is only cleaned with the whole user",
			unit->path);
		return stop(clean, CLEAN_DIRTY);
	}
	if (unitfd < 0) {
		err_sys(&clean->result->err, errno, "open directory %s", unit->path);
		return stop_of_err(clean);
	}
	if (unit_scan(unitfd, &clean->mc->rules, &before, &clean->result->err) < 0)
		return stop_of_err(clean);
	if (unit->kind == UNIT_FOLDER && before.foreign)
		return in_no_bundle(clean, before.foreign);
	ret = unit->kind == UNIT_FOLDER
		      ? removal_folder(clean->mc, &clean->home, clean->homefd, unit->path, &before,
				       NULL, &clean->result->err)
		      : removal_directory(clean->mc, &clean->home, path, &before,
					  &clean->result->err);
	if (ret < 0)
		return stop_of_err(clean);
	clean->result->units++;
	clean->result->bytes += unit->bytes;
	return 0;
}

static int clean_home(struct clean *clean)
{
	struct err err = { 0 };

	if (removal_directory(clean->mc, &clean->home, clean->home.path, &clean->scanned,
			      &clean->result->err) < 0)
		return stop_of_err(clean);
	for (size_t i = 0; i < clean->scanned.units.count; i++)
		clean->result->bytes += clean->scanned.units.items[i].bytes;
	clean->result->units = (unsigned)clean->scanned.units.count;
	/* A full disk may keep the registry from being written: a rescan mends it. */
	if (clean->mc->registry && registry_remove(clean->mc->registry, clean->home.user, &err) < 0)
		metacache_warn(clean->mc, "metacache_registry_failed", clean->home.user, &err);
	return 0;
}

static int clean_selected(struct clean *clean)
{
	struct err err = { 0 };
	int ret = 0;

	for (size_t i = 0; i < clean->scanned.units.count && ret == 0; i++) {
		if (is_selected(clean, &clean->scanned.units.items[i]))
			ret = clean_unit(clean, &clean->scanned.units.items[i]);
	}
	if (metacache_record(clean->mc, &clean->home, clean->homefd, &err) < 0)
		metacache_warn(clean->mc, "metacache_registry_failed", clean->home.user, &err);
	return ret;
}

/* The latest access of any unit, by a session or by a write. */
static int64_t last_access(const struct clean *clean)
{
	autostate struct state state = { 0 };
	int64_t latest = 0;

	if (state_read(clean->homefd, &state, NULL) > 0)
		latest = state.last_access;
	for (size_t i = 0; i < clean->scanned.units.count; i++) {
		if (clean->scanned.units.items[i].newest_ns / 1000000000 > latest)
			latest = clean->scanned.units.items[i].newest_ns / 1000000000;
	}
	return latest;
}

static size_t count_selected(const struct clean *clean)
{
	size_t count = 0;

	for (size_t i = 0; i < clean->scanned.units.count; i++)
		count += is_selected(clean, &clean->scanned.units.items[i]);
	return count;
}

/* What would go. */
static void count_what_would(struct clean *clean)
{
	for (size_t i = 0; i < clean->scanned.units.count; i++) {
		const struct unit *unit = &clean->scanned.units.items[i];

		if (!is_selected(clean, unit))
			continue;
		clean->result->units++;
		clean->result->bytes += unit->bytes;
	}
}

static int work(struct clean *clean, struct err *err)
{
	int64_t unused_s;

	clean->homefd = metacache_open_home(&clean->home, err);
	if (clean->homefd < 0 || metacache_scan(clean->mc, clean->homefd, &clean->scanned, err) < 0)
		return -1;
	unused_s = clock_now_ns() / 1000000000 - last_access(clean);
	if (count_selected(clean) == 0 ||
	    (clean->options->unused_s > 0 && unused_s < clean->options->unused_s))
		return 0;
	if (remote_list_user(clean->mc->store, clean->home.prefix, &clean->remote, err) < 0)
		return -1;
	if (check_units(clean) < 0)
		return 0;
	clean->result->outcome = CLEAN_CLEANED;
	if (clean->options->dry_run)
		count_what_would(clean);
	else if (clean->options->priority_min == 0)
		clean_home(clean);
	else
		clean_selected(clean);
	return 0;
}

int clean_user(const struct metacache *mc, const char *user, const struct clean_options *options,
	       struct clean_result *result_r, struct err *err)
{
	CLEANUP(clean_deinit)
	struct clean clean = {
		.mc = mc,
		.options = options,
		.result = result_r,
		.homefd = -1,
	};
	autofd int lock = -1;
	int ret;

	*result_r = (struct clean_result){ 0 };
	if (expand_user_check(user, err) < 0)
		return -1;
	lock = user_lock(mc->locks_fd, user, USER_LOCK_WHOLE, 0, &result_r->err);
	if (lock < 0) {
		stop_of_err(&clean);
		return 0;
	}
	ret = metacache_find(mc, user, &clean.home, err);
	if (ret == 0)
		return err_set(err, ERR_NOUSER, "no such user in the metacache: %s",
			       quote_str(user).s);
	if (ret < 0 || work(&clean, err) < 0)
		return -1;
	log_info(mc->log, "metacache_user_clean_finished", log_str("user", user),
		 log_str("outcome", clean_outcome_name(result_r->outcome)),
		 log_uint("bytes", result_r->bytes));
	return 0;
}
