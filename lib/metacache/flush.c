#include "metacache/flush.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/workers.h"
#include "metacache/changes.h"
#include "metacache/flush_unit.h"
#include "metacache/state.h"
#include "metacache/user_lock.h"

#define FEW_UNITS 4

const char *flush_outcome_name(enum flush_outcome outcome)
{
	static const char *const names[] = {
		[FLUSH_UNCHANGED] = "unchanged", [FLUSH_SKIPPED] = "skipped",
		[FLUSH_UPLOADED] = "uploaded",   [FLUSH_OBSOLETE] = "obsolete",
		[FLUSH_CONFLICT] = "conflict",   [FLUSH_BUSY] = "busy",
		[FLUSH_FAILED] = "failed",
	};

	return names[outcome];
}

struct flush {
	const struct metacache *mc;
	const struct metacache_home *home;
	const struct flush_options *options;
	struct tidy *tidy;
	int homefd;
	struct home scanned;
	struct state root_state;     /* as it was; empty when there is none */
	struct str_vec folders;      /* paths that are here */
	struct bundle_gone_vec gone; /* folders that are not here any more */
	struct str_vec fresh;        /* ids of those that were here the last time */
	struct flush_unit *jobs;     /* one a unit of `scanned`; without a unit: not selected */
	struct remote_unit_vec listed;
	struct str_vec reborn; /* ids that were gone, and are here again */
};

static void flush_deinit(struct flush *flush)
{
	for (size_t i = 0; flush->jobs && i < flush->scanned.units.count; i++)
		flush_unit_free(&flush->jobs[i]);
	free(flush->jobs);
	remote_units_free(&flush->listed);
	cleanup_fd(&flush->homefd);
	unit_home_free(&flush->scanned);
	state_free(&flush->root_state);
	str_vec_free(&flush->folders);
	bundle_gone_free(&flush->gone);
	str_vec_free(&flush->fresh);
	str_vec_free(&flush->reborn);
}

/* The directory itself is gone: one whose log is just being rotated is not. */
static bool is_missing(const struct flush *flush, const char *path)
{
	autofd int fd = fsx_opendir(flush->homefd, path);

	return fd < 0 && errno == ENOENT;
}

/* A folder that was here at the last upload of the root indexes and is not now was
 * deleted or renamed by Dovecot: clean takes a folder off the list before it removes
 * it. Its bundles stay in storage, but the new root bundle says that it is gone, so
 * that a refresh elsewhere does not bring it back. */
static void compare_folders(struct flush *flush)
{
	const struct state *was = &flush->root_state;
	char id[33];

	for (size_t i = 0; i < flush->scanned.units.count; i++) {
		const struct unit *unit = &flush->scanned.units.items[i];
		const struct bundle_gone *gone = bundle_gone_find(&was->gone, unit->id);

		if (unit->kind != UNIT_FOLDER ||
		    (gone && changes_is_left_over(flush->homefd, flush->home->user, unit, gone)))
			continue;
		vec_push(&flush->folders, xstrdup(unit->path));
		if (gone)
			vec_push(&flush->reborn, xstrdup(unit->id));
	}
	for (size_t i = 0; i < was->gone.count; i++) {
		const struct bundle_gone *gone = &was->gone.items[i];

		if (!str_vec_has(&flush->reborn, gone->id))
			bundle_gone_add(&flush->gone, gone->id,
					gone->noted ? &gone->bundles : NULL);
	}
	for (size_t i = 0; i < was->folders.count; i++) {
		unit_folder_id(was->folders.items[i], id);
		if (!is_missing(flush, was->folders.items[i]) || bundle_gone_find(&flush->gone, id))
			continue;
		bundle_gone_add(&flush->gone, id, NULL);
		vec_push(&flush->fresh, xstrdup(id));
	}
}

static void run_unit(void *arg)
{
	flush_unit_upload(arg);
}

static void add_outcome(struct flush_result *result, const struct flush_unit *job)
{
	result->units[job->outcome]++;
	result->bytes += job->bytes;
	if (job->outcome > result->worst) {
		result->worst = job->outcome;
		result->err = job->err;
	}
}

static void prepare_job(struct flush *flush, struct unit *unit, struct flush_unit *job)
{
	*job = (struct flush_unit){
		.mc = flush->mc,
		.home = flush->home,
		.homefd = flush->homefd,
		.unit = unit,
		.options = flush->options,
		.tidy = flush->tidy,
	};
	if (str_vec_has(&flush->reborn, unit->id))
		job->reborn = bundle_gone_find(&flush->root_state.gone, unit->id);
	if (unit->kind == UNIT_ROOT) {
		job->folders = &flush->folders;
		job->gone = &flush->gone;
	}
}

/* Look at every selected unit; how many have to be uploaded. */
static size_t look_at_units(struct flush *flush)
{
	size_t count = 0;

	flush->jobs = xcalloc(flush->scanned.units.count, sizeof *flush->jobs);
	for (size_t i = 0; i < flush->scanned.units.count; i++) {
		struct unit *unit = &flush->scanned.units.items[i];

		flush->jobs[i].unitfd = -1;
		if (unit->priority < flush->options->priority_min)
			continue;
		prepare_job(flush, unit, &flush->jobs[i]);
		flush_unit_look(&flush->jobs[i]);
		count += flush->jobs[i].changed;
	}
	return count;
}

/* Several units of a user are listed by one request, where a page holds them all. */
static int list_for(struct flush *flush, struct err *err)
{
	static const struct remote_unit none;
	int ret = remote_list_at_once(flush->mc->store, flush->home->prefix, &flush->listed, err);

	for (size_t i = 0; ret > 0 && i < flush->scanned.units.count; i++) {
		struct flush_unit *job = &flush->jobs[i];

		if (!job->changed)
			continue;
		job->listed = remote_find(&flush->listed, job->unit->id);
		if (!job->listed)
			job->listed = &none;
	}
	return ret;
}

/* What storage has of the folders whose deletion the root indexes' bundle is about to tell. */
static int note_gone(struct flush *flush, bool at_once, struct err *err)
{
	for (size_t i = 0; i < flush->gone.count; i++) {
		struct bundle_gone *gone = &flush->gone.items[i];
		autoremote struct remote_unit alone = { 0 };
		const struct remote_unit *listed = &alone;

		if (!str_vec_has(&flush->fresh, gone->id))
			continue;
		if (at_once)
			listed = remote_find(&flush->listed, gone->id);
		else if (remote_list_unit(flush->mc->store, flush->home->prefix, gone->id, &alone,
					  err) < 0)
			return -1;
		gone->noted = true;
		for (size_t k = 0; listed && k < listed->objects.count; k++)
			vec_push(&gone->bundles, xstrdup(listed->objects.items[k].name));
	}
	return 0;
}

/* The root unit, which sorts first, goes last: it says which folders there are,
 * and a folder that it names should be in storage by then. */
static void upload_units(struct flush *flush, struct workers *pool)
{
	autogroup struct workers_group *group = workers_group_new(pool);

	for (size_t i = flush->scanned.units.count; i-- > 0;) {
		if (!flush->jobs[i].changed)
			continue;
		if (flush->jobs[i].unit->kind == UNIT_ROOT)
			workers_wait(group);
		workers_submit(group, run_unit, &flush->jobs[i]);
	}
	workers_wait(group);
}

static void upload_units_here(struct flush *flush)
{
	for (size_t i = flush->scanned.units.count; i-- > 0;) {
		if (flush->jobs[i].changed)
			flush_unit_upload(&flush->jobs[i]);
	}
}

static int flush_units(struct flush *flush, struct workers *pool, struct flush_result *result,
		       struct err *err)
{
	size_t count = look_at_units(flush);
	/* The root unit sorts first. */
	bool tells = flush->fresh.count > 0 && flush->jobs[0].gone && flush->jobs[0].changed;
	int at_once = count > 1 || tells ? list_for(flush, err) : 0;

	if (at_once < 0 || (tells && note_gone(flush, at_once > 0, err) < 0))
		return -1;
	if (flush->options->many_users && count <= FEW_UNITS)
		upload_units_here(flush);
	else if (count > 0)
		upload_units(flush, pool);
	for (size_t i = 0; i < flush->scanned.units.count; i++) {
		if (flush->jobs[i].unit)
			add_outcome(result, &flush->jobs[i]);
	}
	return 0;
}

/* What was looked at is known; else look again. */
static int record(const struct flush *flush, struct err *err)
{
	size_t count = flush->scanned.units.count;
	autofree struct metacache_known *known = xcalloc(count, sizeof *known);

	for (size_t i = 0; i < count; i++) {
		struct flush_unit *job = &flush->jobs[i];

		if (!job->unit || !job->known || job->err.code != ERR_NONE)
			return metacache_record(flush->mc, flush->home, flush->homefd, err);
		known[i] = (struct metacache_known){
			.state = &job->state,
			.changes = flush_unit_changes(job),
		};
	}
	return metacache_record_scanned(flush->mc, flush->home, &flush->scanned, known, err);
}

/* Have the next refresh look at storage, however soon it comes. */
static int mark_obsolete(const struct flush *flush, struct err *err)
{
	autostate struct state state = { 0 };
	int ret = state_read(flush->homefd, &state, err);

	if (ret <= 0 || state.refresh)
		return ret < 0 ? -1 : 0;
	state.refresh = true;
	return state_write(flush->homefd, &state, NULL, err);
}

static int open_and_scan(struct flush *flush, struct err *err)
{
	struct err ignored;

	flush->homefd = metacache_open_home(flush->home, err);
	if (flush->homefd < 0)
		return -1;
	if (metacache_scan(flush->mc, flush->homefd, &flush->scanned, err) < 0)
		return -1;
	/* An unreadable root state is reported by the root unit itself. */
	if (state_read(flush->homefd, &flush->root_state, &ignored) <= 0)
		flush->root_state = (struct state){ 0 };
	compare_folders(flush);
	return 0;
}

static void log_result(const struct flush *flush, const struct flush_result *result)
{
	log_info(flush->mc->log, "metacache_user_flush_finished",
		 log_str("user", flush->home->user),
		 log_str("outcome", flush_outcome_name(result->worst)),
		 log_uint("uploaded", result->units[FLUSH_UPLOADED]),
		 log_uint("bytes", result->bytes), log_int("duration_ms", result->duration_ms),
		 log_str("error", result->err.code != ERR_NONE ? result->err.msg : NULL));
}

int flush_user(const struct metacache *mc, const struct metacache_home *home,
	       const struct flush_options *options, struct workers *pool, struct tidy *tidy,
	       struct flush_result *result_r, struct err *err)
{
	__attribute__((cleanup(flush_deinit))) struct flush flush = {
		.mc = mc,
		.home = home,
		.options = options,
		.tidy = tidy,
		.homefd = -1,
	};
	int64_t started_ms = clock_mono_ms();
	autofd int lock = -1;

	/* First of all: `err` may be the one in the result. */
	*result_r = (struct flush_result){ .user = home->user };
	lock = user_lock(mc->locks_fd, home->user, USER_LOCK_UPLOAD,
			 mc->settings->user_lock_timeout_ms, err);
	if (lock < 0 || open_and_scan(&flush, err) < 0 ||
	    flush_units(&flush, pool, result_r, err) < 0)
		return -1;
	if (!options->dry_run) {
		struct err failed = { 0 };

		if (result_r->units[FLUSH_OBSOLETE] > 0 && mark_obsolete(&flush, &failed) < 0)
			metacache_warn(mc, "metacache_mark_failed", home->user, &failed);
		if (record(&flush, &failed) < 0)
			metacache_warn(mc, "metacache_registry_failed", home->user, &failed);
	}
	result_r->duration_ms = clock_mono_ms() - started_ms;
	log_result(&flush, result_r);
	return 0;
}
