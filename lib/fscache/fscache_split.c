#include "fscache/fscache_split.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/expand.h"
#include "base/fsx.h"
#include "base/wildcard.h"
#include "fscache/fscache_log.h"

/* Whether a folder of objects has any: what was emptied by hand has nothing to look at
 * before it is used again. What cannot be opened may be one. */
static bool has_entry(int dirfd, const char *name)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int fd = fsx_opendir(dirfd, name);

	if (fd < 0)
		return errno != ENOENT && errno != ENOTDIR && errno != ELOOP;
	fsx_dir_open(&dir, fd);
	return fsx_dir_next(&dir, &entry) != 0;
}

/* Whether there is a log, or a folder of objects. Takes the handle over. */
static int is_cache(int fd)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret;

	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		if (strcmp(entry.name, FSCACHE_LOG_FILE) == 0 ||
		    (strspn(entry.name, "0123456789abcdef") == 2 && entry.name[2] == '\0' &&
		     has_entry(dir.fd, entry.name)))
			return 1;
	}
	return ret;
}

static int find_in(int fd, const char *path, const char *mask, struct str_vec *paths);

/* What follows the component that led to this folder. What can't be looked at may be a cache:
 * who then opens it says why. Takes the handle over. */
static void take(int fd, const char *path, const char *rest, struct str_vec *paths)
{
	int ret = *rest != '\0' ? find_in(fd, path, rest + 1, paths) : is_cache(fd);

	if (ret < 0 || (ret > 0 && *rest == '\0'))
		vec_push(paths, xstrdup(path));
}

/* Take the folders in `fd` that the first component of the mask allows. The handle is
 * taken over. 0, or -1 with errno. */
static int find_in(int fd, const char *path, const char *mask, struct str_vec *paths)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	autofree char *component = xstrndup(mask, strcspn(mask, "/"));
	const char *rest = mask + strlen(component);
	struct fsx_entry entry;
	int ret;

	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		autofree char *below = NULL;
		int inner;

		if (entry.type != DT_DIR || entry.name[0] == '.' ||
		    strcmp(entry.name, "lost+found") == 0 || !wildcard_match(component, entry.name))
			continue;
		below = xasprintf("%s/%s", path, entry.name);
		inner = fsx_opendir(dir.fd, entry.name);
		if (inner >= 0)
			take(inner, below, rest, paths);
		else if (errno != ENOENT)
			vec_push(paths, xstrdup(below));
	}
	return ret;
}

static int in_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int fscache_split_find(const char *pattern, struct str_vec *paths, struct err *err)
{
	autobuf struct buf top = { 0 }, mask = { 0 };
	const char *variable_part = expand_static_prefix(pattern, &top);
	size_t before = paths->count;
	struct err problem = { 0 };
	int fd;

	if (expand_mask(variable_part, &mask, err) < 0)
		return -1;
	fd = fsx_open_root(top.len > 0 ? buf_str(&top) : "/", &problem);
	if (fd < 0 && problem.code == ERR_NOTFOUND)
		return 0;
	if (fd < 0) {
		if (err)
			*err = problem;
		return -1;
	}
	if (mask.len == 0)
		take(fd, buf_str(&top), "", paths);
	else if (find_in(fd, buf_str(&top), buf_str(&mask), paths) < 0)
		return err_sys(err, errno, "cannot read %s", buf_str(&top));
	if (paths->count > before)
		qsort(paths->items + before, paths->count - before, sizeof *paths->items, in_order);
	return 0;
}
