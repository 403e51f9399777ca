#include "metacache/prune_act.h"

#include <string.h>

#include "base/clock.h"
#include "base/workers.h"
#include "metacache/flush.h"
#include "metacache/removal.h"
#include "metacache/trash.h"
#include "metacache/user_lock.h"

void prune_act_init(struct prune_act *act, const struct metacache *mc,
		    const struct prune_options *options, struct owner *owner)
{
	unsigned parallel = mc->settings->metacache_max_parallel_requests;

	*act = (struct prune_act){
		.mc = mc,
		.options = *options,
		.owner = owner,
		.units = workers_new(parallel, parallel),
		.now_s = clock_now_ns() / 1000000000,
	};
	pthread_mutex_init(&act->mutex, NULL);
}

void prune_act_deinit(struct prune_act *act)
{
	workers_free(&act->units);
	pthread_mutex_destroy(&act->mutex);
}

/* What lies in the future was accessed a moment ago, by another clock. */
enum prune_age prune_act_age(const struct prune_act *act, int64_t last_access_s)
{
	return act->now_s - last_access_s >= act->options.older_than_s ? PRUNE_AGE_OLD
								       : PRUNE_AGE_RECENT;
}

void prune_act_free_texts(struct prune_texts *texts)
{
	buf_free(&texts->lost);
}

/* Room for so many more users below the limit (0: just to know), and take it. */
static bool take(struct prune_act *act, unsigned count)
{
	bool room;

	pthread_mutex_lock(&act->mutex);
	room = act->options.limit == 0 || act->taken < act->options.limit;
	act->taken += room ? count : 0;
	pthread_mutex_unlock(&act->mutex);
	return room;
}

static void give_back(struct prune_act *act)
{
	pthread_mutex_lock(&act->mutex);
	act->taken--;
	pthread_mutex_unlock(&act->mutex);
}

/* One user, from the first look to the last. */
struct work {
	struct prune_act *act;
	const struct prune_user *user;
	struct prune_facts facts;
	struct prune_look look;
	int lock;
	bool released; /* .trash's reserve */
	struct prune_texts *texts;
	struct prune_result *result;
};

static void work_reset(struct work *work)
{
	prune_look_free(&work->look);
	cleanup_fd(&work->lock);
	work->lock = -1;
}

static enum prune_session session_of_lock(const struct err *err)
{
	return err->code == ERR_BUSY ? PRUNE_SESSION_LOCKED : PRUNE_SESSION_UNKNOWN;
}

/* Everything there is to know, under the lock. */
static struct prune_verdict look(struct work *work)
{
	const struct metacache *mc = work->act->mc;
	struct prune_facts *facts = &work->facts;
	struct err *err = &work->result->err;
	struct prune_verdict verdict;
	int ret;

	work_reset(work);
	err_clear(err);
	facts->asked = PRUNE_ASKED_SESSION;
	work->lock = user_lock(mc->locks_fd, work->user->name, USER_LOCK_WHOLE, 0, err);
	if (work->lock < 0) {
		facts->session = session_of_lock(err);
		return prune_decide(facts);
	}
	ret = prune_look_open(mc, work->user->name, &work->look, err);
	if (ret <= 0)
		return (struct prune_verdict){ PRUNE_KEEP,
					       ret == 0 ? PRUNE_NO_INDEXES : PRUNE_FAILED };
	prune_look_accessed(&work->look, prune_look_registered(mc, work->user->name), true);
	facts->age = prune_act_age(work->act, work->look.last_access_s);
	facts->session = prune_look_session(&work->look, err);
	verdict = prune_decide(facts);
	if (verdict.decision != PRUNE_GO_ON)
		return verdict;
	facts->asked = PRUNE_ASKED_STORAGE;
	prune_look_storage(&work->look);
	*err = work->look.err;
	facts->units = work->look.units;
	return prune_decide(facts);
}

static void describe(struct work *work, struct prune_verdict verdict)
{
	struct prune_result *result = work->result;
	struct buf *lost = &work->texts->lost;

	result->decision = verdict.decision;
	result->reason = verdict.reason;
	result->last_access_s = work->look.last_access_s;
	result->looked = work->facts.asked == PRUNE_ASKED_STORAGE;
	result->changes = work->look.changes;
	result->bytes = work->look.bytes;
	if (verdict.decision == PRUNE_KEEP && verdict.reason == PRUNE_UNASSIGNED) {
		err_set(&result->err, ERR_TEMP,
			"assigned to no backend, and has changes that only "
			"this one has");
		err_hint(&result->err, "metacache-flush uploads them");
	}
	if (verdict.reason == PRUNE_CHANGING)
		err_set(&result->err, ERR_BUSY, "changed again while it was uploaded");
	if (verdict.decision != PRUNE_KEEP) {
		err_clear(&result->err);
		buf_puts(lost, buf_str(&work->look.lost));
		result->lost = lost->len > 0 ? buf_str(lost) : NULL;
		result->kept = work->texts->kept[0] ? work->texts->kept : NULL;
	}
}

/* ---- doing it ---- */

/* The uploads are looked for in storage afterwards, so only a failure ends it here. */
static int flush_once(struct work *work, struct err *err)
{
	const struct flush_options options = { .many_users = true };
	struct prune_act *act = work->act;
	struct flush_result result;

	if (flush_user(act->mc, &work->look.home, &options, act->units, NULL, &result, err) < 0)
		return -1;
	if (result.worst != FLUSH_BUSY && result.worst != FLUSH_FAILED)
		return 0;
	*err = result.err;
	return -1;
}

/* On a full disk with what .trash keeps for that; the deletion gives it back. */
static int flush(struct work *work, struct err *err)
{
	int ret = flush_once(work, err);

	if (ret < 0 && err->code == ERR_CANTCREATE && trash_release(work->look.home.root)) {
		work->released = true;
		ret = flush_once(work, err);
	}
	return ret;
}

/* The first answer may be minutes old. */
static struct prune_verdict ask_again(struct work *work)
{
	struct owner_answer answer = { .user = work->user->name };
	struct err *err = &work->result->err;

	if (owner_lookup(work->act->owner, &answer, 1, &answer.err) < 0)
		answer.where = OWNER_UNKNOWN;
	work->facts.owner = answer.where;
	if (answer.where == OWNER_UNKNOWN)
		*err = answer.err;
	return prune_decide(&work->facts);
}

static struct prune_verdict failed(struct work *work, const struct err *err)
{
	work->result->err = *err;
	return (struct prune_verdict){ PRUNE_KEEP,
				       err->code == ERR_BUSY ? PRUNE_SESSION : PRUNE_FAILED };
}

/* A full disk may keep the registry from being written: a rescan mends it. */
static void forget(const struct work *work)
{
	const struct metacache *mc = work->act->mc;
	struct err err = { 0 };

	if (mc->registry && registry_remove(mc->registry, work->user->name, &err) < 0)
		metacache_warn(mc, "metacache_registry_failed", work->user->name, &err);
}

/* What the crash rule gives up is only deleted without changes that matter, or on an operator's
 * word. */
static int remove_home(struct work *work, struct err *err)
{
	const struct metacache *mc = work->act->mc;
	const struct prune_look *look = &work->look;
	const struct metacache_home *home = &look->home;

	if (look->crashed_changes && !work->facts.discard_important)
		return removal_keep(mc, home, home->path, &look->scanned, work->texts->kept, err);
	return removal_directory(mc, home, home->path, &look->scanned, err);
}

static struct prune_verdict finish(struct work *work)
{
	struct prune_verdict verdict = ask_again(work);
	struct err err = { 0 };

	if (verdict.decision != PRUNE_DELETE)
		return verdict;
	if (remove_home(work, &err) < 0)
		return failed(work, &err);
	if (work->released)
		trash_prepare(work->look.home.root);
	forget(work);
	work->result->deleted = true;
	return verdict;
}

static struct prune_verdict do_it(struct work *work, struct prune_verdict verdict)
{
	if (verdict.decision == PRUNE_FLUSH) {
		struct err err = { 0 };

		cleanup_fd(&work->lock);
		work->lock = -1;
		if (flush(work, &err) < 0)
			return failed(work, &err);
		work->facts.flushed = true;
		verdict = look(work);
	}
	return verdict.decision == PRUNE_DELETE ? finish(work) : verdict;
}

static void log_it(const struct work *work)
{
	const struct prune_result *result = work->result;

	log_info(work->act->mc->log, "metacache_user_prune_finished", log_str("user", result->user),
		 log_str("decision", prune_decision_name(result->decision)),
		 log_str("reason", prune_reason_name(result->reason)),
		 log_bool("deleted", result->deleted), log_uint("bytes", result->bytes),
		 log_str("lost", result->lost));
	if (result->deleted && result->lost)
		log_warning(work->act->mc->log, "metacache_user_discarded",
			    log_str("user", result->user), log_str("lost", result->lost),
			    log_str("kept", result->kept));
}

void prune_act_user(struct prune_act *act, const struct prune_user *user, struct prune_texts *texts,
		    struct prune_result *result_r)
{
	CLEANUP(work_reset)
	struct work work = {
		.act = act,
		.user = user,
		.facts = { .age = PRUNE_AGE_OLD,
			   .owner = user->where,
			   .discard_important = act->options.discard_important },
		.look = PRUNE_LOOK_NONE,
		.lock = -1,
		.texts = texts,
		.result = result_r,
	};
	struct prune_verdict verdict = { PRUNE_KEEP, PRUNE_LIMIT };

	*result_r = (struct prune_result){ .user = user->name,
					   .host = user->host[0] ? user->host : NULL };
	if (take(act, 0))
		verdict = look(&work);
	if (verdict.decision != PRUNE_KEEP && !take(act, 1)) {
		verdict = (struct prune_verdict){ PRUNE_KEEP, PRUNE_LIMIT };
	} else if (verdict.decision != PRUNE_KEEP && act->options.act) {
		verdict = do_it(&work, verdict);
		if (!result_r->deleted)
			give_back(act);
	}
	describe(&work, verdict);
	log_it(&work);
}
