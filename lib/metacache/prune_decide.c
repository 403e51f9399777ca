#include "metacache/prune_decide.h"

#include <stddef.h>

#include "base/err.h"

const char *prune_decision_name(enum prune_decision decision)
{
	static const char *const names[] = {
		[PRUNE_KEEP] = "keep",
		[PRUNE_GO_ON] = "undecided",
		[PRUNE_FLUSH] = "flush",
		[PRUNE_DELETE] = "delete",
	};

	return names[decision];
}

static const struct {
	const char *name;
	int code;
} reasons[PRUNE_REASONS] = {
	[PRUNE_FAILED] = { "failed", ERR_TEMP },
	[PRUNE_RECENT] = { "recent", 0 },
	[PRUNE_AGE_UNTOLD] = { "age_unknown", ERR_TEMP },
	[PRUNE_HERE] = { "here", 0 },
	[PRUNE_OWNER_UNTOLD] = { "owner_unknown", ERR_TEMP },
	[PRUNE_UNASSIGNED] = { "unassigned", ERR_TEMP },
	[PRUNE_LOCKED] = { "locked", ERR_TEMP },
	[PRUNE_SESSION] = { "session", ERR_TEMP },
	[PRUNE_SESSION_UNTOLD] = { "session_unknown", ERR_TEMP },
	[PRUNE_STORAGE_UNTOLD] = { "storage_unknown", ERR_TEMP },
	[PRUNE_MISSING] = { "not_in_storage", ERR_DATA },
	[PRUNE_INTERRUPTED] = { "refresh_cut_short", ERR_TEMP },
	[PRUNE_FOREIGN] = { "foreign_files", ERR_DATA },
	[PRUNE_NO_INDEXES] = { "no_indexes", 0 },
	[PRUNE_CONFLICT] = { "conflict", ERR_DATA },
	[PRUNE_CHANGING] = { "changing", ERR_TEMP },
	[PRUNE_LIMIT] = { "limit", 0 },
	[PRUNE_UNCHANGED] = { "unchanged", 0 },
	[PRUNE_OBSOLETE] = { "obsolete", 0 },
	[PRUNE_FLUSHED] = { "flushed", 0 },
	[PRUNE_CRASHED] = { "crashed", 0 },
	[PRUNE_DISCARDED] = { "discarded", 0 },
	[PRUNE_CHANGED] = { "changed", 0 },
};

const char *prune_reason_name(enum prune_reason reason)
{
	return reasons[reason].name;
}

int prune_reason_code(enum prune_reason reason)
{
	return reasons[reason].code;
}

static struct prune_verdict keep(enum prune_reason reason)
{
	return (struct prune_verdict){ PRUNE_KEEP, reason };
}

static struct prune_verdict go_on(void)
{
	return (struct prune_verdict){ PRUNE_GO_ON, PRUNE_FAILED };
}

/* Each of these keeps the whole home; the first is told. */
static const struct {
	unsigned units;
	enum prune_reason reason;
} vetoes[] = {
	{ ~(unsigned)PRUNE_UNIT_ALL | PRUNE_UNIT_UNKNOWN, PRUNE_STORAGE_UNTOLD },
	{ PRUNE_UNIT_MISSING, PRUNE_MISSING },
	{ PRUNE_UNIT_FOREIGN, PRUNE_FOREIGN },
	{ PRUNE_UNIT_INTERRUPTED, PRUNE_INTERRUPTED },
};

/* Without an assignment, a newer bundle shows that somebody else has the user now; without any
 * changes here, nothing would be missed. */
static bool proves_enough(const struct prune_facts *facts)
{
	return facts->owner == OWNER_ELSEWHERE || !(facts->units & PRUNE_UNIT_CHANGED) ||
	       (facts->units & (PRUNE_UNIT_OBSOLETE | PRUNE_UNIT_CONFLICT));
}

static enum prune_reason why_deleted(const struct prune_facts *facts)
{
	if (facts->units & PRUNE_UNIT_CONFLICT)
		return PRUNE_DISCARDED;
	if (facts->units & PRUNE_UNIT_CRASHED)
		return PRUNE_CRASHED;
	if (facts->units & PRUNE_UNIT_OBSOLETE)
		return PRUNE_OBSOLETE;
	return facts->flushed ? PRUNE_FLUSHED : PRUNE_UNCHANGED;
}

static struct prune_verdict decide_by_units(const struct prune_facts *facts)
{
	for (size_t i = 0; i < sizeof vetoes / sizeof *vetoes; i++) {
		if (facts->units & vetoes[i].units)
			return keep(vetoes[i].reason);
	}
	if (facts->units == 0)
		return keep(PRUNE_NO_INDEXES);
	if ((facts->units & PRUNE_UNIT_CONFLICT) && !facts->discard_important)
		return keep(PRUNE_CONFLICT);
	if (!proves_enough(facts))
		return keep(PRUNE_UNASSIGNED);
	if ((facts->units & PRUNE_UNIT_CHANGED) && facts->flushed)
		return keep(PRUNE_CHANGING);
	if (facts->units & PRUNE_UNIT_CHANGED)
		return (struct prune_verdict){ PRUNE_FLUSH, PRUNE_CHANGED };
	return (struct prune_verdict){ PRUNE_DELETE, why_deleted(facts) };
}

static struct prune_verdict decide_by_session(const struct prune_facts *facts)
{
	switch (facts->session) {
	case PRUNE_SESSION_NONE:
		return facts->asked == PRUNE_ASKED_SESSION ? go_on() : decide_by_units(facts);
	case PRUNE_SESSION_LIVE:
		return keep(PRUNE_SESSION);
	case PRUNE_SESSION_LOCKED:
		return keep(PRUNE_LOCKED);
	case PRUNE_SESSION_UNKNOWN:
		break;
	}
	return keep(PRUNE_SESSION_UNTOLD);
}

struct prune_verdict prune_decide(const struct prune_facts *facts)
{
	if (facts->age != PRUNE_AGE_OLD)
		return keep(facts->age == PRUNE_AGE_RECENT ? PRUNE_RECENT : PRUNE_AGE_UNTOLD);
	if (facts->asked == PRUNE_ASKED_AGE)
		return go_on();
	if (facts->owner == OWNER_HERE)
		return keep(PRUNE_HERE);
	if (facts->owner != OWNER_ELSEWHERE && facts->owner != OWNER_WOULD_BE_ELSEWHERE)
		return keep(PRUNE_OWNER_UNTOLD);
	return facts->asked == PRUNE_ASKED_OWNER ? go_on() : decide_by_session(facts);
}
