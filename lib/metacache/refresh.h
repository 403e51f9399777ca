/* Refresh: bring a user's local indexes up to what storage says.
 *
 * What is missing here is created, what is obsolete and without changes of its
 * own is replaced; local changes are never overwritten (a conflict is reported
 * and both sides stay), and files that somebody has open are left alone. A new
 * home is built aside and appears whole.
 *
 * What the host was writing when it crashed is assumed corrupt and replaced, changes and all
 * (crash.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "metacache/crash.h"
#include "metacache/metacache.h"

struct workers;

struct refresh_options {
	bool mark;              /* only note that storage is to be asked at the next chance */
	bool discard_important; /* storage wins over changes made here: an operator's word */
	bool dry_run;
	const char *service; /* on whose behalf (imap, pop3, …); NULL: nobody's session */
};

enum refresh_outcome {
	REFRESH_NOTHING, /* neither here nor in storage */
	REFRESH_KEPT,    /* closed here a moment ago: storage was not asked */
	REFRESH_UNCHANGED,
	REFRESH_CHANGED,
	REFRESH_CREATED,
	REFRESH_MARKED,
	REFRESH_IN_USE,   /* obsolete here, but a session has it open */
	REFRESH_CONFLICT, /* changed here and in storage; both kept */
	REFRESH_FAILED,
	REFRESH_OUTCOMES,
};
/* "refreshed_changed", … */
const char *refresh_outcome_name(enum refresh_outcome outcome);

struct refresh_result {
	enum refresh_outcome worst; /* the greatest of its units' */
	unsigned units[REFRESH_OUTCOMES];
	uint64_t bytes; /* downloaded */
	int64_t duration_ms;
	struct crash_loss loss; /* what was given up by the crash rule */
	struct err err;         /* the first of the worst */
};

/* 0 with result_r filled in; -1 when nothing could be done: a bad name, locked
 * (ERR_BUSY), storage that does not answer. Then the local tree is as it was. */
int refresh_user(const struct metacache *mc, const char *user,
		 const struct refresh_options *options, struct workers *pool,
		 struct refresh_result *result_r, struct err *err);
