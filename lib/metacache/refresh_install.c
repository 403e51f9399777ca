#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "metacache/changes.h"
#include "metacache/install.h"
#include "metacache/refresh_impl.h"
#include "metacache/session.h"

#define NEW_HOME "home"

/* What is here was uploaded, but what is to replace it does not contain it. */
static bool is_unmerged_here(const struct refresh *refresh, const struct fetch_job *job)
{
	const struct str_vec *unmerged = &job->fetched.state.unmerged;
	autostate struct state here = { 0 };

	if (unmerged->count == 0 || !refresh_read_here(refresh, job->remote->id, &here))
		return false;
	for (size_t i = 0; i < here.diffs.count; i++) {
		if (str_vec_has(unmerged, here.diffs.items[i]))
			return true;
	}
	return here.base && str_vec_has(unmerged, here.base);
}

/* What was only here is put aside first, where a kill does not reach it. */
static int install_crashed(struct refresh *refresh, struct fetch_job *job, int homefd,
			   const struct unit *judged)
{
	const struct metacache_root *root = refresh->home.root;
	autofd int unitfd = refresh_job_keeps(job) ? fsx_opendir(homefd, judged->path) : -1;
	char kept[CRASH_PATH_MAX] = "";

	if (refresh_job_keeps(job) && crash_keep(root, unitfd, judged, kept, &job->err) < 0)
		return -1;
	if (install_unit(refresh->staging.fd, job->name, homefd, &job->fetched.state,
			 &judged->files, &refresh->mc->rules, &job->err) < 0) {
		if (kept[0])
			(void)fsx_remove_tree(root->fd, kept + strlen(root->path) + 1, NULL);
		return -1;
	}
	crash_note(refresh->mc, refresh->home.user, judged, &job->crashed, kept[0] ? kept : NULL,
		   &refresh->result->loss);
	return 0;
}

static void note_conflict(const struct refresh *refresh, const char *path)
{
	autofd int unitfd = fsx_opendir(refresh->homefd, path);

	if (unitfd >= 0)
		refresh_judge_note(refresh, unitfd, STATE_CONFLICT);
}

static int install_job(struct refresh *refresh, struct fetch_job *job, int homefd)
{
	const struct state *state = &job->fetched.state;
	const struct unit *judged = unit_find(&refresh->scanned, state->unit);

	if (job->crashed.reason && judged)
		return install_crashed(refresh, job, homefd, judged);
	if (is_unmerged_here(refresh, job)) {
		note_conflict(refresh, state->unit);
		err_set(&job->err, ERR_CONFLICT,
			"%s: storage has bundles of two writers, and one of them is what is here; "
			"both are kept",
			state->unit[0] ? state->unit : "root indexes");
		return err_hint(&job->err, REFRESH_HINT_CHOOSE);
	}
	return install_unit(refresh->staging.fd, job->name, homefd, state,
			    judged ? &judged->files : NULL, &refresh->mc->rules, &job->err);
}

static void note_job(struct refresh *refresh, struct fetch_job *job, bool ok)
{
	if (ok) {
		refresh->result->bytes += job->fetched.bytes;
		if (job->fetched.state.unmerged.count == 0) {
			refresh_note(refresh, job->outcome, NULL);
			return;
		}
		err_set(&job->err, ERR_CONFLICT,
			"storage has bundles of two writers; the newest was taken, %s is kept "
			"there",
			job->fetched.state.unmerged.items[0]);
		refresh_note(refresh, REFRESH_CONFLICT, &job->err);
		return;
	}
	refresh_note(refresh, job->err.code == ERR_CONFLICT ? REFRESH_CONFLICT : REFRESH_FAILED,
		     &job->err);
}

int refresh_install_home(struct refresh *refresh, struct err *err)
{
	autofd int homefd = -1;
	const char *slash = strrchr(refresh->home.path, '/');
	autofree char *parent =
		xstrndup(refresh->home.path, slash ? (size_t)(slash - refresh->home.path) : 0);

	if (mkdirat(refresh->staging.fd, NEW_HOME, 0700) < 0)
		return err_sys(err, errno, "make a directory in .trash");
	homefd = fsx_opendir(refresh->staging.fd, NEW_HOME);
	if (homefd < 0)
		return err_sys(err, errno, "open a directory in .trash");
	for (size_t i = 0; i < refresh->job_count; i++) {
		struct fetch_job *job = &refresh->jobs[i];

		if (job->ret < 0 || install_job(refresh, job, homefd) < 0) {
			if (err)
				*err = job->err;
			return -1;
		}
		note_job(refresh, job, true);
	}
	if (slash && fsx_mkdirs(refresh->home.root->fd, parent, 0700, err) < 0)
		return -1;
	if (renameat2(refresh->staging.fd, NEW_HOME, refresh->home.root->fd, refresh->home.path,
		      RENAME_NOREPLACE) < 0)
		return err_sys(err, errno, "move %s into place", refresh->home.path);
	refresh->homefd = steal_fd(&homefd);
	return 0;
}

void refresh_install_gone(struct refresh *refresh)
{
	for (size_t i = 0; i < refresh->scanned.units.count; i++) {
		const struct unit *unit = &refresh->scanned.units.items[i];
		autostate struct state state = { 0 };
		autofd int unitfd = -1;
		autofree char *path = xasprintf("%s/%s", refresh->home.path, unit->path);
		autotrash struct trash trash = TRASH_NONE;
		const struct bundle_gone *gone = bundle_gone_find(refresh_gone(refresh), unit->id);

		if (unit->kind != UNIT_FOLDER || unit->has_subdirs || !gone ||
		    !changes_is_left_over(refresh->homefd, refresh->home.user, unit, gone))
			continue;
		unitfd = fsx_opendir(refresh->homefd, unit->path);
		if (unitfd < 0 ||
		    state_read_of(unitfd, refresh->home.user, unit->path, &state, NULL) <= 0 ||
		    refresh_judge_important(unitfd, unit, &state) ||
		    session_unit_in_use(unitfd, unit, NULL) != 0 ||
		    trash_take(refresh->home.root, path, &trash, NULL) < 0)
			continue;
		if (install_is_as_judged(trash.fd, unit->path, &unit->files, &refresh->mc->rules))
			trash_judged(&trash);
		else /* else the next sweep finds it, and keeps it */
			(void)trash_put_back(&trash, refresh->home.root, path, NULL);
	}
}

void refresh_install_units(struct refresh *refresh)
{
	for (size_t i = 0; i < refresh->job_count; i++) {
		struct fetch_job *job = &refresh->jobs[i];
		bool ok = job->ret > 0 && install_job(refresh, job, refresh->homefd) == 0;

		note_job(refresh, job, ok);
	}
}
