/* The decision about one user's indexes: a pure function of what is known, so that
 * all of its inputs can be tried. Unknown always means keep. */
#pragma once

#include <stdbool.h>

#include "cluster/owner.h"

/* What is asked, in this order: each costs more than the one before. */
enum prune_asked {
	PRUNE_ASKED_AGE,
	PRUNE_ASKED_OWNER,
	PRUNE_ASKED_SESSION,
	PRUNE_ASKED_STORAGE,
};

enum prune_age {
	PRUNE_AGE_UNKNOWN,
	PRUNE_AGE_RECENT,
	PRUNE_AGE_OLD,
};

enum prune_session {
	PRUNE_SESSION_UNKNOWN,
	PRUNE_SESSION_LOCKED, /* another program works on the user */
	PRUNE_SESSION_LIVE,
	PRUNE_SESSION_NONE,
};

/* What a unit is, compared with storage; of a home, all of its units' together. */
enum prune_unit {
	PRUNE_UNIT_STORED = 1 << 0,      /* unchanged, and storage lists it whole */
	PRUNE_UNIT_CHANGED = 1 << 1,     /* changed, and nothing newer is in storage */
	PRUNE_UNIT_OBSOLETE = 1 << 2,    /* storage has a newer one, nothing would be lost */
	PRUNE_UNIT_CONFLICT = 1 << 3,    /* storage has a newer one, something would be lost */
	PRUNE_UNIT_MISSING = 1 << 4,     /* unchanged, but storage does not list it, or not whole */
	PRUNE_UNIT_INTERRUPTED = 1 << 5, /* a refresh was cut short */
	PRUNE_UNIT_FOREIGN = 1 << 6,     /* a file that is part of no unit */
	PRUNE_UNIT_UNKNOWN = 1 << 7,     /* it can't be told */
	PRUNE_UNIT_CRASHED = 1 << 8,     /* given up by the crash rule, and storage has it */
	PRUNE_UNIT_ALL = (1 << 9) - 1,
};

struct prune_facts {
	enum prune_asked asked; /* what comes after it is not known yet, and not looked at */
	enum prune_age age;
	enum owner_where owner;
	enum prune_session session;
	unsigned units;         /* PRUNE_UNIT_… */
	bool discard_important; /* an operator's word */
	bool flushed;           /* changes were uploaded, and then all was looked at again */
};

enum prune_decision {
	PRUNE_KEEP,  /* the first, so that what nobody filled in is kept */
	PRUNE_GO_ON, /* ask what is next */
	PRUNE_FLUSH, /* upload the changes, and ask everything again */
	PRUNE_DELETE,
};

enum prune_reason {
	/* Keep. */
	PRUNE_FAILED, /* something else went wrong */
	PRUNE_RECENT,
	PRUNE_AGE_UNTOLD,
	PRUNE_HERE,
	PRUNE_OWNER_UNTOLD,
	PRUNE_UNASSIGNED, /* would be elsewhere, but has changes that only this host has */
	PRUNE_LOCKED,
	PRUNE_SESSION,
	PRUNE_SESSION_UNTOLD,
	PRUNE_STORAGE_UNTOLD,
	PRUNE_MISSING,
	PRUNE_INTERRUPTED,
	PRUNE_FOREIGN,
	PRUNE_NO_INDEXES,
	PRUNE_CONFLICT,
	PRUNE_CHANGING, /* changed again while it was flushed */
	PRUNE_LIMIT,    /* as many as were asked for are deleted */
	/* Delete. */
	PRUNE_UNCHANGED,
	PRUNE_OBSOLETE,
	PRUNE_FLUSHED,
	PRUNE_CRASHED, /* what would be lost is moved aside */
	PRUNE_DISCARDED,
	/* Flush, then delete. */
	PRUNE_CHANGED,
	PRUNE_REASONS,
};

struct prune_verdict {
	enum prune_decision decision;
	enum prune_reason reason;
};

/* "keep", "flush", "delete"; "recent", "here", … */
const char *prune_decision_name(enum prune_decision decision);
const char *prune_reason_name(enum prune_reason reason);

struct prune_verdict prune_decide(const struct prune_facts *facts);

/* How a run with such a user in it exits: 0 decided, 65 somebody has to decide, 75 kept because
 * something can't be told or done now. */
int prune_reason_code(enum prune_reason reason);
