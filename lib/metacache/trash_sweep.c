#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/fsx.h"
#include "base/str.h"
#include "metacache/crash.h"
#include "metacache/session.h"
#include "metacache/state.h"
#include "metacache/trash.h"

struct sweep {
	const struct metacache_root *root;
	const struct unit_rules *rules;
	int trash_fd;
	struct err *err;
};

enum verdict {
	SWEEP_DELETE, /* nothing would be missed but what can be made again, or may go */
	SWEEP_KEEP,   /* something is not, or can't be told */
	SWEEP_LEAVE,  /* somebody has it open */
};

static enum verdict judge_unit(int unitfd, const struct unit *unit)
{
	autostate struct state state = { 0 };
	struct changes_found found;

	if (unit->files.count == 0)
		return SWEEP_DELETE;
	if (session_unit_in_use(unitfd, unit, NULL) != 0)
		return SWEEP_LEAVE;
	if (state_read(unitfd, &state, NULL) <= 0 || !state.base)
		return SWEEP_KEEP;
	/* Replaced file by file: what had not gone in, and what had come out. */
	if (state.installing)
		return state_accounts_for(&state, &unit->files) ? SWEEP_DELETE : SWEEP_KEEP;
	/* It may have been taken because of a crash. */
	crash_changes(unitfd, unit, &state, &found);
	return changes_to_keep(&found) ? SWEEP_KEEP : SWEEP_DELETE;
}

static enum verdict judge_home(int homefd, const struct unit_rules *rules)
{
	autohome struct home home = { 0 };
	enum verdict worst = SWEEP_DELETE;

	if (unit_scan(homefd, rules, &home, NULL) < 0 || home.foreign)
		return SWEEP_KEEP;
	for (size_t i = 0; i < home.units.count && worst != SWEEP_LEAVE; i++) {
		autofd int unitfd = fsx_opendir(homefd, home.units.items[i].path);
		enum verdict verdict =
			unitfd < 0 ? SWEEP_KEEP : judge_unit(unitfd, &home.units.items[i]);

		if (verdict > worst)
			worst = verdict;
	}
	return worst;
}

/* A home, or the directory of one unit. A folder looks like a home without others. */
static enum verdict judge(int fd, const struct unit_rules *rules)
{
	autostate struct state state = { 0 };
	autounit struct unit unit = { 0 };

	unit_classify("", rules, &unit);
	if (state_read(fd, &state, NULL) > 0) {
		unit_free(&unit);
		unit_classify(state.unit, rules, &unit);
	}
	if (unit.kind != UNIT_FTS)
		return judge_home(fd, rules);
	unit_free(&unit);
	if (unit_rescan(fd, state.unit, rules, &unit, NULL) < 0)
		return SWEEP_KEEP;
	return judge_unit(fd, &unit);
}

/* The operator is told once, by this sweep. */
static void tell(const struct sweep *sweep, const char *kept)
{
	err_set(sweep->err, ERR_DATA,
		"indexes that a killed program had moved away hold changes that were not "
		"uploaded; they are kept in %s/" TRASH_DIR "/%s",
		sweep->root->path, kept);
}

static void keep_entry(const struct sweep *sweep, const char *name)
{
	char kept[TRASH_KEPT_SIZE + sizeof TRASH_TAKEN];

	snprintf(kept, sizeof kept, TRASH_KEPT "%.32s", name + sizeof TRASH_TAKEN - 1);
	if (renameat(sweep->trash_fd, name, sweep->trash_fd, kept) < 0)
		err_sys(sweep->err, errno, "keep " TRASH_DIR "/%s", name);
	else
		tell(sweep, kept);
}

/* What was swapped out for something new when its program was killed. */
static enum verdict sweep_swapped(const struct sweep *sweep, int entryfd)
{
	enum verdict worst = SWEEP_DELETE;
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret, fd = fsx_opendir(entryfd, ".");

	if (fd < 0)
		return SWEEP_LEAVE;
	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		autofd int old = -1;
		enum verdict verdict;
		char kept[TRASH_KEPT_SIZE];

		if (!str_starts_with(entry.name, TRASH_SWAP) || entry.type != DT_DIR)
			continue;
		old = fsx_opendir(entryfd, entry.name);
		verdict = old < 0 ? SWEEP_LEAVE : judge(old, sweep->rules);
		if (verdict == SWEEP_KEEP) {
			if (trash_keep_part(entryfd, entry.name, kept, sweep->err) < 0)
				verdict = SWEEP_LEAVE;
			else
				tell(sweep, kept);
		}
		if (verdict > worst)
			worst = verdict;
	}
	return ret < 0 ? SWEEP_LEAVE : worst;
}

static int sweep_directory(const struct sweep *sweep, const char *name)
{
	autofd int fd = fsx_opendir(sweep->trash_fd, name);
	bool taken = str_starts_with(name, TRASH_TAKEN);
	enum verdict verdict;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_sys(sweep->err, errno, "open directory " TRASH_DIR "/%s", name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0; /* somebody is at work in it */
	verdict = taken ? judge(fd, sweep->rules) : sweep_swapped(sweep, fd);
	if (taken && verdict == SWEEP_KEEP) {
		keep_entry(sweep, name);
		return -1;
	}
	if (verdict == SWEEP_LEAVE)
		return 0;
	if (fsx_remove_tree(sweep->trash_fd, name, sweep->err) < 0)
		return -1;
	return verdict == SWEEP_KEEP ? -1 : 0;
}

static int sweep_entry(const struct sweep *sweep, const struct fsx_entry *entry)
{
	if (str_starts_with(entry->name, TRASH_KEPT))
		return 0;
	if (entry->type != DT_DIR)
		return fsx_remove_tree(sweep->trash_fd, entry->name, sweep->err);
	return strcmp(entry->name, TRASH_SPARE) == 0 ? 0 : sweep_directory(sweep, entry->name);
}

int trash_sweep(const struct metacache_root *root, const struct unit_rules *rules, struct err *err)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	struct sweep sweep = { .root = root, .rules = rules, .err = err };
	int ret, result = 0, fd = fsx_opendir(root->fd, TRASH_DIR);

	if (fd < 0)
		return errno == ENOENT
			       ? 0
			       : err_sys(err, errno, "open directory %s/" TRASH_DIR, root->path);
	fsx_dir_open(&dir, fd);
	sweep.trash_fd = fd;
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		if (sweep_entry(&sweep, &entry) < 0)
			result = -1;
	}
	return ret < 0 ? err_sys(err, errno, "read directory %s/" TRASH_DIR, root->path) : result;
}

void trash_sweep_all(const struct metacache *mc)
{
	for (size_t i = 0; i < mc->root_count; i++) {
		struct err err = { 0 };

		if (trash_sweep(&mc->roots[i], &mc->rules, &err) < 0)
			metacache_warn(mc, "metacache_trash_failed", NULL, &err);
	}
}
