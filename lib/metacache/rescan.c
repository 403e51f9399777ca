#include "metacache/rescan.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "base/workers.h"
#include "metacache/trash.h"

#define THREADS 4 /* a cold walk waits for the disk more than for the processor */
#define BATCH 32

struct rescan {
	const struct metacache *mc;
	rescan_progress_fn *progress;
	void *ctx;
	pthread_mutex_t mutex; /* guards what follows */
	struct rescan_totals totals;
	struct err first; /* what could not be looked at */
};

struct batch {
	struct rescan *rescan;
	size_t count;
	char *users[BATCH];
};

struct producer {
	struct rescan *rescan;
	struct workers_group *group;
	struct batch *batch;
};

static int look_at(struct rescan *rescan, const char *user, struct home *scanned, bool *known_r,
		   struct err *err)
{
	const struct metacache *mc = rescan->mc;
	unsigned char was[HASH_CONTENT_SIZE], is[HASH_CONTENT_SIZE];
	autohomeref struct metacache_home home = { 0 };
	autofd int homefd = -1;
	int ret = metacache_find(mc, user, &home, err);

	if (ret <= 0)
		return ret;
	homefd = metacache_open_home(&home, err);
	if (homefd < 0 || unit_scan(homefd, &mc->rules, scanned, err) < 0)
		return err->code == ERR_NOTFOUND ? 0 : -1;
	ret = registry_settled(mc->registry, user, was, err);
	if (ret < 0)
		return -1;
	unit_fingerprint(scanned, is);
	*known_r = ret > 0 && memcmp(was, is, sizeof is) == 0;
	return metacache_record(mc, &home, homefd, err) < 0 ? -1 : 1;
}

static void add_home(struct rescan *rescan, const char *user)
{
	struct rescan_totals *totals = &rescan->totals;
	autohome struct home scanned = { 0 };
	struct err err = { 0 };
	bool known = false;
	int ret = look_at(rescan, user, &scanned, &known, &err);

	pthread_mutex_lock(&rescan->mutex);
	if (ret < 0) {
		totals->failed++;
		if (rescan->first.code == ERR_NONE) {
			err_prefix(&err, "user %s", quote_str(user).s);
			rescan->first = err;
		}
	}
	if (ret > 0 && scanned.units.count > 0) {
		totals->users++;
		totals->units += scanned.units.count;
		totals->changed += !known;
		for (size_t i = 0; i < scanned.units.count; i++)
			totals->bytes += scanned.units.items[i].bytes;
	}
	pthread_mutex_unlock(&rescan->mutex);
}

static void work_on_batch(void *arg)
{
	struct batch *batch = arg;
	struct rescan *rescan = batch->rescan;

	for (size_t i = 0; i < batch->count; i++) {
		add_home(rescan, batch->users[i]);
		free(batch->users[i]);
	}
	free(batch);
	pthread_mutex_lock(&rescan->mutex);
	if (rescan->progress)
		rescan->progress(rescan->ctx, rescan->totals.users);
	pthread_mutex_unlock(&rescan->mutex);
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
	struct batch *batch = producer->batch;

	(void)root, (void)path, (void)err;
	if (!batch) {
		batch = producer->batch = xcalloc(1, sizeof *batch);
		batch->rescan = producer->rescan;
	}
	batch->users[batch->count++] = xstrdup(user);
	if (batch->count == BATCH)
		submit_batch(producer);
	return 0;
}

/* Only a complete walk proves that a user has no home here. */
static int forget_the_rest(struct rescan *rescan, struct err *err)
{
	const struct metacache *mc = rescan->mc;

	for (size_t i = 0; i < mc->root_count; i++) {
		uint64_t removed = 0;

		if (registry_sweep(mc->registry, mc->roots[i].path, &removed, err) < 0)
			return -1;
		rescan->totals.removed += removed;
	}
	return registry_note(mc->registry, "last_rescan", clock_now_ns() / 1000000000, err);
}

static int walk(struct rescan *rescan, struct err *err)
{
	autoworkers struct workers *workers = workers_new(THREADS, 2 * THREADS);
	struct producer producer = { .rescan = rescan, .group = workers_group_new(workers) };
	int ret;

	ret = metacache_walk(rescan->mc, take_home, &producer, &rescan->totals.strange, err);
	submit_batch(&producer);
	workers_group_free(&producer.group);
	if (ret == 0 && rescan->first.code != ERR_NONE) {
		*err = rescan->first;
		return 1;
	}
	return ret;
}

int rescan_all(const struct metacache *mc, rescan_progress_fn *progress, void *ctx,
	       struct rescan_totals *totals_r, struct err *err)
{
	struct rescan rescan = { .mc = mc, .progress = progress, .ctx = ctx };
	struct err commit_err = { 0 };
	int ret;

	trash_sweep_all(mc);
	if (registry_mark(mc->registry, err) < 0)
		return -1;
	pthread_mutex_init(&rescan.mutex, NULL);
	registry_batch_start(mc->registry);
	ret = walk(&rescan, err);
	if (ret == 0)
		ret = forget_the_rest(&rescan, err);
	if (registry_batch_end(mc->registry, &commit_err) < 0 && ret >= 0) {
		*err = commit_err;
		ret = -1;
	}
	pthread_mutex_destroy(&rescan.mutex);
	*totals_r = rescan.totals;
	return ret;
}
