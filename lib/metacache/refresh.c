#include "metacache/refresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/expand.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/workers.h"
#include "metacache/changes.h"
#include "metacache/refresh_impl.h"
#include "metacache/user_lock.h"

#define LIST_TRIES 3

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

void refresh_note(struct refresh *refresh, enum refresh_outcome outcome, const struct err *err)
{
	struct refresh_result *result = refresh->result;

	result->units[outcome]++;
	if (outcome > result->worst) {
		result->worst = outcome;
		if (err)
			result->err = *err;
	}
}

bool refresh_job_keeps(const struct fetch_job *job)
{
	return job->crashed.reason && changes_to_keep(&job->crashed);
}

bool refresh_read_here(const struct refresh *refresh, const char *id, struct state *state_r)
{
	const struct unit *unit = unit_find_id(&refresh->scanned, id);
	autofd int unitfd = unit ? fsx_opendir(refresh->homefd, unit->path) : -1;

	return unitfd >= 0 &&
	       state_read_of(unitfd, refresh->home.user, unit->path, state_r, NULL) > 0;
}

const struct bundle_gone_vec *refresh_gone(const struct refresh *refresh)
{
	const struct fetch_job *first = &refresh->jobs[0];

	if (refresh->job_count > 0 && first->remote->id[0] == '\0' && first->ret > 0)
		return &first->fetched.state.gone;
	return &refresh->root_state.gone;
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

static void run_job(void *arg)
{
	struct fetch_job *job = arg;
	struct refresh *refresh = job->refresh;

	autostate struct state here = { 0 };
	bool discard = refresh->options->discard_important &&
		       refresh_read_here(refresh, job->remote->id, &here);

	job->ret = fetch_unit(refresh->mc, &refresh->home, job->remote, discard ? &here : NULL,
			      refresh->staging.fd, job->name, &job->fetched, &job->err);
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
	return bundle_gone_find(refresh_gone(refresh), id) != NULL;
}

static void decide(struct refresh *refresh, const struct remote_unit *remote)
{
	struct err err = { 0 };
	struct changes_found crashed = { 0 };
	enum refresh_outcome outcome;

	if (remote->objects.count == 0)
		return;
	outcome = refresh_judge(refresh, remote, &crashed, &err);
	if (outcome == REFRESH_CREATED && is_gone(refresh, remote->id))
		return;
	if (outcome == REFRESH_CREATED || outcome == REFRESH_CHANGED)
		add_job(refresh, remote, outcome, &crashed);
	else
		refresh_note(refresh, outcome, err.code != ERR_NONE ? &err : NULL);
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
		refresh_note(refresh, refresh->has_root_state ? REFRESH_MARKED : REFRESH_NOTHING,
			     NULL);
		return 0;
	}
	if (is_just_closed(refresh) && !refresh->options->discard_important) {
		refresh_note(refresh, REFRESH_KEPT, NULL);
		return 0;
	}
	if (gather_current(refresh, err) < 0)
		return -1;
	if (refresh->options->dry_run) {
		for (size_t i = 0; i < refresh->job_count; i++) {
			refresh_note(refresh, refresh->jobs[i].outcome, NULL);
			refresh->result->loss.units += refresh->jobs[i].crashed.reason != NULL;
			refresh->result->loss.important += refresh_job_keeps(&refresh->jobs[i]);
		}
		return 0;
	}
	if (refresh->homefd < 0 && refresh->job_count > 0)
		return refresh_install_home(refresh, err);
	refresh_install_units(refresh);
	refresh_install_gone(refresh);
	return 0;
}

static void finish(struct refresh *refresh)
{
	struct err err = { 0 };

	if (refresh->homefd < 0 || refresh->options->dry_run ||
	    refresh->result->worst == REFRESH_KEPT)
		return;
	if (update_root_state(refresh, &err) < 0)
		refresh_note(refresh, REFRESH_FAILED, &err);
	if (metacache_record(refresh->mc, &refresh->home, refresh->homefd, &err) < 0)
		metacache_warn(refresh->mc, "metacache_registry_failed", refresh->home.user, &err);
}

/* The user's lock is held. */
static int refresh_locked(const struct refresh *start, const char *user, struct err *err)
{
	CLEANUP(refresh_deinit) struct refresh refresh = *start;

	*refresh.result = (struct refresh_result){ 0 };
	if (look_here(&refresh, user, err) < 0 || work(&refresh, err) < 0)
		return -1;
	finish(&refresh);
	return 0;
}

/* A login does not wait for an upload, which may take as long as storage likes: an upload changes
 * no index. Where nothing has to come from storage, the session can begin; that it did is not
 * noted, since .state is the uploader's. 1 nothing has to, 0 something has, -1. */
static int look_beside_upload(const struct refresh *start, const char *user, struct err *err)
{
	struct refresh_options options = *start->options;
	struct refresh refresh = *start;
	const unsigned *units = refresh.result->units;
	autofd int lock = user_lock(refresh.mc->locks_fd, user, USER_LOCK_SESSION,
				    refresh.mc->settings->user_lock_timeout_ms, err);

	options.dry_run = true;
	refresh.options = &options;
	if (lock < 0 || refresh_locked(&refresh, user, err) < 0)
		return -1;
	return units[REFRESH_CREATED] + units[REFRESH_CHANGED] + units[REFRESH_FAILED] == 0;
}

static int lock_and_refresh(const struct refresh *start, const char *user, struct err *err)
{
	const struct refresh_options *options = start->options;
	bool is_login = options->service && !options->mark && !options->dry_run;
	int locks_fd = start->mc->locks_fd;
	int64_t timeout_ms = start->mc->settings->user_lock_timeout_ms;
	autofd int lock =
		user_lock(locks_fd, user, USER_LOCK_WHOLE, is_login ? 0 : timeout_ms, err);

	if (lock < 0 && is_login && err->code == ERR_BUSY) {
		int ret = look_beside_upload(start, user, err);

		if (ret != 0)
			return ret < 0 ? -1 : 0;
		lock = user_lock(locks_fd, user, USER_LOCK_WHOLE, timeout_ms, err);
	}
	return lock < 0 ? -1 : refresh_locked(start, user, err);
}

int refresh_user(const struct metacache *mc, const char *user,
		 const struct refresh_options *options, struct workers *pool,
		 struct refresh_result *result_r, struct err *err)
{
	const struct refresh start = {
		.mc = mc,
		.options = options,
		.pool = pool,
		.result = result_r,
		.homefd = -1,
		.staging = TRASH_NONE,
	};
	int64_t started_ms = clock_mono_ms();
	struct err own = { 0 };

	*result_r = (struct refresh_result){ 0 };
	if (expand_user_check(user, err) < 0)
		return -1;
	if (lock_and_refresh(&start, user, &own) < 0) {
		*err = own;
		return -1;
	}
	result_r->duration_ms = clock_mono_ms() - started_ms;
	log_info(mc->log, "metacache_user_refresh_finished", log_str("user", user),
		 log_str("outcome", refresh_outcome_name(result_r->worst)),
		 log_uint("bytes", result_r->bytes), log_int("duration_ms", result_r->duration_ms));
	return 0;
}
