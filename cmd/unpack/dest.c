#include "dest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/mem.h"

/* Only "may not" keeps its own exit code: all else is "can't create". */
static int cannot(int errnum, const char *what, struct err *err)
{
	err_sys(err, errnum, "%s", what);
	if (err && err->code != ERR_NOPERM)
		err->code = ERR_CANTCREATE;
	return -1;
}

/* 1 there are entries, 0 none. */
static int has_entries(int dirfd, struct err *err)
{
	autodir struct fsx_dir dir;
	struct fsx_entry entry;
	int ret, fd = fsx_opendir(dirfd, "");

	if (fd < 0) {
		fsx_dir_open(&dir, -1);
		return cannot(errno, "open", err);
	}
	fsx_dir_open(&dir, fd);
	ret = fsx_dir_next(&dir, &entry);
	return ret < 0 ? cannot(errno, "read", err) : ret;
}

static int check_existing(struct dest *dest, const char *path, struct err *err)
{
	autofd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int filled;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cannot(errno, "open", err);
	filled = has_entries(fd, err);
	if (filled < 0)
		return -1;
	if (filled > 0)
		return err_set(err, ERR_CANTCREATE, "not empty");
	dest->exists = true;
	dest->mode = st.st_mode & 07777;
	dest->uid = st.st_uid;
	dest->gid = st.st_gid;
	return 0;
}

int dest_open(struct dest *dest, const char *path, struct err *err)
{
	autofree char *whole = realpath(path, NULL);
	char *slash;

	*dest = (struct dest){ .parent = -1, .fd = -1 };
	if (!whole && errno != ENOENT)
		return cannot(errno, "find", err);
	if (whole && check_existing(dest, whole, err) < 0)
		return -1;
	if (!whole) {
		whole = xstrdup(path);
		/* A link to nowhere is somebody's mistake, not a name that is free. */
		if (readlink(path, (char[1]){ 0 }, 1) >= 0)
			return err_set(err, ERR_CANTCREATE,
				       "a link to something that is not there");
	}
	while ((slash = strrchr(whole, '/')) && slash[1] == '\0' && slash != whole)
		*slash = '\0';
	dest->name = xstrdup(slash ? slash + 1 : whole);
	if (*dest->name == '\0' || strcmp(dest->name, ".") == 0 || strcmp(dest->name, "..") == 0)
		return err_set(err, ERR_CANTCREATE, "not a folder that can be made");
	if (slash)
		slash[slash == whole ? 1 : 0] = '\0';
	dest->parent = open(slash ? whole : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dest->parent < 0 ? cannot(errno, "open the folder that it is in", err) : 0;
}

int dest_stage(struct dest *dest, struct err *err)
{
	unsigned long random;
	char *name;

	clock_random(&random, sizeof random);
	name = xasprintf(".unpack-%lx", random);
	if (mkdirat(dest->parent, name, 0700) < 0) {
		cannot(errno, "make a temporary folder beside it", err);
		free(name);
		return -1;
	}
	dest->staging = name;
	dest->fd = openat(dest->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return dest->fd < 0 ? cannot(errno, "open a temporary folder beside it", err) : 0;
}

int dest_commit(struct dest *dest, struct err *err)
{
	if (dest->exists &&
	    (fchown(dest->fd, dest->uid, dest->gid) < 0 || fchmod(dest->fd, dest->mode) < 0))
		return cannot(errno, "give it its owner and mode", err);
	/* Over an empty directory, or none: never over what came meanwhile. */
	if (renameat(dest->parent, dest->staging, dest->parent, dest->name) < 0)
		return cannot(errno, "put it in place", err);
	free(dest->staging);
	dest->staging = NULL;
	return 0;
}

void dest_close(struct dest *dest)
{
	if (dest->staging)
		fsx_remove_tree(dest->parent, dest->staging, NULL);
	if (dest->fd >= 0)
		close(dest->fd);
	if (dest->parent >= 0)
		close(dest->parent);
	free(dest->staging);
	free(dest->name);
	*dest = (struct dest){ .parent = -1, .fd = -1 };
}
