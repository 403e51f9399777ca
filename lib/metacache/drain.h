/* Drain: the stop sequence of a backend, so that nothing important is only here when it goes down.
 *
 *   flush-1     upload important changes, while everybody goes on
 *   stop        Dovecot takes no new imap, pop3, managesieve, submission and lmtp connections
 *   kick-1      end the sessions that there are; deliveries were put off with `stop`
 *   flush-2     upload what they changed
 *   wait        a second, for clients that were just logging in
 *   kick-2      end those
 *   flush-3     upload what they changed
 *   mark-clean  all of it is on disk: note that this boot ended well (boot.h)
 *
 * To take the backend out of its director, before flush-1:
 *
 *   director-vhosts  no new users
 *   director-wait    until the director has forgotten those who are not connected
 *   prune            remove the obsolete indexes of users who are elsewhere by now
 *
 * and after flush-3, for nobody may be elsewhere before what he changed here is uploaded: his
 * next backend would begin with the bundles from before, and both would change the same units.
 * From `stop` on those who are left can't log in anywhere.
 *
 *   director-down    mark it as down
 *   director-flush   move the rest, however long that takes
 *
 * Each step finds by itself what is left to do, so a run after a failure or a kill does only
 * that. A step that fails ends the run, unless it is to go on. A conflict is no failure: it
 * stays, on both sides, until an operator decides. `doveadm reload` makes Dovecot take
 * connections again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "metacache/flush.h"
#include "metacache/metacache.h"
#include "metacache/prune.h"

enum drain_step {
	DRAIN_DIRECTOR_VHOSTS,
	DRAIN_DIRECTOR_WAIT,
	DRAIN_PRUNE,
	DRAIN_FLUSH_1,
	DRAIN_STOP,
	DRAIN_KICK_1,
	DRAIN_FLUSH_2,
	DRAIN_WAIT,
	DRAIN_KICK_2,
	DRAIN_FLUSH_3,
	DRAIN_DIRECTOR_DOWN,
	DRAIN_DIRECTOR_FLUSH,
	DRAIN_MARK_CLEAN,
	DRAIN_STEPS,
};
const char *drain_step_name(enum drain_step step);
/* -1 with ERR_USAGE names them all. */
int drain_step_parse(const char *name, enum drain_step *step_r, struct err *err);

enum drain_result {
	DRAIN_DONE,
	DRAIN_SKIPPED,  /* there was nothing to do, `detail` says why */
	DRAIN_WOULD,    /* dry run: `count` and `detail` are what would be done */
	DRAIN_FAILED,   /* `err` says why */
	DRAIN_NOT_DONE, /* because of an earlier one */
};
const char *drain_result_name(enum drain_result result);

struct drain_row {
	enum drain_step step;
	enum drain_result result;
	uint64_t count; /* users uploaded, services stopped, users kicked, users still assigned by
			   the director, users pruned */
	char detail[256];
	int64_t duration_ms;
	struct err err;
};

struct drain_options {
	bool director;    /* with the director's steps */
	bool prune;       /* with prune */
	bool all_changes; /* flush-1 uploads unimportant changes, too */
	bool force;       /* go on after a step that failed */
	bool dry_run;     /* change nothing */
	enum drain_step from;
	int64_t expire_wait_ms; /* of director-wait */
	int64_t prune_older_than_s;
	const struct str_vec *services; /* to stop, instead of the usual ones; NULL or empty */
};

struct drain_totals {
	bool complete;          /* all steps that were asked for are done, or were skipped */
	uint64_t uploaded;      /* units */
	uint64_t conflicts;     /* users, as the last flush found them */
	uint64_t kicked;        /* users */
	uint64_t sessions_left; /* after kick-2 */
	uint64_t pruned;        /* users */
};

struct drain_callbacks {
	/* After each step. Return 0, or -1 to stop with err. */
	int (*step)(void *ctx, const struct drain_row *row, struct err *err);
	/* Each user of whom there is something to tell; from any thread, one at a time. */
	flush_fn *flushed;
	prune_fn *pruned;
	void *ctx;
};

/* The steps that options ask for, in order. `mc` with a store, and METACACHE_SESSIONS. 0, however
 * the steps ended; -1 when a callback stopped it. */
int drain_run(const struct metacache *mc, const struct drain_options *options,
	      const struct drain_callbacks *callbacks, struct drain_totals *totals_r,
	      struct err *err);
