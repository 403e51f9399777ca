#include "metacache/install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/str.h"
#include "metacache/blocks.h"
#include "metacache/session.h"
#include "metacache/trash.h"

/* The directory that holds `path`, and its last component. */
static int open_parent(int homefd, const char *path, const char **last_r, struct err *err)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = xstrndup(path, slash ? (size_t)(slash - path) : 0);
	int fd;

	*last_r = slash ? slash + 1 : path;
	if (slash && fsx_mkdirs(homefd, parent, 0700, err) < 0)
		return -1;
	fd = fsx_opendir(homefd, parent);
	if (fd < 0)
		err_sys(err, errno, "open directory %s", parent);
	return fd;
}

/* In this order an old dovecot.index never stands beside a log that does not
 * reach back to it: the logs come first, then what refers to them. */
static int rank_of(const char *name)
{
	if (str_ends_with(name, ".log.2"))
		return 0;
	if (str_ends_with(name, ".log"))
		return 1;
	return str_ends_with(name, ".cache") ? 2 : 3;
}

/* What was there comes to where the new file was. 1; 0 nothing was there, or it is
 * lost, since the filesystem can't exchange; -1. */
static int exchange_file(int from_fd, int to_fd, const char *name)
{
	if (renameat2(from_fd, name, to_fd, name, RENAME_EXCHANGE) == 0)
		return 1;
	if (errno != ENOENT && errno != EINVAL && errno != ENOSYS)
		return -1;
	return renameat(from_fd, name, to_fd, name);
}

/* *exchanged_r counts the old files that are where the new ones were. */
static int move_files(int from_fd, int to_fd, const struct unit_file_vec *files,
		      size_t *exchanged_r, struct err *err)
{
	for (int rank = 0; rank <= 3; rank++) {
		for (size_t i = 0; i < files->count; i++) {
			const char *name = files->items[i].name;
			int ret = rank_of(name) == rank ? exchange_file(from_fd, to_fd, name) : 0;

			if (ret < 0)
				return err_sys(err, errno, "move %s into place", name);
			*exchanged_r += (size_t)ret;
		}
	}
	return 0;
}

static bool has_file(const struct unit_file_vec *files, const char *name)
{
	for (size_t i = 0; i < files->count; i++) {
		if (strcmp(files->items[i].name, name) == 0)
			return true;
	}
	return false;
}

static int move_others(int dirfd, int aside_fd, const struct unit_file_vec *old,
		       const struct unit_file_vec *files, size_t *moved_r, struct err *err)
{
	for (size_t i = 0; i < old->count; i++) {
		const char *name = old->items[i].name;

		if (has_file(files, name))
			continue;
		if (renameat(dirfd, name, aside_fd, name) == 0)
			++*moved_r;
		else if (errno != ENOENT)
			return err_sys(err, errno, "remove %s", name);
	}
	return 0;
}

/* Those that were here are of another base, and so are as good as none. */
static int move_blocks(int from_fd, int to_fd, struct err *err)
{
	if (renameat(from_fd, BLOCKS_NAME, to_fd, BLOCKS_NAME) < 0 && errno != ENOENT)
		return err_sys(err, errno, "move " BLOCKS_NAME " into place");
	return 0;
}

/* On both sides: for the next refresh, and for the sweep that finds the files that came out. */
static int write_marks(int from_fd, int to_fd, const struct state *state,
		       const struct unit_file_vec *judged, struct err *err)
{
	struct state mark = *state;

	mark.installing = state->base;
	mark.replaced = *judged;
	if (state_write(from_fd, &mark, NULL, err) < 0)
		return -1;
	return state_write(to_fd, &mark, NULL, err);
}

bool install_is_as_judged(int dirfd, const char *path, const struct unit_file_vec *judged,
			  const struct unit_rules *rules)
{
	autounit struct unit now = { 0 };

	if (unit_rescan(dirfd, path, rules, &now, NULL) < 0)
		return false;
	return state_same_files(judged, &now.files) && session_unit_in_use(dirfd, &now, NULL) == 0;
}

static int changed_meanwhile(const char *path, struct err *err)
{
	err_set(err, ERR_BUSY, "%s was changed or opened while it was being replaced",
		path[0] ? path : "root indexes");
	return err_again(err);
}

/* The old files, now in staging, were looked at before they were replaced. Whoever
 * changed one just then changed it for nothing: so it is kept. */
static int check_replaced(int staging_fd, const char *name, int old_fd, const struct state *state,
			  const struct unit_file_vec *judged, const struct unit_rules *rules,
			  struct err *err)
{
	char kept[TRASH_KEPT_SIZE];

	if (install_is_as_judged(old_fd, state->unit, judged, rules))
		return 0;
	if (trash_keep_part(staging_fd, name, kept, err) < 0)
		return -1;
	err_set(err, ERR_CONFLICT,
		"%s was changed while it was being replaced; its old files are kept in " TRASH_DIR
		"/%s",
		state->unit[0] ? state->unit : "root indexes", kept);
	return -1;
}

static int replace_files(int from_fd, int to_fd, const struct state *state,
			 const struct unit_rules *rules, size_t *replaced_r, struct err *err)
{
	autounit struct unit old = { 0 };

	if (unit_rescan(to_fd, state->unit, rules, &old, err) < 0 ||
	    move_files(from_fd, to_fd, &state->files, replaced_r, err) < 0 ||
	    move_others(to_fd, from_fd, &old.files, &state->files, replaced_r, err) < 0 ||
	    move_blocks(from_fd, to_fd, err) < 0)
		return -1;
	return state_write(to_fd, state, NULL, err);
}

/* Under a name that a sweep judges, as long as the old files have not been looked at again. */
static int install_files(int staging_fd, const char *name, int to_fd, const struct state *state,
			 const struct unit_file_vec *judged, const struct unit_rules *rules,
			 struct err *err)
{
	autofree char *swap = xasprintf(TRASH_SWAP "%s", name);
	autofd int from_fd = fsx_opendir(staging_fd, name);
	size_t replaced = 0;

	if (from_fd < 0)
		return err_sys(err, errno, "open a directory in " TRASH_DIR);
	if (!install_is_as_judged(to_fd, state->unit, judged, rules))
		return changed_meanwhile(state->unit, err);
	if (renameat(staging_fd, name, staging_fd, swap) < 0)
		return err_sys(err, errno, "rename a directory in " TRASH_DIR);
	if (write_marks(from_fd, to_fd, state, judged, err) < 0) {
		(void)renameat(staging_fd, swap, staging_fd, name);
		return -1;
	}
	if (replace_files(from_fd, to_fd, state, rules, &replaced, err) < 0)
		return -1;
	/* A filesystem that can't exchange has lost them. */
	if (replaced >= judged->count &&
	    check_replaced(staging_fd, swap, from_fd, state, judged, rules, err) < 0)
		return -1;
	if (renameat(staging_fd, swap, staging_fd, name) < 0)
		return err_sys(err, errno, "rename a directory in " TRASH_DIR);
	return 0;
}

/* 1 a directory with none in it, 0 with some, -1. */
static int is_leaf(int dirfd, const char *path, const struct unit_rules *rules, struct err *err)
{
	autounit struct unit unit = { 0 };

	if (unit_rescan(dirfd, path, rules, &unit, err) < 0)
		return -1;
	return unit.kind == UNIT_FTS || !unit.has_subdirs;
}

/* Exchange the directories under a name that a sweep judges, should this be killed
 * before it has looked again. 1 done; 0 the filesystem can't; -1. `old_fd` is of the
 * directory that is there, which ends up in staging. */
static int swap_in(int staging_fd, const char *name, int parent, const char *last, int old_fd,
		   const struct state *state, const struct unit_file_vec *judged,
		   const struct unit_rules *rules, struct err *err)
{
	autofree char *swap = xasprintf(TRASH_SWAP "%s", name);
	bool exchanged;
	int saved;

	if (renameat(staging_fd, name, staging_fd, swap) < 0)
		return err_sys(err, errno, "rename a directory in " TRASH_DIR);
	exchanged = renameat2(staging_fd, swap, parent, last, RENAME_EXCHANGE) == 0;
	saved = errno;
	if (exchanged && !install_is_as_judged(old_fd, state->unit, judged, rules)) {
		if (renameat2(staging_fd, swap, parent, last, RENAME_EXCHANGE) < 0)
			return err_sys(err, errno, "put %s back", state->unit);
		(void)renameat(staging_fd, swap, staging_fd, name);
		return changed_meanwhile(state->unit, err);
	}
	if (renameat(staging_fd, swap, staging_fd, name) < 0)
		return err_sys(err, errno, "rename a directory in " TRASH_DIR);
	/* Some filesystems can't exchange. */
	if (!exchanged && saved != EINVAL && saved != ENOSYS)
		return err_sys(err, saved, "swap in %s", state->unit);
	return exchanged;
}

static int install_over(int staging_fd, const char *name, int parent, const char *last,
			const struct state *state, const struct unit_file_vec *judged,
			const struct unit_rules *rules, struct err *err)
{
	autofd int to_fd = fsx_opendir(parent, last);
	int ret;

	if (to_fd < 0)
		return err_sys(err, errno, "open directory %s", state->unit);
	ret = is_leaf(to_fd, state->unit, rules, err);
	if (ret > 0)
		ret = swap_in(staging_fd, name, parent, last, to_fd, state, judged, rules, err);
	if (ret != 0)
		return ret < 0 ? -1 : 0;
	return install_files(staging_fd, name, to_fd, state, judged, rules, err);
}

int install_unit(int staging_fd, const char *name, int homefd, const struct state *state,
		 const struct unit_file_vec *judged, const struct unit_rules *rules,
		 struct err *err)
{
	static const struct unit_file_vec none;
	autofd int parent = -1;
	const char *last, *path = state->unit;

	judged = judged ? judged : &none;
	if (path[0] == '\0')
		return install_files(staging_fd, name, homefd, state, judged, rules, err);
	parent = open_parent(homefd, path, &last, err);
	if (parent < 0)
		return -1;
	if (renameat2(staging_fd, name, parent, last, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST && errno != ENOTEMPTY)
		return err_sys(err, errno, "move %s into place", path);
	return install_over(staging_fd, name, parent, last, state, judged, rules, err);
}
