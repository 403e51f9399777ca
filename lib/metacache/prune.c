#include "metacache/prune.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/expand.h"
#include "base/mem.h"
#include "base/quote.h"
#include "base/wildcard.h"
#include "base/workers.h"
#include "metacache/prune_act.h"

#define LOOKERS 4     /* a cold walk waits for the disk more than for the processor */
#define LOOK_BATCH 32 /* homes handed to a thread at once: a hand-over costs more than a look */
#define ASKERS 2      /* one batch is asked for while the other one's users are worked on */
#define ASK_BATCH 2048

/* One user on the way through the stages. */
struct candidate {
	char *user;
	int64_t last_access_s;
};
VEC(candidate_vec, struct candidate);

struct prune {
	const struct metacache *mc;
	struct prune_options options;
	struct owner *owner; /* NULL: not set; */
	struct err no_owner; /* then why */
	struct prune_act act;
	bool walking; /* nobody has named the users */
	/* Each stage hands on to the next one only. */
	struct workers *lookers, *askers, *actors;
	struct workers_group *looking, *asking, *acting;
	struct batch *batch; /* of who calls prune_user() */
	atomic_bool stop;
	pthread_mutex_t mutex; /* guards what follows */
	struct candidate_vec old;
	prune_fn *fn;
	void *ctx;
	struct prune_totals totals;
	struct err err;
};

struct batch {
	struct prune *prune;
	size_t count;
	char *users[LOOK_BATCH];
};

struct question {
	struct prune *prune;
	struct candidate_vec users;
};

struct task {
	struct prune *prune;
	struct prune_user user;
	char *name;
	char *host;
};

/* ---- telling ---- */

static void stop(struct prune *prune, const struct err *err)
{
	pthread_mutex_lock(&prune->mutex);
	if (!atomic_exchange(&prune->stop, true))
		prune->err = *err;
	pthread_mutex_unlock(&prune->mutex);
}

static void add_to_totals(struct prune *prune, const struct prune_result *result)
{
	struct prune_totals *totals = &prune->totals;

	totals->users++;
	totals->reasons[result->reason]++;
	if (result->deleted || (!prune->options.act && result->decision != PRUNE_KEEP)) {
		totals->deleted++;
		totals->bytes += result->bytes;
	}
	if (result->reason == PRUNE_OWNER_UNTOLD && totals->owner_err.code == ERR_NONE)
		totals->owner_err = result->err;
}

static void tell(struct prune *prune, const struct prune_result *result)
{
	struct err err = { 0 };
	int ret;

	if (atomic_load(&prune->stop))
		return;
	pthread_mutex_lock(&prune->mutex);
	add_to_totals(prune, result);
	ret = prune->fn(prune->ctx, result, &err);
	pthread_mutex_unlock(&prune->mutex);
	if (ret < 0)
		stop(prune, &err);
}

/* ---- when was he here? ---- */

static void tell_kept(struct prune *prune, const char *user, const struct prune_facts *facts,
		      int64_t last_access_s, const struct err *err)
{
	struct prune_verdict verdict = prune_decide(facts);

	tell(prune, &(struct prune_result){ .user = user,
					    .decision = verdict.decision,
					    .reason = verdict.reason,
					    .last_access_s = last_access_s,
					    .err = err ? *err : (struct err){ 0 } });
}

static void ask(struct prune *prune, struct candidate_vec *users);

static void hand_on(struct prune *prune, const char *user, int64_t last_access_s)
{
	struct candidate_vec full = { 0 };
	struct candidate candidate = { xstrdup(user), last_access_s };

	pthread_mutex_lock(&prune->mutex);
	vec_push(&prune->old, candidate);
	if (prune->old.count == ASK_BATCH) {
		full = prune->old;
		prune->old = (struct candidate_vec){ 0 };
	}
	pthread_mutex_unlock(&prune->mutex);
	if (full.count > 0)
		ask(prune, &full);
}

/* The tree, where the registry does not say that he was here lately. A row repeats what
 * .state says, so that need not be read where there is one. */
static void look_at_tree(struct prune *prune, const char *user, int64_t registered_s)
{
	struct prune_facts facts = { .asked = PRUNE_ASKED_AGE };
	autoprunelook struct prune_look look = PRUNE_LOOK_NONE;
	struct err err = { 0 };
	int ret = prune_look_open(prune->mc, user, &look, &err);

	if (ret < 0 && err.code != ERR_NOTFOUND) {
		tell_kept(prune, user, &facts, 0, &err);
		return;
	}
	if (ret <= 0 || look.scanned.units.count == 0) {
		struct prune_result result = { .user = user, .reason = PRUNE_NO_INDEXES };

		if (ret <= 0 && !prune->walking)
			err_set(&result.err, ERR_NOUSER, "no such user in the metacache: %s",
				quote_str(user).s);
		tell(prune, &result);
		return;
	}
	prune_look_accessed(&look, registered_s, registered_s == 0);
	facts.age = prune_act_age(&prune->act, look.last_access_s);
	if (facts.age == PRUNE_AGE_OLD)
		hand_on(prune, user, look.last_access_s);
	else
		tell_kept(prune, user, &facts, look.last_access_s, NULL);
}

static void look_at(struct prune *prune, const char *user)
{
	struct prune_facts facts = { .asked = PRUNE_ASKED_AGE };
	struct err err = { 0 };
	int64_t registered_s;

	if (expand_user_check(user, &err) < 0) {
		tell(prune, &(struct prune_result){ .user = user, .err = err });
		return;
	}
	registered_s = prune_look_registered(prune->mc, user);
	facts.age = prune_act_age(&prune->act, registered_s);
	if (facts.age == PRUNE_AGE_RECENT)
		tell_kept(prune, user, &facts, registered_s, NULL);
	else
		look_at_tree(prune, user, registered_s);
}

static void run_batch(void *arg)
{
	struct batch *batch = arg;

	for (size_t i = 0; i < batch->count; i++) {
		if (!atomic_load(&batch->prune->stop))
			look_at(batch->prune, batch->users[i]);
		free(batch->users[i]);
	}
	free(batch);
}

static void submit_batch(struct prune *prune)
{
	if (prune->batch)
		workers_submit(prune->looking, run_batch, prune->batch);
	prune->batch = NULL;
}

int prune_user(struct prune *prune, const char *user)
{
	struct batch *batch = prune->batch;

	if (atomic_load(&prune->stop))
		return -1;
	if (!batch) {
		batch = prune->batch = xcalloc(1, sizeof *batch);
		batch->prune = prune;
	}
	batch->users[batch->count++] = xstrdup(user);
	if (batch->count == LOOK_BATCH)
		submit_batch(prune);
	return 0;
}

/* ---- where does he belong? ---- */

static void run_task(void *arg)
{
	struct task *task = arg;
	struct prune *prune = task->prune;

	if (!atomic_load(&prune->stop)) {
		CLEANUP(prune_act_free_texts) struct prune_texts texts = { 0 };
		struct prune_result result;

		prune_act_user(&prune->act, &task->user, &texts, &result);
		tell(prune, &result);
	}
	free(task->name);
	free(task->host);
	free(task);
}

static void take_answer(struct prune *prune, struct candidate *candidate,
			const struct owner_answer *answer)
{
	const struct prune_facts facts = { .asked = PRUNE_ASKED_OWNER,
					   .age = PRUNE_AGE_OLD,
					   .owner = answer->where };
	struct prune_verdict verdict = prune_decide(&facts);
	struct task *task;

	if (verdict.decision == PRUNE_KEEP) {
		tell(prune, &(struct prune_result){ .user = candidate->user,
						    .reason = verdict.reason,
						    .last_access_s = candidate->last_access_s,
						    .host = answer->host[0] ? answer->host : NULL,
						    .err = answer->err });
		return;
	}
	task = xcalloc(1, sizeof *task);
	*task = (struct task){ .prune = prune,
			       .name = steal_ptr(&candidate->user),
			       .host = xstrdup(answer->host) };
	task->user = (struct prune_user){ .name = task->name,
					  .host = task->host,
					  .where = answer->where };
	workers_submit(prune->acting, run_task, task);
}

static void run_question(void *arg)
{
	struct question *question = arg;
	struct prune *prune = question->prune;
	size_t count = question->users.count;
	autofree struct owner_answer *answers = xcalloc(count, sizeof *answers);
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++)
		answers[i].user = question->users.items[i].user;
	if (!prune->owner)
		stop(prune, &prune->no_owner);
	else if (!atomic_load(&prune->stop) && owner_lookup(prune->owner, answers, count, &err) < 0)
		for (size_t i = 0; i < count; i++) {
			answers[i].where = OWNER_UNKNOWN;
			answers[i].err = err;
		}
	for (size_t i = 0; i < count; i++) {
		if (!atomic_load(&prune->stop))
			take_answer(prune, &question->users.items[i], &answers[i]);
		free(question->users.items[i].user);
	}
	vec_free(&question->users);
	free(question);
}

/* Takes the users over. */
static void ask(struct prune *prune, struct candidate_vec *users)
{
	struct question *question = xmalloc(sizeof *question);

	*question = (struct question){ .prune = prune, .users = *users };
	pthread_mutex_lock(&prune->mutex);
	prune->totals.asked += users->count;
	pthread_mutex_unlock(&prune->mutex);
	workers_submit(prune->asking, run_question, question);
}

/* ---- the run ---- */

struct prune *prune_new(const struct metacache *mc, const struct prune_options *options,
			prune_fn *fn, void *ctx, struct err *err)
{
	unsigned parallel = mc->settings->metacache_max_parallel_requests;
	struct err no_owner = { 0 };
	struct owner *owner = NULL;
	struct prune *prune;

	if (owner_open(mc->settings, &owner, &no_owner) < 0 && mc->settings->director) {
		*err = no_owner;
		return NULL;
	}
	prune = xcalloc(1, sizeof *prune);
	*prune = (struct prune){
		.mc = mc, .options = *options, .owner = owner, .fn = fn, .ctx = ctx
	};
	prune->no_owner = no_owner;
	pthread_mutex_init(&prune->mutex, NULL);
	prune_act_init(&prune->act, mc, options, owner);
	prune->lookers = workers_new(LOOKERS, LOOKERS);
	prune->askers = workers_new(ASKERS, 1);
	prune->actors = workers_new(parallel, parallel);
	prune->looking = workers_group_new(prune->lookers);
	prune->asking = workers_group_new(prune->askers);
	prune->acting = workers_group_new(prune->actors);
	return prune;
}

struct walk {
	struct prune *prune;
	const char *mask;
};

static int take_home(void *ctx, const struct metacache_root *root, const char *path,
		     const char *user, struct err *err)
{
	const struct walk *walk = ctx;

	(void)root, (void)path;
	if (walk->mask && !wildcard_match(walk->mask, user))
		return 0;
	return prune_user(walk->prune, user) < 0 ? err_set(err, ERR_NONE, "stopped") : 0;
}

int prune_all(struct prune *prune, const char *mask, struct err *err)
{
	struct walk walk = { prune, mask };

	prune->walking = true;
	return metacache_walk(prune->mc, take_home, &walk, NULL, err);
}

static void run_to_the_end(struct prune *prune)
{
	submit_batch(prune);
	workers_group_free(&prune->looking);
	if (prune->old.count > 0)
		ask(prune, &prune->old);
	workers_group_free(&prune->asking);
	workers_group_free(&prune->acting);
	workers_free(&prune->lookers);
	workers_free(&prune->askers);
	workers_free(&prune->actors);
}

int prune_finish(struct prune **prune_p, struct prune_totals *totals_r, struct err *err)
{
	struct prune *prune = *prune_p;
	int ret;

	run_to_the_end(prune);
	prune_act_deinit(&prune->act);
	owner_close(&prune->owner);
	pthread_mutex_destroy(&prune->mutex);
	*totals_r = prune->totals;
	ret = atomic_load(&prune->stop) ? -1 : 0;
	if (ret < 0)
		*err = prune->err;
	free(prune);
	*prune_p = NULL;
	return ret;
}
