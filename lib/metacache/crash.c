#include "metacache/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "metacache/trash.h"

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

static bool log_is_whole(int unitfd, const struct unit *unit)
{
	autofd int fd = fsx_openat(unitfd, changes_log_name(unit), O_RDONLY | O_CLOEXEC, 0);
	struct index_position end;
	struct fsx_stat st;

	return fd >= 0 && fsx_fstat(fd, &st) == 0 &&
	       index_changes_end(fd, st.size_bytes, &end, NULL) == 0 && end.offset == st.size_bytes;
}

void crash_changes(int unitfd, const struct unit *unit, const struct state *state,
		   struct changes_found *found_r)
{
	changes_find(unitfd, unit, state, found_r);
	if (found_r->class != CHANGES_UNIMPORTANT || unit->kind == UNIT_FTS ||
	    log_is_whole(unitfd, unit))
		return;
	found_r->class = CHANGES_IMPORTANT;
	found_r->reason = "its log is torn";
}

static int link_file(int fromfd, int tofd, const char *name, struct err *err)
{
	const char *slash = strrchr(name, '/');
	autofree char *dir = xstrndup(name, slash ? (size_t)(slash - name) : 0);

	if (slash && fsx_mkdirs(tofd, dir, 0700, err) < 0)
		return -1;
	if (linkat(fromfd, name, tofd, name, 0) < 0)
		return err_sys(err, errno, "keep %s", name);
	return 0;
}

int crash_keep(const struct metacache_root *root, int unitfd, const struct unit *unit,
	       char path_r[CRASH_PATH_MAX], struct err *err)
{
	autotrash struct trash trash = TRASH_NONE;

	if (trash_new(root, &trash, err) < 0)
		return -1;
	for (size_t i = 0; i < unit->files.count; i++) {
		if (link_file(unitfd, trash.fd, unit->files.items[i].name, err) < 0)
			return -1;
	}
	if (unit->has_state && link_file(unitfd, trash.fd, UNIT_STATE_NAME, err) < 0)
		return -1;
	return trash_keep(&trash, root, path_r, err);
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
