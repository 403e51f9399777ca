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
#include "metacache/crash.h"
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

/* What a row of the registry says, as far as drift is judged by it. */
struct figures {
	const struct metacache *mc;
	bool known;
	const char *root; /* one of mc->roots; NULL: another */
	uint64_t bytes[UNIT_PRIORITIES];
	enum registry_changes changes;
	uint64_t conflicts, obsolete;
};

struct look {
	struct home scanned;
	bool settled; /* as the registry knew it */
	struct figures before, after;
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

static int take_figures(void *ctx, const struct registry_user *user, struct err *err)
{
	struct figures *figures = ctx;

	(void)err;
	figures->known = true;
	figures->changes = user->changes;
	figures->conflicts = user->conflicts;
	figures->obsolete = user->obsolete;
	memcpy(figures->bytes, user->bytes_used, sizeof figures->bytes);
	for (size_t i = 0; i < figures->mc->root_count; i++) {
		if (strcmp(user->root, figures->mc->roots[i].path) == 0)
			figures->root = figures->mc->roots[i].path;
	}
	return 0;
}

static int read_figures(const struct metacache *mc, const char *user, struct figures *figures_r,
			struct err *err)
{
	*figures_r = (struct figures){ .mc = mc };
	return registry_find(mc->registry, user, take_figures, figures_r, err) < 0 ? -1 : 0;
}

static void add_drift(struct rescan_totals *totals, const struct figures *before,
		      const struct figures *after)
{
	bool differs = before->root != after->root || before->changes != after->changes ||
		       before->conflicts != after->conflicts || before->obsolete != after->obsolete;

	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		uint64_t was = before->bytes[i], is = after->bytes[i];

		totals->bytes_off += was > is ? was - is : is - was;
		differs |= was != is;
	}
	totals->added += !before->known && after->known;
	totals->removed += before->known && !after->known;
	totals->corrected += before->known && after->known && differs;
}

static int look_at(struct rescan *rescan, const char *user, struct look *look, struct err *err)
{
	const struct metacache *mc = rescan->mc;
	unsigned char was[HASH_CONTENT_SIZE], is[HASH_CONTENT_SIZE];
	autohomeref struct metacache_home home = { 0 };
	autofd int homefd = -1;
	int ret = metacache_find(mc, user, &home, err);

	if (ret <= 0)
		return ret;
	homefd = metacache_open_home(&home, err);
	if (homefd < 0 || unit_scan(homefd, &mc->rules, &look->scanned, err) < 0)
		return err->code == ERR_NOTFOUND ? 0 : -1;
	ret = registry_settled(mc->registry, user, was, err);
	if (ret < 0)
		return -1;
	unit_fingerprint(&look->scanned, is);
	look->settled = ret > 0 && memcmp(was, is, sizeof is) == 0;
	if (read_figures(mc, user, &look->before, err) < 0 ||
	    metacache_record(mc, &home, homefd, err) < 0 ||
	    read_figures(mc, user, &look->after, err) < 0)
		return -1;
	return 1;
}

static void add_found(struct rescan_totals *totals, const struct look *look)
{
	const struct home *scanned = &look->scanned;

	if (scanned->units.count == 0)
		return;
	totals->users++;
	totals->units += scanned->units.count;
	totals->changed += !look->settled;
	for (size_t i = 0; i < scanned->units.count; i++)
		totals->bytes += scanned->units.items[i].bytes;
}

/* The first counts. */
static void add_err(struct err *first, const char *user, const struct err *err)
{
	if (first->code != ERR_NONE)
		return;
	*first = *err;
	err_prefix(first, "user %s", quote_str(user).s);
}

static void apply_crash_rule(struct rescan *rescan, const char *user)
{
	struct crash_loss loss;
	struct err err = { 0 };
	unsigned left;
	int ret;

	if (!boot_any_over(&rescan->mc->boots))
		return;
	ret = crash_discard(rescan->mc, user, &loss, &left, &err);
	pthread_mutex_lock(&rescan->mutex);
	rescan->totals.discarded += loss.units;
	rescan->totals.discarded_important += loss.important;
	rescan->totals.suspect += left;
	if (ret < 0 && left > 0)
		add_err(&rescan->totals.suspect_err, user, &err);
	pthread_mutex_unlock(&rescan->mutex);
}

static void add_home(struct rescan *rescan, const char *user)
{
	struct rescan_totals *totals = &rescan->totals;
	struct look look = { 0 };
	struct err err = { 0 };
	int ret = look_at(rescan, user, &look, &err);

	pthread_mutex_lock(&rescan->mutex);
	if (ret < 0) {
		totals->failed++;
		add_err(&rescan->first, user, &err);
	}
	if (ret > 0) {
		add_drift(totals, &look.before, &look.after);
		add_found(totals, &look);
	}
	pthread_mutex_unlock(&rescan->mutex);
	unit_home_free(&look.scanned);
}

static void work_on_batch(void *arg)
{
	struct batch *batch = arg;
	struct rescan *rescan = batch->rescan;

	for (size_t i = 0; i < batch->count; i++) {
		apply_crash_rule(rescan, batch->users[i]);
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
		const char *root = mc->roots[i].path;
		struct registry_totals before, after;
		uint64_t removed = 0;

		if (registry_totals(mc->registry, root, &before, err) < 0 ||
		    registry_sweep(mc->registry, root, &removed, err) < 0 ||
		    registry_totals(mc->registry, root, &after, err) < 0)
			return -1;
		rescan->totals.removed += removed;
		for (int p = 0; p < UNIT_PRIORITIES; p++)
			rescan->totals.bytes_off += before.bytes_used[p] - after.bytes_used[p];
	}
	return 0;
}

static int note_drift(const struct metacache *mc, const struct rescan_totals *totals,
		      struct err *err)
{
	const struct {
		const char *name;
		uint64_t value;
	} notes[] = {
		{ RESCAN_NOTE_WHEN, (uint64_t)(clock_now_ns() / 1000000000) },
		{ RESCAN_NOTE_ADDED, totals->added },
		{ RESCAN_NOTE_CORRECTED, totals->corrected },
		{ RESCAN_NOTE_REMOVED, totals->removed },
		{ RESCAN_NOTE_BYTES_OFF, totals->bytes_off },
	};

	for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
		if (registry_note(mc->registry, notes[i].name, (int64_t)notes[i].value, err) < 0)
			return -1;
	}
	return 0;
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
	if (mc->boots.unknown.code != ERR_NONE)
		metacache_warn(mc, "metacache_boot_unknown", NULL, &mc->boots.unknown);
	if (registry_mark(mc->registry, err) < 0)
		return -1;
	pthread_mutex_init(&rescan.mutex, NULL);
	registry_batch_start(mc->registry);
	ret = walk(&rescan, err);
	if (ret == 0)
		ret = forget_the_rest(&rescan, err);
	if (ret == 0)
		ret = note_drift(mc, &rescan.totals, err);
	if (registry_batch_end(mc->registry, &commit_err) < 0 && ret >= 0) {
		*err = commit_err;
		ret = -1;
	}
	pthread_mutex_destroy(&rescan.mutex);
	*totals_r = rescan.totals;
	return ret;
}
