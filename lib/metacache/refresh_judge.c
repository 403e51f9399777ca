#include <errno.h>

#include "base/fsx.h"
#include "metacache/changes.h"
#include "metacache/refresh_impl.h"
#include "metacache/session.h"

bool refresh_judge_important(int unitfd, const struct unit *unit, const struct state *state)
{
	struct changes_found found;

	if (!state || !state->base)
		return true;
	if (state->installing)
		return !state_accounts_for(state, &unit->files);
	changes_find(unitfd, unit, state, &found);
	return changes_to_keep(&found);
}

static enum refresh_outcome judge_in_use(int unitfd, const struct unit *unit, const char *what,
					 struct err *err)
{
	int in_use = session_unit_in_use(unitfd, unit, err);

	if (in_use == 0)
		return REFRESH_CHANGED;
	if (in_use > 0) {
		err_set(err, ERR_BUSY, "%s %s, but a session has it open", unit_title(unit), what);
		err_hint(err, "refresh again when the user has logged out");
	}
	return REFRESH_IN_USE;
}

static enum refresh_outcome judge_obsolete(const struct refresh *refresh, int unitfd,
					   const struct unit *unit, const struct state *state,
					   struct err *err)
{
	if (!refresh->options->discard_important && refresh_judge_important(unitfd, unit, state)) {
		err_set(err, ERR_CONFLICT,
			"%s changed here, and storage has a bundle of another writer; both are "
			"kept",
			unit_title(unit));
		err_hint(err, REFRESH_HINT_CHOOSE);
		return REFRESH_CONFLICT;
	}
	return judge_in_use(unitfd, unit, "is older than in storage", err);
}

/* Whether the unit is as good as not there. Who only logs in is not told each time that nobody
 * can know. */
static bool is_crashed(struct refresh *refresh, const struct unit *unit, int state_ret,
		       const struct state *state)
{
	const struct metacache *mc = refresh->mc;
	const char *why;
	enum boot_verdict verdict = crash_judge(mc, unit, state_ret, state, &why);

	if (verdict == BOOT_UNKNOWN && unit->has_state && !refresh->told_unknown) {
		log_event(mc->log, refresh->options->service ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
			  "metacache_boot_unknown", log_str("user", refresh->home.user),
			  log_str("unit", unit->path), log_str("reason", why),
			  log_str("outcome", "kept"));
		refresh->told_unknown = true;
	}
	return verdict == BOOT_CRASHED;
}

void refresh_judge_note(const struct refresh *refresh, int unitfd, enum state_standing standing)
{
	autostate struct state state = { 0 };
	struct err err = { 0 };
	int ret = refresh->options->dry_run ? 0 : state_read(unitfd, &state, &err);

	if (ret > 0 && state.standing != standing) {
		state.standing = standing;
		ret = state_write(unitfd, &state, NULL, &err);
	}
	if (ret < 0)
		metacache_warn(refresh->mc, "metacache_mark_failed", refresh->home.user, &err);
}

static enum state_standing standing_of(enum refresh_outcome outcome)
{
	return outcome == REFRESH_CONFLICT ? STATE_CONFLICT
	       : outcome == REFRESH_IN_USE ? STATE_OBSOLETE
					   : STATE_CURRENT;
}

enum refresh_outcome refresh_judge(struct refresh *refresh, const struct remote_unit *remote,
				   struct changes_found *crashed_r, struct err *err)
{
	const struct unit *unit = unit_find_id(&refresh->scanned, remote->id);
	autostate struct state state = { 0 };
	autofd int unitfd = -1;
	bool known;
	int ret;
	enum remote_verdict verdict;
	enum refresh_outcome outcome = REFRESH_UNCHANGED;

	if (!unit)
		return REFRESH_CREATED;
	unitfd = fsx_opendir(refresh->homefd, unit->path);
	if (unitfd < 0) {
		err_sys(err, errno, "open directory %s", unit->path);
		return REFRESH_FAILED;
	}
	ret = state_read_of(unitfd, refresh->home.user, unit->path, &state, NULL);
	known = ret > 0;
	if (is_crashed(refresh, unit, ret, &state)) {
		crash_changes(unitfd, unit, known ? &state : NULL, crashed_r);
		return judge_in_use(unitfd, unit, "was being written when the host crashed", err);
	}
	if (known)
		state_disown(&state, refresh->mc->host);
	verdict = remote_judge(remote, known ? &state : NULL, NULL);
	if (verdict == REMOTE_NEWER || (known && state.installing) ||
	    (known && refresh->options->discard_important && state.unmerged.count > 0))
		outcome = judge_obsolete(refresh, unitfd, unit, known ? &state : NULL, err);
	/* What is replaced gets a new .state. */
	if (known && outcome != REFRESH_CHANGED && state.standing != standing_of(outcome))
		refresh_judge_note(refresh, unitfd, standing_of(outcome));
	return outcome;
}
