#include "metacache/crash.h"

#include <stdio.h>
#include <string.h>

enum boot_verdict crash_judge(const struct metacache *mc, const struct unit *unit, int state_ret,
			      const struct state *state, const char **why_r)
{
	const char *why = "it has no .state of its own";
	enum boot_verdict verdict = BOOT_UNKNOWN;

	if (state_ret < 0)
		verdict = boot_judge(&mc->boots, NULL, NULL,
				     unit->state_stat.mtime_ns > unit->newest_ns
					     ? unit->state_stat.mtime_ns
					     : unit->newest_ns,
				     &why);
	else if (state_ret > 0)
		verdict = boot_judge(&mc->boots, state->boot, state->host, unit->newest_ns, &why);
	if (verdict == BOOT_CRASHED && state_ret > 0 && !state->base) {
		why = "it was never uploaded";
		verdict = BOOT_UNKNOWN;
	}
	if (why_r)
		*why_r = verdict == BOOT_UNKNOWN ? why : NULL;
	return verdict;
}

static void add_text(struct crash_loss *loss, const struct unit *unit,
		     const struct changes_found *found, const char *kept)
{
	size_t len = strlen(loss->text);

	snprintf(loss->text + len, sizeof loss->text - len, "%s%s: %s", len > 0 ? "; " : "",
		 unit_title(unit), found->reason);
	len = strlen(loss->text);
	if (found->appends > 0)
		snprintf(loss->text + len, sizeof loss->text - len, ", %llu mails",
			 (unsigned long long)found->appends);
	len = strlen(loss->text);
	snprintf(loss->text + len, sizeof loss->text - len, kept ? ", kept in %s" : ", lost", kept);
	if (strlen(loss->text) == sizeof loss->text - 1)
		memcpy(loss->text + sizeof loss->text - 4, "...", 4);
}

void crash_note(const struct metacache *mc, const char *user, const struct unit *unit,
		const struct changes_found *found, const char *kept, struct crash_loss *loss)
{
	bool important = changes_to_keep(found);

	loss->units++;
	if (important) {
		loss->important++;
		add_text(loss, unit, found, kept);
	}
	log_warning(mc->log, "metacache_unit_discarded", log_str("user", user),
		    log_str("unit", unit->path),
		    log_str("changes", registry_changes_name(found->class)),
		    log_str("reason", found->reason[0] ? found->reason : NULL),
		    log_uint("appends", found->appends), log_str("kept", kept),
		    log_bool("lost", important && !kept));
}
