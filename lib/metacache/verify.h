/* Verify: compare what is on disk, in the registry and in storage, name every drift, and
 * repair what can be repaired without a guess.
 *
 * Only looking changes nothing. A user whose storage or tree could not be looked at whole is
 * an error, and nothing of him is repaired. No bundle is deleted unless those that contain it
 * were unpacked. After a repair the user is looked at once more: repaired is what is not found
 * again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "metacache/metacache.h"

struct verify;

enum verify_drift {
	/* Local tree and storage. */
	VERIFY_OBSOLETE,          /* storage has a newer bundle, and nothing would be lost here */
	VERIFY_CONFLICT,          /* changed here and in storage, or by two writers there */
	VERIFY_MISSING_REMOTE,    /* .state says that it was uploaded, and it is not listed */
	VERIFY_WRONG_REMOTE_SIZE, /* it is, with another size */
	VERIFY_ORPHAN_DIFF,       /* a diff whose base is not listed */
	VERIFY_SUPERSEDED,        /* contained in another bundle that is listed */
	VERIFY_CORRUPT_BUNDLE,    /* refused when it was read */
	VERIFY_TORN_STATE,        /* a .state that can't be read */
	VERIFY_BAD_BLOCKS,        /* .state.blocks that are damaged or of another base */
	VERIFY_FOREIGN,           /* in a home, and part of no unit */
	/* Local tree and registry. */
	VERIFY_UNREGISTERED_HOME, /* no row, or one of another root */
	VERIFY_UNKNOWN_USER,      /* a row without indexes here */
	VERIFY_WRONG_SIZE,        /* other bytes-used */
	VERIFY_WRONG_CHANGES,     /* other changes or conflicts, or wrongly taken for settled */
	/* The roots. */
	VERIFY_STALE_TRASH, /* what a killed program left in .trash */
	VERIFY_KEPT_TRASH,  /* what was kept there for an operator */
	VERIFY_STRANGE,     /* neither a home nor on the way to one */
	/* No drift: this could not be looked at. */
	VERIFY_ERROR,
};
const char *verify_drift_name(enum verify_drift drift);

struct verify_options {
	bool deep; /* download and unpack every bundle that is not contained in another */
	bool repair;
	bool dry_run; /* of a repair: only say what would be repaired */
};

struct verify_found {
	enum verify_drift drift;
	const char *user;   /* NULL: of a root */
	const char *unit;   /* path below home, its id where it is only in storage; NULL: none */
	const char *object; /* name of a bundle, or a path; NULL: none */
	bool repaired;      /* in a dry run: would be */
	/* What is wrong, or why it could not be repaired; of an error also how to exit. */
	const struct err *err;
};

/* Called for each drift, one call at a time, from any thread. Return 0, or -1 to stop with err. */
typedef int verify_fn(void *ctx, const struct verify_found *found, struct err *err);

/* Called after each user. NULL: not. */
typedef void verify_progress_fn(void *ctx);

struct verify_totals {
	uint64_t users;
	uint64_t units;        /* here */
	uint64_t not_uploaded; /* units with changes, for a flush: no drift */
	uint64_t remote_only;  /* units that are only in storage: cleaned, or never opened here */
	uint64_t drifts;
	uint64_t repaired;
	uint64_t failed;  /* users and roots that could not be looked at whole */
	uint64_t deleted; /* objects */
	uint64_t bytes;   /* downloaded */
};

/* `mc` with store and registry. */
struct verify *verify_new(const struct metacache *mc, const struct verify_options *options,
			  verify_fn *fn, verify_progress_fn *progress, void *ctx);

/* Have a user looked at, soon. 0, or -1 once `fn` has stopped it. */
int verify_user(struct verify *verify, const char *user);

/* All users with a home or a row in the registry, and the roots. 0, or -1. */
int verify_all(struct verify *verify, struct err *err);

/* Wait for all, and free. 0; -1 with the error of `fn`. */
int verify_finish(struct verify **verify, struct verify_totals *totals_r, struct err *err);
