#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/wildcard.h"
#include "base/workers.h"
#include "metacache/flush.h"

#define BATCH 32 /* homes handed to a thread at once: a hand-over costs more than a look */

struct all {
	const struct metacache *mc;
	const char *mask;
	struct flush_options options;
	struct workers *units; /* for users with many changes */
	struct tidy *tidy;
	flush_progress_fn *progress;
	atomic_bool stop;
	pthread_mutex_t mutex; /* guards what follows */
	flush_fn *fn;
	void *ctx;
	struct flush_totals totals;
	struct err err;
};

struct candidate {
	const struct metacache_root *root;
	char *path, *user;
};

struct batch {
	struct all *all;
	size_t count;
	struct candidate homes[BATCH];
};

struct producer {
	struct all *all;
	struct workers_group *group;
	struct batch *batch;
};

/* A settled tree is known by its fingerprint: no file is opened for it. Whatever
 * goes wrong here goes wrong again, and is reported, in flush_user(). */
static bool is_settled(const struct metacache *mc, const struct candidate *candidate)
{
	unsigned char was[HASH_CONTENT_SIZE], is[HASH_CONTENT_SIZE];
	autohome struct home scanned = { 0 };
	autofd int homefd = -1;

	if (!mc->registry || registry_settled(mc->registry, candidate->user, was, NULL) <= 0)
		return false;
	homefd = fsx_opendir(candidate->root->fd, candidate->path);
	if (homefd < 0 || unit_scan(homefd, &mc->rules, &scanned, NULL) < 0)
		return false;
	unit_fingerprint(&scanned, is);
	return memcmp(was, is, sizeof is) == 0;
}

static void add_result(struct all *all, const struct flush_result *result)
{
	struct flush_totals *totals = &all->totals;

	pthread_mutex_lock(&all->mutex);
	for (int i = 0; i < FLUSH_OUTCOMES; i++)
		totals->units[i] += result->units[i];
	totals->bytes += result->bytes;
	totals->flushed += result->units[FLUSH_UPLOADED] > 0;
	totals->conflicts += result->worst == FLUSH_CONFLICT;
	totals->busy += result->worst == FLUSH_BUSY;
	totals->failed += result->worst == FLUSH_FAILED;
	if (result->worst > FLUSH_SKIPPED && all->fn && all->fn(all->ctx, result, &all->err) < 0)
		atomic_store(&all->stop, true);
	pthread_mutex_unlock(&all->mutex);
}

static void flush_one(struct all *all, const struct metacache_home *home)
{
	struct flush_result result = { .user = home->user };

	if (flush_user(all->mc, home, &all->options, all->units, all->tidy, &result, &result.err) <
	    0) {
		if (result.err.code == ERR_NOTFOUND) /* gone meanwhile */
			return;
		result.worst = result.err.code == ERR_BUSY ? FLUSH_BUSY : FLUSH_FAILED;
	}
	add_result(all, &result);
	tidy_settle(all->tidy);
}

static void look_at(struct all *all, const struct candidate *candidate)
{
	autohomeref struct metacache_home home = { 0 };
	struct err err = { 0 };

	if (is_settled(all->mc, candidate))
		return;
	if (metacache_find(all->mc, candidate->user, &home, &err) > 0)
		flush_one(all, &home);
	else if (err.code != ERR_NONE)
		add_result(all, &(struct flush_result){ .user = candidate->user,
							.worst = FLUSH_FAILED,
							.err = err });
}

static void free_batch(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		free(batch->homes[i].path);
		free(batch->homes[i].user);
	}
	free(batch);
}

static void work_on_batch(void *arg)
{
	struct batch *batch = arg;
	struct all *all = batch->all;
	uint64_t users;

	for (size_t i = 0; i < batch->count && !atomic_load(&all->stop); i++)
		look_at(all, &batch->homes[i]);
	pthread_mutex_lock(&all->mutex);
	users = all->totals.users += batch->count;
	if (all->progress)
		all->progress(all->ctx, users);
	pthread_mutex_unlock(&all->mutex);
	free_batch(batch);
}

static void submit_batch(struct producer *producer)
{
	if (producer->batch)
		workers_submit(producer->group, work_on_batch, producer->batch);
	producer->batch = NULL;
}

static int take_home(void *ctx, const struct metacache_root *root, const char *path,
		     const char *user, struct err *err)
{
	struct producer *producer = ctx;
	struct all *all = producer->all;
	struct batch *batch = producer->batch;

	if (atomic_load(&all->stop)) {
		*err = all->err;
		return -1;
	}
	if (all->mask && !wildcard_match(all->mask, user))
		return 0;
	if (!batch) {
		batch = producer->batch = xcalloc(1, sizeof *batch);
		batch->all = all;
	}
	batch->homes[batch->count++] = (struct candidate){
		.root = root,
		.path = xstrdup(path),
		.user = xstrdup(user),
	};
	if (batch->count == BATCH)
		submit_batch(producer);
	return 0;
}

int flush_all(const struct metacache *mc, const char *mask, const struct flush_options *options,
	      flush_fn *fn, flush_progress_fn *progress, void *ctx, struct flush_totals *totals_r,
	      struct err *err)
{
	unsigned parallel = mc->settings->metacache_max_parallel_requests;
	autoworkers struct workers *homes = workers_new(parallel, 2 * parallel);
	autoworkers struct workers *units = workers_new(parallel, parallel);
	struct all all = { .mc = mc,
			   .mask = mask,
			   .options = *options,
			   .units = units,
			   .fn = fn,
			   .progress = progress,
			   .ctx = ctx };
	struct producer producer = { .all = &all };
	struct err tidy_err = { 0 };
	int ret;

	all.options.many_users = true;
	pthread_mutex_init(&all.mutex, NULL);
	all.tidy = tidy_new(mc);
	producer.group = workers_group_new(homes);
	ret = metacache_walk(mc, take_home, &producer, NULL, err);
	submit_batch(&producer);
	workers_group_free(&producer.group);
	if (tidy_finish(&all.tidy, &all.totals.deleted, &tidy_err) < 0)
		metacache_warn(mc, "metacache_delete_failed", NULL, &tidy_err);
	if (ret >= 0 && atomic_load(&all.stop)) {
		*err = all.err;
		ret = -1;
	}
	pthread_mutex_destroy(&all.mutex);
	*totals_r = all.totals;
	return ret;
}
