#include "metacache/refresh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/expand.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/workers.h"
#include "metacache/changes.h"
#include "metacache/fetch.h"
#include "metacache/install.h"
#include "metacache/remote.h"
#include "metacache/session.h"
#include "metacache/trash.h"
#include "metacache/user_lock.h"

#define LIST_TRIES 3
#define NEW_HOME "home"
#define HINT_CHOOSE                                                                                \
	"metacache-refresh --discard-important takes the one in storage, "                         \
	"metacache-flush --overwrite the one here"

const char *refresh_outcome_name(enum refresh_outcome outcome)
{
	static const char *const names[] = {
		[REFRESH_NOTHING] = "nothing",
		[REFRESH_KEPT] = "kept",
		[REFRESH_UNCHANGED] = "refreshed_unchanged",
		[REFRESH_CHANGED] = "refreshed_changed",
		[REFRESH_CREATED] = "created",
		[REFRESH_MARKED] = "marked",
		[REFRESH_IN_USE] = "in_use",
		[REFRESH_CONFLICT] = "conflict",
		[REFRESH_FAILED] = "failed",
	};

	return names[outcome];
}

struct refresh {
	const struct metacache *mc;
	struct metacache_home home;
	const struct refresh_options *options;
	struct workers *pool;
	struct refresh_result *result;
	int homefd; /* -1: there is no home */
	struct home scanned;
	struct state root_state;
	bool has_root_state;
	struct remote_unit_vec remote;
	struct trash staging;
	struct fetch_job *jobs;
	size_t job_count;
	bool stale; /* an object of the listing is gone */
	bool told_unknown;
};

/* One unit that is to come from storage. */
struct fetch_job {
	struct refresh *refresh;
	const struct remote_unit *remote;
	enum refresh_outcome outcome; /* what it is once installed: created or changed */
	struct changes_found crashed; /* the rule gives up what is here: its changes; else
					 without a reason */
	char name[24];                /* in staging */
	struct fetched fetched;
	int ret; /* of fetch_unit() */
	struct err err;
};

static void free_jobs(struct refresh *refresh)
{
	for (size_t i = 0; i < refresh->job_count; i++)
		fetch_free(&refresh->jobs[i].fetched);
	free(refresh->jobs);
	refresh->jobs = NULL;
	refresh->job_count = 0;
}

static void refresh_deinit(struct refresh *refresh)
{
	free_jobs(refresh);
	trash_free(&refresh->staging);
	remote_units_free(&refresh->remote);
	state_free(&refresh->root_state);
	unit_home_free(&refresh->scanned);
	cleanup_fd(&refresh->homefd);
	metacache_home_free(&refresh->home);
}

static void note(struct refresh *refresh, enum refresh_outcome outcome, const struct err *err)
{
	struct refresh_result *result = refresh->result;

	result->units[outcome]++;
	if (outcome > result->worst) {
		result->worst = outcome;
		if (err)
			result->err = *err;
	}
}

/* Under the lock. 1 there is a home, 0 none, -1. */
static int look_here(struct refresh *refresh, const char *user, struct err *err)
{
	struct err unreadable = { 0 };
	int ret = metacache_find(refresh->mc, user, &refresh->home, err);

	if (ret <= 0)
		return ret;
	refresh->homefd = metacache_open_home(&refresh->home, err);
	if (refresh->homefd < 0 ||
	    metacache_scan(refresh->mc, refresh->homefd, &refresh->scanned, err) < 0)
		return -1;
	ret = state_read(refresh->homefd, &refresh->root_state, &unreadable);
	refresh->has_root_state = ret > 0;
	if (ret < 0)
		metacache_warn(refresh->mc, "metacache_state_unreadable", refresh->home.user,
			       &unreadable);
	return 1;
}

/* Would anything be lost if storage's version took its place? Unknown counts as yes. What an
 * interrupted refresh left is nobody's work, unless somebody has worked on it since. */
static bool has_important_changes(int unitfd, const struct unit *unit, const struct state *state)
{
	struct changes_found found;

	if (!state || !state->base)
		return true;
	if (state->installing)
		return !state_accounts_for(state, &unit->files);
	changes_find(unitfd, unit, state, &found);
	return changes_to_keep(&found);
}

static enum refresh_outcome judge_in_use(int unitfd, const struct unit *unit, const char *what,
					 struct err *err)
{
	int in_use = session_unit_in_use(unitfd, unit, err);

	if (in_use == 0)
		return REFRESH_CHANGED;
	if (in_use > 0) {
		err_set(err, ERR_BUSY, "%s %s, but a session has it open", unit_title(unit), what);
		err_hint(err, "refresh again when the user has logged out");
	}
	return REFRESH_IN_USE;
}

static enum refresh_outcome judge_obsolete(const struct refresh *refresh, int unitfd,
					   const struct unit *unit, const struct state *state,
					   struct err *err)
{
	if (!refresh->options->discard_important && has_important_changes(unitfd, unit, state)) {
		err_set(err, ERR_CONFLICT,
			"%s changed here, and storage has a bundle of another writer; both are "
			"kept",
			unit_title(unit));
		err_hint(err, HINT_CHOOSE);
		return REFRESH_CONFLICT;
	}
	return judge_in_use(unitfd, unit, "is older than in storage", err);
}

/* Whether the unit is as good as not there. Who only logs in is not told each time that nobody
 * can know. */
static bool is_crashed(struct refresh *refresh, const struct unit *unit, int state_ret,
		       const struct state *state)
{
	const struct metacache *mc = refresh->mc;
	const char *why;
	enum boot_verdict verdict = crash_judge(mc, unit, state_ret, state, &why);

	if (verdict == BOOT_UNKNOWN && unit->has_state && !refresh->told_unknown) {
		log_event(mc->log, refresh->options->service ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
			  "metacache_boot_unknown", log_str("user", refresh->home.user),
			  log_str("unit", unit->path), log_str("reason", why),
			  log_str("outcome", "kept"));
		refresh->told_unknown = true;
	}
	return verdict == BOOT_CRASHED;
}

/* Said to whoever lists the users; not worth more than a warning. */
static void note_standing(const struct refresh *refresh, int unitfd, enum state_standing standing)
{
	autostate struct state state = { 0 };
	struct err err = { 0 };
	int ret = refresh->options->dry_run ? 0 : state_read(unitfd, &state, &err);

	if (ret > 0 && state.standing != standing) {
		state.standing = standing;
		ret = state_write(unitfd, &state, NULL, &err);
	}
	if (ret < 0)
		metacache_warn(refresh->mc, "metacache_mark_failed", refresh->home.user, &err);
}

static enum state_standing standing_of(enum refresh_outcome outcome)
{
	return outcome == REFRESH_CONFLICT ? STATE_CONFLICT
	       : outcome == REFRESH_IN_USE ? STATE_OBSOLETE
					   : STATE_CURRENT;
}

static enum refresh_outcome judge_unit(struct refresh *refresh, const struct remote_unit *remote,
				       struct changes_found *crashed_r, struct err *err)
{
	const struct unit *unit = unit_find_id(&refresh->scanned, remote->id);
	autostate struct state state = { 0 };
	autofd int unitfd = -1;
	bool known;
	int ret;
	enum remote_verdict verdict;
	enum refresh_outcome outcome = REFRESH_UNCHANGED;

	if (!unit)
		return REFRESH_CREATED;
	unitfd = fsx_opendir(refresh->homefd, unit->path);
	if (unitfd < 0) {
		err_sys(err, errno, "open directory %s", unit->path);
		return REFRESH_FAILED;
	}
	ret = state_read_of(unitfd, refresh->home.user, unit->path, &state, NULL);
	known = ret > 0;
	if (is_crashed(refresh, unit, ret, &state)) {
		crash_changes(unitfd, unit, known ? &state : NULL, crashed_r);
		return judge_in_use(unitfd, unit, "was being written when the host crashed", err);
	}
	if (known)
		state_disown(&state, refresh->mc->host);
	verdict = remote_judge(remote, known ? &state : NULL, NULL);
	if (verdict == REMOTE_NEWER || (known && state.installing) ||
	    (known && refresh->options->discard_important && state.unmerged.count > 0))
		outcome = judge_obsolete(refresh, unitfd, unit, known ? &state : NULL, err);
	/* What is replaced gets a new .state. */
	if (known && outcome != REFRESH_CHANGED && state.standing != standing_of(outcome))
		note_standing(refresh, unitfd, standing_of(outcome));
	return outcome;
}

static bool is_to_be_kept(const struct fetch_job *job)
{
	return job->crashed.reason && changes_to_keep(&job->crashed);
}

static void add_job(struct refresh *refresh, const struct remote_unit *remote,
		    enum refresh_outcome outcome, const struct changes_found *crashed)
{
	struct fetch_job *job = &refresh->jobs[refresh->job_count];

	*job = (struct fetch_job){
		.refresh = refresh,
		.remote = remote,
		.outcome = outcome,
		.crashed = *crashed,
	};
	snprintf(job->name, sizeof job->name, "u%zu", refresh->job_count++);
}

/* The .state of the unit that is here; false where there is none. */
static bool read_here(const struct refresh *refresh, const char *id, struct state *state_r)
{
	const struct unit *unit = unit_find_id(&refresh->scanned, id);
	autofd int unitfd = unit ? fsx_opendir(refresh->homefd, unit->path) : -1;

	return unitfd >= 0 &&
	       state_read_of(unitfd, refresh->home.user, unit->path, state_r, NULL) > 0;
}

static void run_job(void *arg)
{
	struct fetch_job *job = arg;
	struct refresh *refresh = job->refresh;

	autostate struct state here = { 0 };
	bool discard =
		refresh->options->discard_important && read_here(refresh, job->remote->id, &here);

	job->ret = fetch_unit(refresh->mc, &refresh->home, job->remote, discard ? &here : NULL,
			      refresh->staging.fd, job->name, &job->fetched, &job->err);
}

/* Which folders are gone, as the newest root indexes say that are known here. */
static const struct bundle_gone_vec *gone_folders(const struct refresh *refresh)
{
	const struct fetch_job *first = &refresh->jobs[0];

	if (refresh->job_count > 0 && first->remote->id[0] == '\0' && first->ret > 0)
		return &first->fetched.state.gone;
	return &refresh->root_state.gone;
}

/* A deleted folder does not come back: neither one that the root indexes call gone,
 * nor one that was here at the last look and is not now (clean takes what it removes
 * off that list). */
static bool is_gone(const struct refresh *refresh, const char *id)
{
	const struct str_vec *folders = &refresh->root_state.folders;
	char folder_id[33];

	for (size_t i = 0; i < folders->count; i++) {
		unit_folder_id(folders->items[i], folder_id);
		if (strcmp(folder_id, id) == 0)
			return true;
	}
	return bundle_gone_find(gone_folders(refresh), id) != NULL;
}

static void decide(struct refresh *refresh, const struct remote_unit *remote)
{
	struct err err = { 0 };
	struct changes_found crashed = { 0 };
	enum refresh_outcome outcome;

	if (remote->objects.count == 0)
		return;
	outcome = judge_unit(refresh, remote, &crashed, &err);
	if (outcome == REFRESH_CREATED && is_gone(refresh, remote->id))
		return;
	if (outcome == REFRESH_CREATED || outcome == REFRESH_CHANGED)
		add_job(refresh, remote, outcome, &crashed);
	else
		note(refresh, outcome, err.code != ERR_NONE ? &err : NULL);
}

static void fetch_all(struct refresh *refresh, size_t from)
{
	autogroup struct workers_group *group = workers_group_new(refresh->pool);

	for (size_t i = from; i < refresh->job_count; i++)
		workers_submit(group, run_job, &refresh->jobs[i]);
	workers_wait(group);
	for (size_t i = from; i < refresh->job_count; i++)
		refresh->stale |= refresh->jobs[i].ret == 0;
}

/* Download what was decided since the last call. */
static int fetch_decided(struct refresh *refresh, size_t *fetched, struct err *err)
{
	if (refresh->job_count == *fetched || refresh->options->dry_run)
		return 0;
	if (refresh->staging.fd < 0 && trash_new(refresh->home.root, &refresh->staging, err) < 0)
		return -1;
	fetch_all(refresh, *fetched);
	*fetched = refresh->job_count;
	return 0;
}

/* List, decide, download. The root unit sorts first, and comes before anything
 * else is decided: it says which folders are gone. */
static int gather(struct refresh *refresh, struct err *err)
{
	size_t fetched = 0;

	refresh->stale = false;
	if (remote_list_user(refresh->mc->store, refresh->home.prefix, &refresh->remote, err) < 0)
		return -1;
	refresh->jobs = xcalloc(refresh->remote.count, sizeof *refresh->jobs);
	for (size_t i = 0; i < refresh->remote.count; i++) {
		decide(refresh, &refresh->remote.items[i]);
		if (refresh->remote.items[i].id[0] == '\0' &&
		    fetch_decided(refresh, &fetched, err) < 0)
			return -1;
	}
	return fetch_decided(refresh, &fetched, err);
}

static void forget_gathered(struct refresh *refresh)
{
	free_jobs(refresh);
	trash_free(&refresh->staging);
	remote_units_free(&refresh->remote);
	*refresh->result = (struct refresh_result){ 0 };
}

/* A listed object that is gone is a race with another writer: list again. */
static int gather_current(struct refresh *refresh, struct err *err)
{
	for (int i = 0; i < LIST_TRIES; i++) {
		if (gather(refresh, err) < 0)
			return -1;
		if (!refresh->stale)
			return 0;
		forget_gathered(refresh);
	}
	err_set(err, ERR_BUSY,
		"storage changes all the time: listed bundles are gone when asked for");
	return err_again(err);
}

/* What is here was uploaded, but what is to replace it does not contain it. */
static bool is_unmerged_here(const struct refresh *refresh, const struct fetch_job *job)
{
	const struct str_vec *unmerged = &job->fetched.state.unmerged;
	autostate struct state here = { 0 };

	if (unmerged->count == 0 || !read_here(refresh, job->remote->id, &here))
		return false;
	for (size_t i = 0; i < here.diffs.count; i++) {
		if (str_vec_has(unmerged, here.diffs.items[i]))
			return true;
	}
	return here.base && str_vec_has(unmerged, here.base);
}

/* What was only here is put aside first, where a kill does not reach it. */
static int install_crashed(struct refresh *refresh, struct fetch_job *job, int homefd,
			   const struct unit *judged)
{
	const struct metacache_root *root = refresh->home.root;
	autofd int unitfd = is_to_be_kept(job) ? fsx_opendir(homefd, judged->path) : -1;
	char kept[CRASH_PATH_MAX] = "";

	if (is_to_be_kept(job) && crash_keep(root, unitfd, judged, kept, &job->err) < 0)
		return -1;
	if (install_unit(refresh->staging.fd, job->name, homefd, &job->fetched.state,
			 &judged->files, &refresh->mc->rules, &job->err) < 0) {
		if (kept[0])
			(void)fsx_remove_tree(root->fd, kept + strlen(root->path) + 1, NULL);
		return -1;
	}
	crash_note(refresh->mc, refresh->home.user, judged, &job->crashed, kept[0] ? kept : NULL,
		   &refresh->result->loss);
	return 0;
}

static void note_conflict(const struct refresh *refresh, const char *path)
{
	autofd int unitfd = fsx_opendir(refresh->homefd, path);

	if (unitfd >= 0)
		note_standing(refresh, unitfd, STATE_CONFLICT);
}

static int install_job(struct refresh *refresh, struct fetch_job *job, int homefd)
{
	const struct state *state = &job->fetched.state;
	const struct unit *judged = unit_find(&refresh->scanned, state->unit);

	if (job->crashed.reason)
		return install_crashed(refresh, job, homefd, judged);
	if (is_unmerged_here(refresh, job)) {
		note_conflict(refresh, state->unit);
		err_set(&job->err, ERR_CONFLICT,
			"%s: storage has bundles of two writers, and one of them is what is here; "
			"both are kept",
			state->unit[0] ? state->unit : "root indexes");
		return err_hint(&job->err, HINT_CHOOSE);
	}
	return install_unit(refresh->staging.fd, job->name, homefd, state,
			    judged ? &judged->files : NULL, &refresh->mc->rules, &job->err);
}

static void note_job(struct refresh *refresh, struct fetch_job *job, bool ok)
{
	if (ok) {
		refresh->result->bytes += job->fetched.bytes;
		if (job->fetched.state.unmerged.count == 0) {
			note(refresh, job->outcome, NULL);
			return;
		}
		err_set(&job->err, ERR_CONFLICT,
			"storage has bundles of two writers; the newest was taken, %s is kept "
			"there",
			job->fetched.state.unmerged.items[0]);
		note(refresh, REFRESH_CONFLICT, &job->err);
		return;
	}
	note(refresh, job->err.code == ERR_CONFLICT ? REFRESH_CONFLICT : REFRESH_FAILED, &job->err);
}

/* The home is not there: build it aside with all its units, then one rename. */
static int install_home(struct refresh *refresh, struct err *err)
{
	autofd int homefd = -1;
	const char *slash = strrchr(refresh->home.path, '/');
	autofree char *parent =
		xstrndup(refresh->home.path, slash ? (size_t)(slash - refresh->home.path) : 0);

	if (mkdirat(refresh->staging.fd, NEW_HOME, 0700) < 0)
		return err_sys(err, errno, "make a directory in .trash");
	homefd = fsx_opendir(refresh->staging.fd, NEW_HOME);
	if (homefd < 0)
		return err_sys(err, errno, "open a directory in .trash");
	for (size_t i = 0; i < refresh->job_count; i++) {
		struct fetch_job *job = &refresh->jobs[i];

		if (job->ret < 0 || install_job(refresh, job, homefd) < 0) {
			if (err)
				*err = job->err;
			return -1;
		}
		note_job(refresh, job, true);
	}
	if (slash && fsx_mkdirs(refresh->home.root->fd, parent, 0700, err) < 0)
		return -1;
	if (renameat2(refresh->staging.fd, NEW_HOME, refresh->home.root->fd, refresh->home.path,
		      RENAME_NOREPLACE) < 0)
		return err_sys(err, errno, "move %s into place", refresh->home.path);
	refresh->homefd = steal_fd(&homefd);
	return 0;
}

/* A folder that was deleted elsewhere, and has neither important changes nor readers here. */
static void remove_gone(struct refresh *refresh)
{
	for (size_t i = 0; i < refresh->scanned.units.count; i++) {
		const struct unit *unit = &refresh->scanned.units.items[i];
		autostate struct state state = { 0 };
		autofd int unitfd = -1;
		autofree char *path = xasprintf("%s/%s", refresh->home.path, unit->path);
		autotrash struct trash trash = TRASH_NONE;
		const struct bundle_gone *gone = bundle_gone_find(gone_folders(refresh), unit->id);

		if (unit->kind != UNIT_FOLDER || unit->has_subdirs || !gone ||
		    !changes_is_left_over(refresh->homefd, refresh->home.user, unit, gone))
			continue;
		unitfd = fsx_opendir(refresh->homefd, unit->path);
		if (unitfd < 0 ||
		    state_read_of(unitfd, refresh->home.user, unit->path, &state, NULL) <= 0 ||
		    has_important_changes(unitfd, unit, &state) ||
		    session_unit_in_use(unitfd, unit, NULL) != 0 ||
		    trash_take(refresh->home.root, path, &trash, NULL) < 0)
			continue;
		if (install_is_as_judged(trash.fd, unit->path, &unit->files, &refresh->mc->rules))
			trash_judged(&trash);
		else /* else the next sweep finds it, and keeps it */
			(void)trash_put_back(&trash, refresh->home.root, path, NULL);
	}
}

static void install_units(struct refresh *refresh)
{
	for (size_t i = 0; i < refresh->job_count; i++) {
		struct fetch_job *job = &refresh->jobs[i];
		bool ok = job->ret > 0 && install_job(refresh, job, refresh->homefd) == 0;

		note_job(refresh, job, ok);
	}
}

static void list_folder(struct state *state, const char *path)
{
	char id[33];

	unit_folder_id(path, id);
	if (!str_vec_has(&state->folders, path) && !bundle_gone_find(&state->gone, id))
		vec_push(&state->folders, xstrdup(path));
}

/* Folders that are here, and those that were and are missed: the next flush says so. */
static void list_folders(const struct refresh *refresh, const struct home *now, struct state *state)
{
	for (size_t i = 0; i < refresh->root_state.folders.count; i++)
		list_folder(state, refresh->root_state.folders.items[i]);
	for (size_t i = 0; i < now->units.count; i++) {
		if (now->units.items[i].kind == UNIT_FOLDER)
			list_folder(state, now->units.items[i].path);
	}
}

/* What the refresh means for the root indexes' .state: who accessed the user
 * last, and which folders are here, so that a folder that Dovecot deletes later
 * is missed. */
static int update_root_state(struct refresh *refresh, struct err *err)
{
	autostate struct state state = { 0 };
	autohome struct home now = { 0 };
	int ret = state_read(refresh->homefd, &state, err);

	if (ret <= 0)
		return 0; /* no root indexes, or a torn state, which was reported */
	if (unit_scan(refresh->homefd, &refresh->mc->rules, &now, err) < 0)
		return -1;
	list_folders(refresh, &now, &state);
	state.last_access = clock_now_ns() / 1000000000;
	state.refresh = refresh->options->mark || refresh->result->worst >= REFRESH_IN_USE;
	if (refresh->options->service) {
		free(state.last_service);
		state.last_service = xstrdup(refresh->options->service);
	}
	return state_write(refresh->homefd, &state, NULL, err);
}

static bool is_just_closed(const struct refresh *refresh)
{
	int64_t age_ms = clock_now_ns() / 1000000 - refresh->root_state.last_access * 1000;

	return refresh->has_root_state && !refresh->root_state.refresh &&
	       !refresh->root_state.installing && age_ms >= 0 &&
	       age_ms < refresh->mc->settings->metacache_close_delay_ms;
}

static int work(struct refresh *refresh, struct err *err)
{
	if (refresh->options->mark) {
		note(refresh, refresh->has_root_state ? REFRESH_MARKED : REFRESH_NOTHING, NULL);
		return 0;
	}
	if (is_just_closed(refresh) && !refresh->options->discard_important) {
		note(refresh, REFRESH_KEPT, NULL);
		return 0;
	}
	if (gather_current(refresh, err) < 0)
		return -1;
	if (refresh->options->dry_run) {
		for (size_t i = 0; i < refresh->job_count; i++) {
			note(refresh, refresh->jobs[i].outcome, NULL);
			refresh->result->loss.units += refresh->jobs[i].crashed.reason != NULL;
			refresh->result->loss.important += is_to_be_kept(&refresh->jobs[i]);
		}
		return 0;
	}
	if (refresh->homefd < 0 && refresh->job_count > 0)
		return install_home(refresh, err);
	install_units(refresh);
	remove_gone(refresh);
	return 0;
}

static void finish(struct refresh *refresh)
{
	struct err err = { 0 };

	if (refresh->homefd < 0 || refresh->options->dry_run ||
	    refresh->result->worst == REFRESH_KEPT)
		return;
	if (update_root_state(refresh, &err) < 0)
		note(refresh, REFRESH_FAILED, &err);
	if (metacache_record(refresh->mc, &refresh->home, refresh->homefd, &err) < 0)
		metacache_warn(refresh->mc, "metacache_registry_failed", refresh->home.user, &err);
}

int refresh_user(const struct metacache *mc, const char *user,
		 const struct refresh_options *options, struct workers *pool,
		 struct refresh_result *result_r, struct err *err)
{
	CLEANUP(refresh_deinit)
	struct refresh refresh = {
		.mc = mc,
		.options = options,
		.pool = pool,
		.result = result_r,
		.homefd = -1,
		.staging = TRASH_NONE,
	};
	int64_t started_ms = clock_mono_ms();
	autofd int lock = -1;

	*result_r = (struct refresh_result){ 0 };
	if (expand_user_check(user, err) < 0)
		return -1;
	lock = user_lock(mc->locks_fd, user, USER_LOCK_WHOLE, mc->settings->user_lock_timeout_ms,
			 err);
	if (lock < 0 || look_here(&refresh, user, err) < 0 || work(&refresh, err) < 0)
		return -1;
	finish(&refresh);
	result_r->duration_ms = clock_mono_ms() - started_ms;
	log_info(mc->log, "metacache_user_refresh_finished", log_str("user", user),
		 log_str("outcome", refresh_outcome_name(result_r->worst)),
		 log_uint("bytes", result_r->bytes), log_int("duration_ms", result_r->duration_ms));
	return 0;
}
