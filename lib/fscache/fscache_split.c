#include "fscache/fscache_split.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/expand.h"
#include "base/fsx.h"
#include "base/wildcard.h"

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
		if (*rest == '\0') {
			vec_push(paths, steal_ptr(&below));
			continue;
		}
		inner = fsx_opendir(dir.fd, entry.name);
		if (inner < 0 && errno != ENOENT)
			return err_sys(err, errno, "cannot open %s", below);
		if (inner >= 0 && find_in(inner, below, rest + 1, paths, err) < 0)
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
	int fd;

	if (expand_mask(variable_part, &mask, err) < 0)
		return -1;
	fd = fsx_open_root(top.len > 0 ? buf_str(&top) : "/", err);
	if (fd < 0)
		return -1;
	if (mask.len == 0) {
		cleanup_fd(&fd);
		vec_push(paths, xstrdup(buf_str(&top)));
		return 0;
	}
	if (find_in(fd, buf_str(&top), buf_str(&mask), paths, err) < 0)
		return -1;
	if (paths->count > before)
		qsort(paths->items + before, paths->count - before, sizeof *paths->items, in_order);
	return 0;
}
