/* Flush: upload what changed, so that nothing would be lost with this disk.
 *
 * A unit whose files are what they were at the last upload costs nothing. Else:
 * a consistent copy, a listing of the unit in storage, and if that holds nothing
 * which this tree does not contain, one PUT of a diff or a new base; then .state, then
 * the superseded bundles are deleted. Killed between any two of these steps, storage
 * is complete, and the next flush goes on from there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "metacache/metacache.h"
#include "metacache/tidy.h"

struct workers;

struct flush_options {
	unsigned priority_min; /* only units of this priority and below (N…3); 0: all */
	bool important_only;   /* only units with important changes */
	bool due_only;  /* only units whose important changes are past the upload interval, or
			   with obox_max_rescan_mail_count new mails */
	bool overwrite; /* local wins over what another writer put: an operator's word */
	bool dry_run;
	/* Many users are flushed at once: one with few changes is worked on by the
	 * calling thread alone, which saves handing its units to others. */
	bool many_users;
};

enum flush_outcome {
	FLUSH_UNCHANGED,
	FLUSH_SKIPPED,  /* has changes, but not such as were asked for */
	FLUSH_UPLOADED, /* in a dry run: would be */
	FLUSH_OBSOLETE, /* storage has a newer one, and nothing would be lost here, or the host
			   crashed since it was written (crash.h): not written, and the next
			   refresh replaces it */
	FLUSH_CONFLICT, /* another writer's bundle is in storage; both sides kept */
	FLUSH_BUSY,     /* Dovecot or another program keeps it locked; try again */
	FLUSH_FAILED,
	FLUSH_OUTCOMES,
};
const char *flush_outcome_name(enum flush_outcome outcome);

struct flush_result {
	const char *user; /* the caller's */
	enum flush_outcome worst;
	unsigned units[FLUSH_OUTCOMES]; /* how many units ended how */
	uint64_t bytes;                 /* uploaded */
	int64_t duration_ms;
	struct err err; /* the first of the worst */
};

/* One user. Units are worked on by `pool` (never by the calling thread's own pool). With
 * `tidy` NULL nothing is deleted in storage.
 * 0 with result_r filled in, whatever the outcome; -1 only when nothing could be
 * done: locked (ERR_BUSY), gone (ERR_NOTFOUND), unreadable, no listing. */
int flush_user(const struct metacache *mc, const struct metacache_home *home,
	       const struct flush_options *options, struct workers *pool, struct tidy *tidy,
	       struct flush_result *result_r, struct err *err);

struct flush_totals {
	uint64_t users;     /* looked at */
	uint64_t flushed;   /* users of whom something was uploaded */
	uint64_t conflicts; /* users */
	uint64_t busy;
	uint64_t failed;
	uint64_t units[FLUSH_OUTCOMES];
	uint64_t bytes;
	uint64_t deleted; /* superseded objects */
};

/* Called for each user with anything to tell (not for unchanged ones), one call
 * at a time. Return 0, or -1 to stop with err. */
typedef int flush_fn(void *ctx, const struct flush_result *result, struct err *err);

/* Called now and then with the number of users looked at. NULL: not. */
typedef void flush_progress_fn(void *ctx, uint64_t users);

/* All users found below the roots whose name the mask matches (NULL: all). 0 when
 * everything was looked at, however that ended for single users; 1 when a part of
 * a tree could not be read (err says which first); -1 stopped. */
int flush_all(const struct metacache *mc, const char *mask, const struct flush_options *options,
	      flush_fn *fn, flush_progress_fn *progress, void *ctx, struct flush_totals *totals_r,
	      struct err *err);
