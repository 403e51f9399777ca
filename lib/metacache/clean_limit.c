#include "metacache/clean_limit.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "metacache/refresh.h"
#include "metacache/rescan.h"
#include "metacache/trash.h"
#include "metacache/weight.h"

struct candidate {
	char *user;
	int64_t weight;
	int64_t last_access[UNIT_PRIORITIES];
	uint64_t bytes[UNIT_PRIORITIES];
	bool changed, cleaned;
	char *no_space; /* what there was no space for */
};
VEC(candidate_vec, struct candidate *);

struct limit {
	const struct metacache *mc;
	const struct clean_options *options;
	struct workers *pool;
	struct tidy *tidy;
	clean_limit_fn *fn;
	void *ctx;
	uint64_t used[UNIT_PRIORITIES]; /* by all users */
	struct candidate_vec heap;      /* lowest weight first */
	struct candidate_vec no_space;  /* could not be flushed, for want of space */
	struct clean_limit_totals *totals;
	bool released; /* the reserve, since something was cleaned */
	int64_t now_s;
};

static void free_candidate(struct candidate *candidate)
{
	free(candidate->user);
	free(candidate->no_space);
	free(candidate);
}

static void limit_deinit(struct limit *limit)
{
	for (size_t i = 0; i < limit->heap.count; i++)
		free_candidate(limit->heap.items[i]);
	for (size_t i = 0; i < limit->no_space.count; i++)
		free_candidate(limit->no_space.items[i]);
	vec_free(&limit->heap);
	vec_free(&limit->no_space);
}

/* ---- the heap ---- */

static void push(struct limit *limit, struct candidate *candidate)
{
	struct candidate **heap;
	size_t at = limit->heap.count;

	vec_push(&limit->heap, candidate);
	heap = limit->heap.items;
	for (; at > 0 && heap[(at - 1) / 2]->weight > candidate->weight; at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = candidate;
}

static struct candidate *pop(struct limit *limit)
{
	struct candidate **heap = limit->heap.items, *first, *last;
	size_t at = 0, below, count;

	if (limit->heap.count == 0)
		return NULL;
	first = heap[0];
	count = --limit->heap.count;
	last = heap[count];
	for (; (below = 2 * at + 1) < count; at = below) {
		below += below + 1 < count && heap[below + 1]->weight < heap[below]->weight;
		if (heap[below]->weight >= last->weight)
			break;
		heap[at] = heap[below];
	}
	heap[at] = last;
	return first;
}

/* ---- who is next ---- */

/* The lowest priority that the candidate has: it goes alone; 4: nothing is left. */
static unsigned lowest_priority(const struct limit *limit, const struct candidate *candidate)
{
	for (unsigned i = UNIT_PRIORITIES; i-- > limit->options->priority_min;) {
		if (candidate->last_access[i] != 0)
			return i;
	}
	return UNIT_PRIORITIES;
}

/* Weigh it with what all use now, and put it into the heap if anything is left of it. */
static void offer(struct limit *limit, struct candidate *candidate)
{
	int64_t weights[UNIT_PRIORITIES];

	if (lowest_priority(limit, candidate) == UNIT_PRIORITIES) {
		free_candidate(candidate);
		return;
	}
	candidate->weight = weight_user(limit->mc->settings, candidate->last_access,
					candidate->bytes, limit->used, weights);
	push(limit, candidate);
}

static bool was_used_lately(const struct limit *limit, const struct registry_user *row)
{
	int64_t latest = 0;

	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		if (row->last_access[i] > latest)
			latest = row->last_access[i];
	}
	return limit->options->unused_s > 0 && limit->now_s - latest < limit->options->unused_s;
}

static int take_row(void *ctx, const struct registry_user *row, struct err *err)
{
	struct candidate *candidate;

	(void)err;
	if (was_used_lately(ctx, row))
		return 0;
	candidate = xcalloc(1, sizeof *candidate);
	candidate->user = xstrdup(row->username);
	candidate->changed = row->changes != CHANGES_NONE;
	memcpy(candidate->last_access, row->last_access, sizeof candidate->last_access);
	memcpy(candidate->bytes, row->bytes_used, sizeof candidate->bytes);
	offer(ctx, candidate);
	return 0;
}

/* ---- one step ---- */

/* Nothing would be lost here, so storage's goes in its place: that can be cleaned. */
static int refresh_obsolete(struct limit *limit, const char *user, struct err *err)
{
	struct refresh_result result;

	if (refresh_user(limit->mc, user, &(struct refresh_options){ 0 }, limit->pool, &result,
			 err) < 0)
		return -1;
	*err = result.err;
	return err->code == ERR_NONE ? 1 : -1;
}

/* 1 when storage had newer ones, which are here now; 0; -1. */
static int flush_first(struct limit *limit, const char *user, unsigned priority, struct err *err)
{
	const struct flush_options options = { .priority_min = priority };
	autohomeref struct metacache_home home = { 0 };
	struct flush_result result;
	int ret = metacache_find(limit->mc, user, &home, err);

	if (ret <= 0)
		return ret;
	ret = flush_user(limit->mc, &home, &options, limit->pool, limit->tidy, &result, err);
	tidy_settle(limit->tidy);
	if (ret < 0)
		return -1;
	limit->totals->flushed += result.units[FLUSH_UPLOADED];
	*err = result.err;
	if (err->code != ERR_NONE)
		return -1;
	return result.units[FLUSH_OBSOLETE] > 0 ? refresh_obsolete(limit, user, err) : 0;
}

static void try_clean(struct limit *limit, const struct candidate *candidate, unsigned priority,
		      bool flush, struct clean_result *result)
{
	struct clean_options options = *limit->options;
	struct err err = { 0 };
	int ret = flush ? flush_first(limit, candidate->user, priority, &err) : 0;

	*result = (struct clean_result){ 0 };
	options.priority_min = priority;
	/* A refresh of ours is nobody's access. */
	if (ret > 0)
		options.unused_s = 0;
	if (ret < 0 || clean_user(limit->mc, candidate->user, &options, result, &err) < 0) {
		result->err = err;
		result->outcome = err.code == ERR_BUSY ? CLEAN_BUSY : CLEAN_FAILED;
	}
}

static void clean_one(struct limit *limit, const struct candidate *candidate, unsigned priority,
		      struct clean_result *result)
{
	bool may_flush = !limit->options->dry_run;
	struct clean_result first;

	try_clean(limit, candidate, priority, may_flush && candidate->changed, result);
	if (result->outcome != CLEAN_DIRTY || !may_flush)
		return;
	/* Changes that the registry did not know of. */
	first = *result;
	try_clean(limit, candidate, priority, true, result);
	result->units += first.units;
	result->bytes += first.bytes;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Take so many bytes off what the registry says of the candidate, as far as it has
 * them. Returns how many those were. */
static uint64_t take_off(struct limit *limit, struct candidate *candidate, unsigned priority,
			 uint64_t bytes)
{
	uint64_t taken = 0;

	for (unsigned i = UNIT_PRIORITIES; i-- > priority;) {
		uint64_t part = lesser(candidate->bytes[i], bytes - taken);

		limit->used[i] -= lesser(part, limit->used[i]);
		candidate->bytes[i] -= part;
		taken += part;
	}
	limit->totals->after_bytes -= lesser(taken, limit->totals->after_bytes);
	return taken;
}

/* Where all of it is gone, what the registry said of it goes too, and what was there
 * is known better by now. */
static void note_removed(struct limit *limit, struct candidate *candidate, unsigned priority,
			 const struct clean_result *result)
{
	struct clean_limit_totals *totals = limit->totals;
	uint64_t said, removed = result->outcome == CLEAN_CLEANED ? UINT64_MAX : result->bytes;

	totals->users += !candidate->cleaned;
	totals->units += result->units;
	candidate->cleaned = true;
	limit->released = false;
	said = take_off(limit, candidate, priority, removed);
	if (result->outcome != CLEAN_CLEANED)
		return;
	if (!limit->options->dry_run)
		totals->before_bytes += result->bytes - lesser(said, totals->before_bytes);
	for (unsigned i = priority; i < UNIT_PRIORITIES; i++)
		candidate->last_access[i] = 0;
}

/* There is space now for those that had none. */
static void try_again(struct limit *limit)
{
	for (size_t i = 0; i < limit->no_space.count; i++)
		offer(limit, limit->no_space.items[i]);
	limit->no_space.count = 0;
}

/* A folder with folders in it goes only with the whole home: what is above comes next. */
static bool may_go_with_more(const struct limit *limit, unsigned priority,
			     const struct clean_result *result)
{
	return result->outcome == CLEAN_DIRTY && priority > limit->options->priority_min;
}

static int tell(const struct limit *limit, const struct candidate *candidate,
		const struct clean_result *result, struct err *err)
{
	return limit->fn ? limit->fn(limit->ctx, candidate->user, result, err) : 0;
}

/* A row without a home: a clean that was killed had removed it, or somebody else. */
static void forget(struct limit *limit, struct candidate *candidate)
{
	uint64_t said = take_off(limit, candidate, 0, UINT64_MAX);
	struct err err = { 0 };

	limit->totals->before_bytes -= lesser(said, limit->totals->before_bytes);
	if (!limit->options->dry_run &&
	    registry_remove(limit->mc->registry, candidate->user, &err) < 0)
		metacache_warn(limit->mc, "metacache_registry_failed", candidate->user, &err);
	free_candidate(candidate);
}

/* Takes the candidate over. */
static int step(struct limit *limit, struct candidate *candidate, struct err *err)
{
	unsigned priority = lowest_priority(limit, candidate);
	struct clean_result result;
	int ret = 0;

	clean_one(limit, candidate, priority, &result);
	if (result.units > 0 || result.outcome == CLEAN_CLEANED) {
		note_removed(limit, candidate, priority, &result);
		try_again(limit);
	}
	if (result.err.code == ERR_NOUSER) {
		forget(limit, candidate);
	} else if (result.err.code == ERR_CANTCREATE) {
		free(candidate->no_space);
		candidate->no_space = xstrdup(result.err.msg);
		vec_push(&limit->no_space, candidate);
	} else if (result.outcome == CLEAN_CLEANED) {
		ret = tell(limit, candidate, &result, err);
		offer(limit, candidate);
	} else if (result.outcome == CLEAN_NOTHING || may_go_with_more(limit, priority, &result)) {
		candidate->last_access[priority] = 0;
		offer(limit, candidate);
	} else {
		ret = tell(limit, candidate, &result, err);
		limit->totals->passed++;
		free_candidate(candidate);
	}
	return ret;
}

/* On a full disk on which everybody has changes, the reserve makes a beginning. */
static struct candidate *next(struct limit *limit)
{
	struct candidate *candidate = pop(limit);
	bool any = false;

	if (candidate || limit->no_space.count == 0 || limit->released)
		return candidate;
	limit->released = true;
	for (size_t i = 0; i < limit->mc->root_count; i++)
		any |= trash_release(&limit->mc->roots[i]);
	if (any)
		try_again(limit);
	return pop(limit);
}

static int pass_over_rest(struct limit *limit, struct err *err)
{
	int ret = 0;

	for (size_t i = 0; i < limit->no_space.count && ret == 0; i++) {
		const struct candidate *candidate = limit->no_space.items[i];
		struct clean_result result = { .outcome = CLEAN_FAILED };

		err_set(&result.err, ERR_CANTCREATE, "%s", candidate->no_space);
		limit->totals->passed++;
		ret = tell(limit, candidate, &result, err);
	}
	return ret;
}

static int clean_rows(struct limit *limit, struct err *err)
{
	const struct clean_limit_totals *totals = limit->totals;
	struct candidate *candidate;

	if (registry_each(limit->mc->registry, take_row, limit, err) < 0)
		return -1;
	while (totals->after_bytes > totals->limit_bytes && (candidate = next(limit))) {
		if (step(limit, candidate, err) < 0)
			return -1;
	}
	return pass_over_rest(limit, err);
}

/* A home that the registry does not know of is neither counted nor cleaned. */
static void warn_of_rescan(const struct limit *limit)
{
	int64_t interval_s = limit->mc->settings->metacache_rescan_interval_ms / 1000, when_s = 0;
	struct err err = { 0 };
	int ret = registry_value(limit->mc->registry, RESCAN_NOTE_WHEN, &when_s, &err);

	if (ret > 0 && limit->now_s - when_s <= interval_s)
		return;
	if (ret >= 0)
		err_set(&err, ERR_DATA, "no rescan within metacache_rescan_interval");
	err_hint(&err, "homes that the registry lacks are not cleaned; run metacache-rescan");
	metacache_warn(limit->mc, "metacache_rescan_overdue", NULL, &err);
}

int clean_to_limit(const struct metacache *mc, uint64_t limit_bytes,
		   const struct clean_options *options, struct workers *pool, struct tidy *tidy,
		   clean_limit_fn *fn, void *ctx, struct clean_limit_totals *totals_r,
		   struct err *err)
{
	CLEANUP(limit_deinit)
	struct limit limit = {
		.mc = mc,
		.options = options,
		.pool = pool,
		.tidy = tidy,
		.fn = fn,
		.ctx = ctx,
		.totals = totals_r,
		.now_s = clock_now_ns() / 1000000000,
	};
	struct registry_totals used;
	int ret;

	*totals_r = (struct clean_limit_totals){ .limit_bytes = limit_bytes };
	if (registry_totals(mc->registry, NULL, &used, err) < 0)
		return -1;
	warn_of_rescan(&limit);
	memcpy(limit.used, used.bytes_used, sizeof limit.used);
	for (int i = 0; i < UNIT_PRIORITIES; i++)
		totals_r->before_bytes += used.bytes_used[i];
	totals_r->after_bytes = totals_r->before_bytes;
	if (totals_r->before_bytes <= limit_bytes)
		return 0;
	ret = clean_rows(&limit, err);
	for (size_t i = 0; i < mc->root_count; i++)
		trash_prepare(&mc->roots[i]);
	return ret;
}
