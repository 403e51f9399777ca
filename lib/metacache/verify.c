#include "metacache/verify.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/workers.h"
#include "metacache/trash.h"
#include "metacache/verify_look.h"
#include "metacache/verify_repair.h"

const char *verify_drift_name(enum verify_drift drift)
{
	static const char *const names[] = {
		[VERIFY_OBSOLETE] = "obsolete",
		[VERIFY_CONFLICT] = "conflict",
		[VERIFY_MISSING_REMOTE] = "missing_remote",
		[VERIFY_WRONG_REMOTE_SIZE] = "wrong_remote_size",
		[VERIFY_ORPHAN_DIFF] = "orphan_diff",
		[VERIFY_SUPERSEDED] = "superseded",
		[VERIFY_CORRUPT_BUNDLE] = "corrupt_bundle",
		[VERIFY_TORN_STATE] = "torn_state",
		[VERIFY_BAD_BLOCKS] = "bad_blocks",
		[VERIFY_FOREIGN] = "foreign",
		[VERIFY_UNREGISTERED_HOME] = "unregistered_home",
		[VERIFY_UNKNOWN_USER] = "unknown_user",
		[VERIFY_WRONG_SIZE] = "wrong_size",
		[VERIFY_WRONG_CHANGES] = "wrong_changes",
		[VERIFY_STALE_TRASH] = "stale_trash",
		[VERIFY_KEPT_TRASH] = "kept_trash",
		[VERIFY_STRANGE] = "strange",
		[VERIFY_ERROR] = "error",
	};

	return names[drift];
}

struct verify {
	const struct metacache *mc;
	struct verify_options options;
	verify_progress_fn *progress;
	struct workers *users, *units;
	struct workers_group *group;
	atomic_bool stop;
	pthread_mutex_t mutex; /* guards what follows */
	verify_fn *fn;
	void *ctx;
	struct verify_totals totals;
	struct err err;
};

struct task {
	struct verify *verify;
	char *user;
};

/* With the mutex held. */
static void tell(struct verify *verify, const char *user, const struct verify_finding *finding)
{
	struct verify_totals *totals = &verify->totals;
	const struct verify_found found = {
		.drift = finding->drift,
		.user = user,
		.unit = finding->unit,
		.object = finding->object,
		.repaired = finding->repaired,
		.err = &finding->err,
	};

	if (finding->drift == VERIFY_ERROR)
		totals->failed++;
	else
		totals->drifts++;
	totals->repaired += finding->repaired;
	if (!atomic_load(&verify->stop) && verify->fn(verify->ctx, &found, &verify->err) < 0)
		atomic_store(&verify->stop, true);
}

static void tell_all(struct verify *verify, const struct verify_look *look, const char *user)
{
	struct verify_totals *totals = &verify->totals;

	pthread_mutex_lock(&verify->mutex);
	for (size_t i = 0; i < look->findings.count; i++)
		tell(verify, user, &look->findings.items[i]);
	totals->users++;
	totals->units += look->counts.units;
	totals->not_uploaded += look->counts.not_uploaded;
	totals->remote_only += look->counts.remote_only;
	totals->deleted += look->counts.deleted;
	totals->bytes += look->counts.bytes;
	if (verify->progress)
		verify->progress(verify->ctx);
	pthread_mutex_unlock(&verify->mutex);
}

static void say_what_would_be(struct verify_look *look)
{
	for (size_t i = 0; i < look->findings.count; i++)
		look->findings.items[i].repaired = look->findings.items[i].repairable;
}

static void look_at_user(struct verify *verify, const char *user)
{
	autolook struct verify_look look = { 0 };
	struct err err = { 0 };

	if (verify_look(verify->mc, user, &verify->options, &look, &err) < 0)
		*verify_look_add(&look, VERIFY_ERROR, NULL, NULL, false) = err;
	else if (verify->options.repair && verify->options.dry_run)
		say_what_would_be(&look);
	else if (verify->options.repair)
		verify_repair(&look, verify->units);
	tell_all(verify, &look, user);
}

static void run_task(void *arg)
{
	struct task *task = arg;

	if (!atomic_load(&task->verify->stop))
		look_at_user(task->verify, task->user);
	free(task->user);
	free(task);
}

int verify_user(struct verify *verify, const char *user)
{
	struct task *task;

	if (atomic_load(&verify->stop))
		return -1;
	task = xmalloc(sizeof *task);
	*task = (struct task){ .verify = verify, .user = xstrdup(user) };
	workers_submit(verify->group, run_task, task);
	return 0;
}

struct verify *verify_new(const struct metacache *mc, const struct verify_options *options,
			  verify_fn *fn, verify_progress_fn *progress, void *ctx)
{
	struct verify *verify = xcalloc(1, sizeof *verify);
	unsigned parallel = mc->settings->metacache_max_parallel_requests;

	*verify = (struct verify){
		.mc = mc, .options = *options, .fn = fn, .progress = progress, .ctx = ctx
	};
	pthread_mutex_init(&verify->mutex, NULL);
	verify->users = workers_new(parallel, 2 * parallel);
	verify->units = workers_new(parallel, parallel);
	verify->group = workers_group_new(verify->users);
	return verify;
}

int verify_finish(struct verify **verify_p, struct verify_totals *totals_r, struct err *err)
{
	struct verify *verify = *verify_p;
	int ret;

	workers_group_free(&verify->group);
	workers_free(&verify->users);
	workers_free(&verify->units);
	pthread_mutex_destroy(&verify->mutex);
	*totals_r = verify->totals;
	ret = atomic_load(&verify->stop) ? -1 : 0;
	if (ret < 0)
		*err = verify->err;
	free(verify);
	*verify_p = NULL;
	return ret;
}

/* ---- the roots ---- */

static void tell_path(struct verify *verify, enum verify_drift drift,
		      const struct metacache_root *root, const char *path, bool repaired,
		      const struct err *err)
{
	autofree char *object = xasprintf("%s/%s", root->path, path);
	const struct verify_finding finding = {
		.drift = drift, .object = object, .repaired = repaired, .err = *err
	};

	pthread_mutex_lock(&verify->mutex);
	tell(verify, NULL, &finding);
	pthread_mutex_unlock(&verify->mutex);
}

static void tell_error(struct verify *verify, const struct err *err)
{
	const struct verify_finding finding = { .drift = VERIFY_ERROR, .err = *err };

	pthread_mutex_lock(&verify->mutex);
	tell(verify, NULL, &finding);
	pthread_mutex_unlock(&verify->mutex);
}

/* Somebody is at work in it, or it is gone. */
static bool is_held(int trash_fd, const struct fsx_entry *entry)
{
	autofd int fd = -1;

	if (entry->type != DT_DIR)
		return false;
	fd = fsx_opendir(trash_fd, entry->name);
	return fd < 0 ? errno == ENOENT : flock(fd, LOCK_SH | LOCK_NB) < 0;
}

/* What is in .trash and nobody's: kept ones, or those for a sweep. -1 unreadable. */
static int list_trash(const struct metacache_root *root, bool kept, struct str_vec *names)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret, fd = fsx_opendir(root->fd, TRASH_DIR);

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		if (str_starts_with(entry.name, TRASH_KEPT) == kept &&
		    strcmp(entry.name, TRASH_SPARE) != 0 && (kept || !is_held(fd, &entry)))
			vec_push(names, xstrdup(entry.name));
	}
	return ret;
}

static void look_at_trash(struct verify *verify, const struct metacache_root *root)
{
	const struct verify_options *options = &verify->options;
	bool repair = options->repair && !options->dry_run;
	struct str_vec stale = { 0 }, left = { 0 }, kept = { 0 };
	struct err why = { 0 }, failed = { 0 };
	int ret = list_trash(root, false, &stale);

	if (ret == 0 && repair && stale.count > 0) {
		(void)trash_sweep(root, &verify->mc->rules, &failed);
		ret = list_trash(root, false, &left);
	}
	if (ret == 0)
		ret = list_trash(root, true, &kept);
	if (ret < 0) {
		err_sys(&why, errno, "read directory %s/" TRASH_DIR, root->path);
		tell_error(verify, &why);
	}
	err_set(&why, ERR_DATA, "left by a killed program");
	for (size_t i = 0; i < stale.count; i++) {
		autofree char *path = xasprintf(TRASH_DIR "/%s", stale.items[i]);
		bool remains = !options->repair || str_vec_has(&left, stale.items[i]);

		tell_path(verify, VERIFY_STALE_TRASH, root, path, !remains,
			  remains && failed.code != ERR_NONE ? &failed : &why);
	}
	err_set(&why, ERR_DATA, "kept for an operator: it holds changes that were not uploaded");
	for (size_t i = 0; i < kept.count; i++) {
		autofree char *path = xasprintf(TRASH_DIR "/%s", kept.items[i]);

		tell_path(verify, VERIFY_KEPT_TRASH, root, path, false, &why);
	}
	str_vec_free(&stale);
	str_vec_free(&left);
	str_vec_free(&kept);
}

static int take_home(void *ctx, const struct metacache_root *root, const char *path,
		     const char *user, struct err *err)
{
	(void)root, (void)path;
	return verify_user(ctx, user) < 0 ? err_set(err, ERR_NONE, "stopped") : 0;
}

static void take_strange(void *ctx, const struct metacache_root *root, const char *path)
{
	struct err err = { 0 };

	err_set(&err, ERR_DATA, "no user has a home there");
	tell_path(ctx, VERIFY_STRANGE, root, path, false, &err);
}

struct rows {
	const struct metacache *mc;
	struct str_vec users; /* that have no home; those who have were walked over */
};

static int take_row(void *ctx, const struct registry_user *user, struct err *err)
{
	struct rows *rows = ctx;
	autohomeref struct metacache_home home = { 0 };

	(void)err;
	if (metacache_find(rows->mc, user->username, &home, NULL) == 0)
		vec_push(&rows->users, xstrdup(user->username));
	return 0;
}

int verify_all(struct verify *verify, struct err *err)
{
	const struct metacache *mc = verify->mc;
	struct rows rows = { .mc = mc };
	struct err unreadable = { 0 };
	int ret;

	for (size_t i = 0; i < mc->root_count; i++)
		look_at_trash(verify, &mc->roots[i]);
	ret = metacache_walk_strange(mc, take_home, take_strange, verify, &unreadable);
	if (ret > 0)
		tell_error(verify, &unreadable);
	workers_wait(verify->group);
	ret = registry_each(mc->registry, take_row, &rows, err);
	for (size_t i = 0; ret == 0 && i < rows.users.count; i++) {
		if (verify_user(verify, rows.users.items[i]) < 0)
			break;
	}
	str_vec_free(&rows.users);
	return ret;
}
