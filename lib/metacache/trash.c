#include "metacache/trash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "bundle/bundle_name.h"

#define TRIES 16

static int open_trash(const struct metacache_root *root, struct err *err)
{
	int fd;

	if (mkdirat(root->fd, TRASH_DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make directory %s/" TRASH_DIR, root->path);
	fd = fsx_opendir(root->fd, TRASH_DIR);
	if (fd < 0)
		err_sys(err, errno, "open directory %s/" TRASH_DIR, root->path);
	return fd;
}

/* A sweep may have taken the entry between its making and its locking. */
static bool is_still_there(int trash_fd, const char *name, int fd)
{
	struct stat by_name, by_fd;

	return fstatat(trash_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(fd, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino &&
	       by_name.st_dev == by_fd.st_dev;
}

static int make_entry(struct trash *trash)
{
	for (int i = 0; i < TRIES; i++) {
		autofd int fd = -1;

		bundle_name_unique(trash->name);
		if (mkdirat(trash->trash_fd, trash->name, 0700) < 0)
			return -1;
		fd = fsx_opendir(trash->trash_fd, trash->name);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || flock(fd, LOCK_EX) < 0)
			return -1;
		if (is_still_there(trash->trash_fd, trash->name, fd)) {
			trash->fd = steal_fd(&fd);
			return 0;
		}
	}
	errno = EAGAIN;
	return -1;
}

int trash_new(const struct metacache_root *root, struct trash *trash_r, struct err *err)
{
	*trash_r = TRASH_NONE;
	trash_r->trash_fd = open_trash(root, err);
	if (trash_r->trash_fd < 0)
		return -1;
	if (make_entry(trash_r) < 0) {
		err_sys(err, errno, "make a directory in %s/" TRASH_DIR, root->path);
		cleanup_fd(&trash_r->trash_fd);
		*trash_r = TRASH_NONE;
		return -1;
	}
	return 0;
}

/* One that was begun and not allocated is none. */
static void make_reserve(int spare_fd)
{
	autofd int fd = fsx_openat(spare_fd, TRASH_RESERVE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || (fstat(fd, &st) == 0 && st.st_size >= TRASH_RESERVE_BYTES))
		return;
	if (posix_fallocate(fd, 0, TRASH_RESERVE_BYTES) != 0)
		(void)unlinkat(spare_fd, TRASH_RESERVE, 0);
}

void trash_prepare(const struct metacache_root *root)
{
	autofd int trash_fd = open_trash(root, NULL);
	autofd int fd = -1;

	if (trash_fd < 0)
		return;
	(void)mkdirat(trash_fd, TRASH_SPARE, 0700);
	fd = fsx_opendir(trash_fd, TRASH_SPARE);
	if (fd < 0)
		return;
	(void)mkdirat(fd, TRASH_EMPTY, 0700);
	make_reserve(fd);
}

bool trash_release(const struct metacache_root *root)
{
	autofd int fd = fsx_opendir(root->fd, TRASH_DIR "/" TRASH_SPARE);

	return fd >= 0 && unlinkat(fd, TRASH_RESERVE, 0) == 0;
}

static void name_taken(struct trash *trash)
{
	memcpy(trash->name, TRASH_TAKEN, sizeof TRASH_TAKEN - 1);
	bundle_name_unique(trash->name + sizeof TRASH_TAKEN - 1);
}

/* The unique part of an entry's name. */
static const char *unique_of(const struct trash *trash)
{
	bool taken = strncmp(trash->name, TRASH_TAKEN, sizeof TRASH_TAKEN - 1) == 0;

	return trash->name + (taken ? sizeof TRASH_TAKEN - 1 : 0);
}

static int move_away(const struct metacache_root *root, const char *path, struct trash *trash)
{
	return renameat2(root->fd, path, trash->trash_fd, trash->name, RENAME_NOREPLACE);
}

static int take_spare(const struct trash *trash)
{
	autofd int fd = fsx_opendir(trash->trash_fd, TRASH_SPARE);

	return fd < 0 ? -1 : renameat(fd, TRASH_EMPTY, trash->trash_fd, trash->name);
}

static int swap_away(const struct metacache_root *root, const char *path, struct trash *trash)
{
	int saved;

	if (mkdirat(trash->trash_fd, trash->name, 0700) < 0 &&
	    ((errno != ENOSPC && errno != EDQUOT) || take_spare(trash) < 0))
		return -1;
	if (renameat2(root->fd, path, trash->trash_fd, trash->name, RENAME_EXCHANGE) == 0) {
		trash->swapped = true;
		return 0;
	}
	saved = errno;
	unlinkat(trash->trash_fd, trash->name, AT_REMOVEDIR);
	errno = saved;
	return -1;
}

/* Locked before it can be swept. */
static int take_with(int (*move)(const struct metacache_root *, const char *, struct trash *),
		     const struct metacache_root *root, const char *path, struct trash *trash_r,
		     struct err *err)
{
	autofd int fd = fsx_opendir(root->fd, path);
	int saved;

	*trash_r = TRASH_NONE;
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_sys(err, errno, "take %s/%s", root->path, path);
	trash_r->trash_fd = open_trash(root, err);
	if (trash_r->trash_fd < 0)
		return -1;
	name_taken(trash_r);
	if (move(root, path, trash_r) == 0) {
		trash_r->fd = steal_fd(&fd);
		return 0;
	}
	saved = errno;
	cleanup_fd(&trash_r->trash_fd);
	*trash_r = TRASH_NONE;
	return err_sys(err, saved, "move %s/%s away", root->path, path);
}

int trash_take(const struct metacache_root *root, const char *path, struct trash *trash_r,
	       struct err *err)
{
	return take_with(move_away, root, path, trash_r, err);
}

int trash_swap(const struct metacache_root *root, const char *path, struct trash *trash_r,
	       struct err *err)
{
	if (take_with(swap_away, root, path, trash_r, err) == 0)
		return 1;
	return err->sys == EINVAL || err->sys == ENOSYS ? 0 : -1;
}

void trash_vacate(const struct metacache_root *root, const char *path)
{
	(void)unlinkat(root->fd, path, AT_REMOVEDIR);
	trash_prepare(root);
}

void trash_judged(struct trash *trash)
{
	char name[sizeof trash->name];

	snprintf(name, sizeof name, "%s", unique_of(trash));
	if (renameat(trash->trash_fd, trash->name, trash->trash_fd, name) == 0)
		memcpy(trash->name, name, sizeof name);
}

static void let_go(struct trash *trash)
{
	close(trash->fd);
	close(trash->trash_fd);
	*trash = TRASH_NONE;
}

int trash_put_back(struct trash *trash, const struct metacache_root *root, const char *path,
		   struct err *err)
{
	unsigned how = trash->swapped ? RENAME_EXCHANGE : RENAME_NOREPLACE;

	if (renameat2(trash->trash_fd, trash->name, root->fd, path, how) < 0)
		return err_sys(err, errno, "put %s/%s back", root->path, path);
	/* What has come into the empty directory meanwhile is left to a sweep, which keeps it. */
	if (trash->swapped)
		(void)unlinkat(trash->trash_fd, trash->name, AT_REMOVEDIR);
	let_go(trash);
	return 0;
}

/* Something of a user is still in it; if it can't be told, too. */
static bool is_unjudged(const struct trash *trash)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret, fd;

	if (unique_of(trash) != trash->name)
		return true;
	fd = fsx_opendir(trash->fd, ".");
	if (fd < 0)
		return true;
	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		if (strncmp(entry.name, TRASH_SWAP, sizeof TRASH_SWAP - 1) == 0)
			return true;
	}
	return ret < 0;
}

void trash_free(struct trash *trash)
{
	if (trash->fd < 0)
		return;
	if (!is_unjudged(trash))
		fsx_remove_tree(trash->trash_fd, trash->name, NULL);
	let_go(trash);
}

int trash_keep(struct trash *trash, const struct metacache_root *root, char path_r[4096],
	       struct err *err)
{
	char kept[sizeof TRASH_KEPT + sizeof trash->name];
	int ret;

	snprintf(kept, sizeof kept, TRASH_KEPT "%s", unique_of(trash));
	snprintf(path_r, 4096, "%s/" TRASH_DIR "/%s", root->path, kept);
	ret = renameat(trash->trash_fd, trash->name, trash->trash_fd, kept);
	if (ret < 0)
		err_sys(err, errno, "keep %s", path_r);
	let_go(trash);
	return ret;
}

int trash_keep_part(int entry_fd, const char *name, char kept_r[TRASH_KEPT_SIZE], struct err *err)
{
	char path[TRASH_KEPT_SIZE + 3];

	memcpy(kept_r, TRASH_KEPT, sizeof TRASH_KEPT - 1);
	bundle_name_unique(kept_r + sizeof TRASH_KEPT - 1);
	snprintf(path, sizeof path, "../%s", kept_r);
	if (renameat(entry_fd, name, entry_fd, path) < 0)
		return err_sys(err, errno, "keep " TRASH_DIR "/%s", name);
	return 0;
}
