#include "metacache/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "bundle/bundle_name.h"

#define TRASH_DIR ".trash"
#define KEPT_PREFIX "kept-"
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

void trash_prepare(const struct metacache_root *root)
{
	(void)mkdirat(root->fd, TRASH_DIR, 0700);
}

static int take(const struct metacache_root *root, const char *path, struct trash *trash)
{
	autofd int fd = fsx_opendir(root->fd, path);

	/* Locked before it can be swept. */
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -1;
	bundle_name_unique(trash->name);
	if (renameat2(root->fd, path, trash->trash_fd, trash->name, RENAME_NOREPLACE) < 0)
		return -1;
	trash->fd = steal_fd(&fd);
	return 0;
}

int trash_take(const struct metacache_root *root, const char *path, struct trash *trash_r,
	       struct err *err)
{
	*trash_r = TRASH_NONE;
	trash_r->trash_fd = open_trash(root, err);
	if (trash_r->trash_fd < 0)
		return -1;
	if (take(root, path, trash_r) == 0)
		return 0;
	err_sys(err, errno, "move %s/%s away", root->path, path);
	cleanup_fd(&trash_r->trash_fd);
	*trash_r = TRASH_NONE;
	return -1;
}

int trash_put_back(struct trash *trash, const struct metacache_root *root, const char *path,
		   struct err *err)
{
	if (renameat2(trash->trash_fd, trash->name, root->fd, path, RENAME_NOREPLACE) < 0)
		return err_sys(err, errno, "put %s/%s back", root->path, path);
	close(trash->fd);
	close(trash->trash_fd);
	*trash = TRASH_NONE;
	return 0;
}

void trash_free(struct trash *trash)
{
	if (trash->fd < 0)
		return;
	fsx_remove_tree(trash->trash_fd, trash->name, NULL);
	close(trash->fd);
	close(trash->trash_fd);
	*trash = TRASH_NONE;
}

int trash_keep(struct trash *trash, const struct metacache_root *root, char path_r[4096],
	       struct err *err)
{
	char kept[sizeof KEPT_PREFIX + sizeof trash->name];
	int ret;

	snprintf(kept, sizeof kept, KEPT_PREFIX "%s", trash->name);
	snprintf(path_r, 4096, "%s/" TRASH_DIR "/%s", root->path, kept);
	ret = renameat(trash->trash_fd, trash->name, trash->trash_fd, kept);
	if (ret < 0)
		err_sys(err, errno, "keep %s", path_r);
	close(trash->fd);
	close(trash->trash_fd);
	*trash = TRASH_NONE;
	return ret;
}

static int sweep_entry(int trash_fd, const struct fsx_entry *entry, struct err *err)
{
	autofd int fd = -1;

	if (strncmp(entry->name, KEPT_PREFIX, sizeof KEPT_PREFIX - 1) == 0)
		return 0;
	if (entry->type == DT_DIR) {
		fd = fsx_opendir(trash_fd, entry->name);
		if (fd < 0 && errno == ENOENT)
			return 0;
		if (fd < 0)
			return err_sys(err, errno, "open directory " TRASH_DIR "/%s", entry->name);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return 0; /* somebody is at work in it */
	}
	return fsx_remove_tree(trash_fd, entry->name, err);
}

int trash_sweep(const struct metacache_root *root, struct err *err)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret, result = 0, fd = fsx_opendir(root->fd, TRASH_DIR);

	if (fd < 0)
		return errno == ENOENT
			       ? 0
			       : err_sys(err, errno, "open directory %s/" TRASH_DIR, root->path);
	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		if (sweep_entry(dir.fd, &entry, err) < 0)
			result = -1;
	}
	return ret < 0 ? err_sys(err, errno, "read directory %s/" TRASH_DIR, root->path) : result;
}

void trash_sweep_all(const struct metacache *mc)
{
	for (size_t i = 0; i < mc->root_count; i++) {
		struct err err = { 0 };

		if (trash_sweep(&mc->roots[i], &err) < 0)
			metacache_warn(mc, "metacache_trash_failed", NULL, &err);
	}
}
