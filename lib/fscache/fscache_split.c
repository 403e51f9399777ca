#include "fscache/fscache_split.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/expand.h"
#include "base/fsx.h"
#include "base/wildcard.h"
#include "fscache/fscache_log.h"

/* Whether there is a log, or a folder of objects. Takes the handle over. */
static int is_cache(int fd)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret;

	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		if (strcmp(entry.name, FSCACHE_LOG_FILE) == 0 ||
		    (strspn(entry.name, "0123456789abcdef") == 2 && entry.name[2] == '\0'))
			return 1;
	}
	return ret;
}

static int find_in(int fd, const char *path, const char *mask, struct str_vec *paths,
		   struct err *err);

/* What follows the component that led to this folder. Takes the handle over. */
static int take(int fd, const char *path, const char *rest, struct str_vec *paths, struct err *err)
{
	int ret;

	if (*rest != '\0')
		return find_in(fd, path, rest + 1, paths, err);
	ret = is_cache(fd);
	if (ret > 0)
		vec_push(paths, xstrdup(path));
	return ret < 0 ? err_sys(err, errno, "cannot read %s", path) : 0;
}

/* Take the folders in `fd` that the first component of the mask allows. The handle is
 * taken over. */
static int find_in(int fd, const char *path, const char *mask, struct str_vec *paths,
		   struct err *err)
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
		if (inner < 0 && errno != ENOENT)
			return err_sys(err, errno, "cannot open %s", below);
		if (inner >= 0 && take(inner, below, rest, paths, err) < 0)
			return -1;
	}
	return ret < 0 ? err_sys(err, errno, "cannot read %s", path) : 0;
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
		return take(fd, buf_str(&top), "", paths, err);
	if (find_in(fd, buf_str(&top), buf_str(&mask), paths, err) < 0)
		return -1;
	if (paths->count > before)
		qsort(paths->items + before, paths->count - before, sizeof *paths->items, in_order);
	return 0;
}
