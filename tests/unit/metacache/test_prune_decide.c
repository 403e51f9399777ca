/* The decision table: each row of it, and what must hold over all inputs there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/err.h"
#include "metacache/prune_decide.h"

#define NEWER (PRUNE_UNIT_OBSOLETE | PRUNE_UNIT_CONFLICT)
#define MAY_GO (PRUNE_UNIT_STORED | PRUNE_UNIT_CHANGED | PRUNE_UNIT_CRASHED | NEWER)

/* As far as it goes for one whose indexes may be deleted. */
static struct prune_facts facts_of(unsigned units)
{
	return (struct prune_facts){
		.asked = PRUNE_ASKED_STORAGE,
		.age = PRUNE_AGE_OLD,
		.owner = OWNER_ELSEWHERE,
		.session = PRUNE_SESSION_NONE,
		.units = units,
	};
}

static void expect(const struct prune_facts *facts, enum prune_decision decision,
		   enum prune_reason reason)
{
	struct prune_verdict verdict = prune_decide(facts);

	assert_string_equal(prune_decision_name(verdict.decision), prune_decision_name(decision));
	if (decision != PRUNE_GO_ON)
		assert_string_equal(prune_reason_name(verdict.reason), prune_reason_name(reason));
}

static void test_before_storage(void **state)
{
	static const struct {
		enum prune_asked asked;
		enum prune_age age;
		enum owner_where owner;
		enum prune_session session;
		enum prune_decision decision;
		enum prune_reason reason;
	} rows[] = {
		{ PRUNE_ASKED_AGE, PRUNE_AGE_UNKNOWN, 0, 0, PRUNE_KEEP, PRUNE_AGE_UNTOLD },
		{ PRUNE_ASKED_AGE, PRUNE_AGE_RECENT, 0, 0, PRUNE_KEEP, PRUNE_RECENT },
		{ PRUNE_ASKED_AGE, PRUNE_AGE_OLD, OWNER_HERE, 0, PRUNE_GO_ON, 0 },
		{ PRUNE_ASKED_OWNER, PRUNE_AGE_RECENT, OWNER_ELSEWHERE, 0, PRUNE_KEEP,
		  PRUNE_RECENT },
		{ PRUNE_ASKED_OWNER, PRUNE_AGE_OLD, OWNER_UNKNOWN, 0, PRUNE_KEEP,
		  PRUNE_OWNER_UNTOLD },
		{ PRUNE_ASKED_OWNER, PRUNE_AGE_OLD, OWNER_HERE, 0, PRUNE_KEEP, PRUNE_HERE },
		{ PRUNE_ASKED_OWNER, PRUNE_AGE_OLD, OWNER_ELSEWHERE, 0, PRUNE_GO_ON, 0 },
		{ PRUNE_ASKED_OWNER, PRUNE_AGE_OLD, OWNER_WOULD_BE_ELSEWHERE, 0, PRUNE_GO_ON, 0 },
		{ PRUNE_ASKED_SESSION, PRUNE_AGE_OLD, OWNER_ELSEWHERE, PRUNE_SESSION_UNKNOWN,
		  PRUNE_KEEP, PRUNE_SESSION_UNTOLD },
		{ PRUNE_ASKED_SESSION, PRUNE_AGE_OLD, OWNER_ELSEWHERE, PRUNE_SESSION_LOCKED,
		  PRUNE_KEEP, PRUNE_LOCKED },
		{ PRUNE_ASKED_SESSION, PRUNE_AGE_OLD, OWNER_ELSEWHERE, PRUNE_SESSION_LIVE,
		  PRUNE_KEEP, PRUNE_SESSION },
		{ PRUNE_ASKED_SESSION, PRUNE_AGE_OLD, OWNER_HERE, PRUNE_SESSION_NONE, PRUNE_KEEP,
		  PRUNE_HERE },
		{ PRUNE_ASKED_SESSION, PRUNE_AGE_OLD, OWNER_ELSEWHERE, PRUNE_SESSION_NONE,
		  PRUNE_GO_ON, 0 },
		{ PRUNE_ASKED_STORAGE, PRUNE_AGE_OLD, OWNER_ELSEWHERE, PRUNE_SESSION_LIVE,
		  PRUNE_KEEP, PRUNE_SESSION },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct prune_facts facts = { .asked = rows[i].asked,
						   .age = rows[i].age,
						   .owner = rows[i].owner,
						   .session = rows[i].session,
						   .units = PRUNE_UNIT_STORED };

		expect(&facts, rows[i].decision, rows[i].reason);
	}
}

static void test_by_units(void **state)
{
	static const struct {
		unsigned units;
		bool discard, flushed;
		enum prune_decision decision;
		enum prune_reason reason;
	} rows[] = {
		{ 0, false, false, PRUNE_KEEP, PRUNE_NO_INDEXES },
		{ PRUNE_UNIT_STORED, false, false, PRUNE_DELETE, PRUNE_UNCHANGED },
		{ PRUNE_UNIT_STORED, false, true, PRUNE_DELETE, PRUNE_FLUSHED },
		{ PRUNE_UNIT_CHANGED, false, false, PRUNE_FLUSH, PRUNE_CHANGED },
		{ PRUNE_UNIT_CHANGED, false, true, PRUNE_KEEP, PRUNE_CHANGING },
		{ PRUNE_UNIT_STORED | PRUNE_UNIT_CHANGED, false, false, PRUNE_FLUSH,
		  PRUNE_CHANGED },
		{ PRUNE_UNIT_OBSOLETE, false, false, PRUNE_DELETE, PRUNE_OBSOLETE },
		{ PRUNE_UNIT_STORED | PRUNE_UNIT_OBSOLETE, false, false, PRUNE_DELETE,
		  PRUNE_OBSOLETE },
		{ PRUNE_UNIT_CHANGED | PRUNE_UNIT_OBSOLETE, false, false, PRUNE_FLUSH,
		  PRUNE_CHANGED },
		{ PRUNE_UNIT_CRASHED | PRUNE_UNIT_OBSOLETE, false, false, PRUNE_DELETE,
		  PRUNE_CRASHED },
		{ PRUNE_UNIT_CRASHED | PRUNE_UNIT_CHANGED, false, false, PRUNE_FLUSH,
		  PRUNE_CHANGED },
		{ PRUNE_UNIT_CRASHED | PRUNE_UNIT_STORED, false, true, PRUNE_DELETE,
		  PRUNE_CRASHED },
		{ PRUNE_UNIT_CRASHED | PRUNE_UNIT_CONFLICT, false, false, PRUNE_KEEP,
		  PRUNE_CONFLICT },
		{ PRUNE_UNIT_CONFLICT, false, false, PRUNE_KEEP, PRUNE_CONFLICT },
		{ PRUNE_UNIT_CONFLICT, true, false, PRUNE_DELETE, PRUNE_DISCARDED },
		{ PRUNE_UNIT_CONFLICT | PRUNE_UNIT_CHANGED, false, false, PRUNE_KEEP,
		  PRUNE_CONFLICT },
		/* What is in no conflict is not given up with what is. */
		{ PRUNE_UNIT_CONFLICT | PRUNE_UNIT_CHANGED, true, false, PRUNE_FLUSH,
		  PRUNE_CHANGED },
		{ PRUNE_UNIT_CONFLICT | PRUNE_UNIT_STORED, true, true, PRUNE_DELETE,
		  PRUNE_DISCARDED },
		{ PRUNE_UNIT_MISSING | PRUNE_UNIT_CONFLICT, true, false, PRUNE_KEEP,
		  PRUNE_MISSING },
		{ PRUNE_UNIT_FOREIGN | PRUNE_UNIT_STORED, true, false, PRUNE_KEEP, PRUNE_FOREIGN },
		{ PRUNE_UNIT_INTERRUPTED | PRUNE_UNIT_STORED, true, false, PRUNE_KEEP,
		  PRUNE_INTERRUPTED },
		{ PRUNE_UNIT_UNKNOWN | PRUNE_UNIT_STORED, true, true, PRUNE_KEEP,
		  PRUNE_STORAGE_UNTOLD },
		{ PRUNE_UNIT_ALL + 1, true, true, PRUNE_KEEP, PRUNE_STORAGE_UNTOLD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct prune_facts facts = facts_of(rows[i].units);

		facts.discard_important = rows[i].discard;
		facts.flushed = rows[i].flushed;
		expect(&facts, rows[i].decision, rows[i].reason);
	}
}

static void test_unassigned(void **state)
{
	static const struct {
		unsigned units;
		enum prune_decision decision;
		enum prune_reason reason;
	} rows[] = {
		{ PRUNE_UNIT_STORED, PRUNE_DELETE, PRUNE_UNCHANGED },
		{ PRUNE_UNIT_OBSOLETE, PRUNE_DELETE, PRUNE_OBSOLETE },
		{ PRUNE_UNIT_CRASHED, PRUNE_DELETE, PRUNE_CRASHED },
		{ PRUNE_UNIT_CHANGED, PRUNE_KEEP, PRUNE_UNASSIGNED },
		{ PRUNE_UNIT_CHANGED | PRUNE_UNIT_STORED, PRUNE_KEEP, PRUNE_UNASSIGNED },
		/* A newer bundle of one unit shows who has the user. */
		{ PRUNE_UNIT_CHANGED | PRUNE_UNIT_OBSOLETE, PRUNE_FLUSH, PRUNE_CHANGED },
		{ PRUNE_UNIT_CONFLICT, PRUNE_KEEP, PRUNE_CONFLICT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct prune_facts facts = facts_of(rows[i].units);

		facts.owner = OWNER_WOULD_BE_ELSEWHERE;
		expect(&facts, rows[i].decision, rows[i].reason);
	}
}

/* ---- all inputs ---- */

typedef void facts_fn(const struct prune_facts *facts);

static void each_session(struct prune_facts facts, facts_fn *fn)
{
	/* One more of each: a value that nobody knows. */
	for (int session = 0; session <= PRUNE_SESSION_NONE + 1; session++) {
		facts.session = (enum prune_session)session;
		for (unsigned units = 0; units < 2 * (PRUNE_UNIT_ALL + 1); units++) {
			facts.units = units;
			for (int flags = 0; flags < 4; flags++) {
				facts.discard_important = flags & 1;
				facts.flushed = flags & 2;
				fn(&facts);
			}
		}
	}
}

static void each(facts_fn *fn)
{
	for (int asked = 0; asked <= PRUNE_ASKED_STORAGE; asked++) {
		for (int age = 0; age <= PRUNE_AGE_OLD + 1; age++) {
			for (int owner = 0; owner <= OWNER_WOULD_BE_ELSEWHERE + 1; owner++)
				each_session(
					(struct prune_facts){ .asked = (enum prune_asked)asked,
							      .age = (enum prune_age)age,
							      .owner = (enum owner_where)owner },
					fn);
		}
	}
}

static bool is_elsewhere(const struct prune_facts *facts)
{
	return facts->owner == OWNER_ELSEWHERE || facts->owner == OWNER_WOULD_BE_ELSEWHERE;
}

/* Nothing that was asked speaks against it. */
static bool nothing_against(const struct prune_facts *facts)
{
	return facts->age == PRUNE_AGE_OLD &&
	       (facts->asked < PRUNE_ASKED_OWNER || is_elsewhere(facts)) &&
	       (facts->asked < PRUNE_ASKED_SESSION || facts->session == PRUNE_SESSION_NONE);
}

static bool units_may_go(const struct prune_facts *facts)
{
	unsigned units = facts->units;

	if (units == 0 || (units & ~(unsigned)MAY_GO))
		return false;
	if ((units & PRUNE_UNIT_CONFLICT) && !facts->discard_important)
		return false;
	return facts->owner == OWNER_ELSEWHERE || (units & NEWER) || !(units & PRUNE_UNIT_CHANGED);
}

static void check_permission(const struct prune_facts *facts)
{
	struct prune_verdict verdict = prune_decide(facts);
	bool may = facts->asked == PRUNE_ASKED_STORAGE && nothing_against(facts) &&
		   units_may_go(facts);
	bool changed = facts->units & PRUNE_UNIT_CHANGED;

	switch (verdict.decision) {
	case PRUNE_DELETE:
		assert_true(may && !changed);
		break;
	case PRUNE_FLUSH:
		assert_true(may && changed && !facts->flushed);
		break;
	case PRUNE_GO_ON:
		assert_true(facts->asked < PRUNE_ASKED_STORAGE && nothing_against(facts));
		break;
	case PRUNE_KEEP:
		/* Not out of timidity either. */
		assert_true(facts->asked == PRUNE_ASKED_STORAGE
				    ? !may || (changed && facts->flushed)
				    : !nothing_against(facts));
		break;
	default:
		fail();
	}
}

/* What was not asked has no say. */
static void check_asked_only(const struct prune_facts *facts)
{
	struct prune_facts known = *facts;
	struct prune_verdict verdict = prune_decide(facts), alone;

	if (facts->asked < PRUNE_ASKED_STORAGE)
		known.units = 0;
	if (facts->asked < PRUNE_ASKED_SESSION)
		known.session = PRUNE_SESSION_UNKNOWN;
	if (facts->asked < PRUNE_ASKED_OWNER)
		known.owner = OWNER_UNKNOWN;
	alone = prune_decide(&known);
	assert_int_equal(verdict.decision, alone.decision);
	assert_int_equal(verdict.reason, alone.reason);
}

static bool acts(const struct prune_facts *facts)
{
	enum prune_decision decision = prune_decide(facts).decision;

	return decision == PRUNE_DELETE || decision == PRUNE_FLUSH;
}

/* To know less never permits anything. */
static void check_unknown(const struct prune_facts *facts)
{
	struct prune_facts less[5];

	for (int i = 0; i < 5; i++)
		less[i] = *facts;
	less[0].age = PRUNE_AGE_UNKNOWN;
	less[1].owner = OWNER_UNKNOWN;
	less[2].session = PRUNE_SESSION_UNKNOWN;
	less[3].units |= PRUNE_UNIT_UNKNOWN;
	less[4].units = 0;
	for (int i = 0; i < 5; i++)
		assert_false(acts(&less[i]));
}

static unsigned seen[PRUNE_REASONS];

/* A reason belongs to one decision, and tells the exit code. */
static void check_reason(const struct prune_facts *facts)
{
	struct prune_verdict verdict = prune_decide(facts);
	int code = prune_reason_code(verdict.reason);

	if (verdict.decision == PRUNE_GO_ON)
		return;
	assert_in_range(verdict.reason, 0, PRUNE_REASONS - 1);
	seen[verdict.reason] |= 1U << verdict.decision;
	assert_true(code == 0 || code == ERR_DATA || code == ERR_TEMP);
	if (verdict.decision != PRUNE_KEEP)
		assert_int_equal(code, 0);
	if (verdict.reason == PRUNE_CONFLICT || verdict.reason == PRUNE_MISSING)
		assert_int_equal(code, ERR_DATA);
	if (facts->age == PRUNE_AGE_UNKNOWN)
		assert_int_equal(code, ERR_TEMP);
}

static void test_all_inputs(void **state)
{
	(void)state;
	each(check_permission);
	each(check_asked_only);
	each(check_unknown);
	each(check_reason);
	for (int i = 0; i < PRUNE_REASONS; i++) {
		/* Those two are not this function's to give. */
		bool given = i != PRUNE_FAILED && i != PRUNE_LIMIT;

		assert_true(given ? seen[i] != 0 && (seen[i] & (seen[i] - 1)) == 0 : seen[i] == 0);
	}
}

static void test_nothing_filled_in_is_kept(void **state)
{
	const struct prune_facts facts = { 0 };
	const struct prune_verdict verdict = { 0 };

	(void)state;
	expect(&facts, PRUNE_KEEP, PRUNE_AGE_UNTOLD);
	assert_int_equal(verdict.decision, PRUNE_KEEP);
	assert_int_equal(prune_reason_code(verdict.reason), ERR_TEMP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_storage),
		cmocka_unit_test(test_by_units),
		cmocka_unit_test(test_unassigned),
		cmocka_unit_test(test_all_inputs),
		cmocka_unit_test(test_nothing_filled_in_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
