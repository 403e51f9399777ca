#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/expand.h"
#include "base/fsx.h"
#include "metacache/metacache.h"

struct walk {
	const struct metacache *mc;
	const struct metacache_root *root;
	metacache_home_fn *fn;
	metacache_strange_fn *strange_fn; /* may be NULL */
	void *ctx;
	struct buf path; /* below the root */
	struct buf user;
	uint64_t strange;
	struct err first; /* what could not be read */
	struct err *err;
};

static int walk_level(struct walk *walk, int parent, size_t levels_left);

static void pass_over(struct walk *walk)
{
	walk->strange++;
	if (walk->strange_fn)
		walk->strange_fn(walk->ctx, walk->root, buf_str(&walk->path));
}

/* In a root before this one: a user with two homes is met once, and refused by
 * metacache_find(). */
static bool was_met(const struct walk *walk)
{
	for (const struct metacache_root *root = walk->mc->roots; root < walk->root; root++) {
		autofd int fd = fsx_opendir(root->fd, buf_str(&walk->path));

		if (fd >= 0)
			return true;
	}
	return false;
}

static int visit(struct walk *walk)
{
	int ret;

	buf_truncate(&walk->user, 0);
	ret = expand_invert(walk->mc->settings->home_pattern, buf_str(&walk->path), &walk->user,
			    walk->err);
	if (ret < 0)
		return -1;
	if (ret == 0) {
		pass_over(walk);
		return 0;
	}
	if (was_met(walk))
		return 0;
	return walk->fn(walk->ctx, walk->root, buf_str(&walk->path), buf_str(&walk->user),
			walk->err);
}

static int enter(struct walk *walk, int parent, const struct fsx_entry *entry, size_t levels_left)
{
	size_t len = walk->path.len;
	int ret = 0;

	if (len == 0 && entry->name[0] == '.') /* .trash */
		return 0;
	if (len > 0)
		buf_putc(&walk->path, '/');
	buf_puts(&walk->path, entry->name);
	if (entry->type != DT_DIR)
		pass_over(walk);
	else
		ret = levels_left == 1 ? visit(walk) : walk_level(walk, parent, levels_left - 1);
	buf_truncate(&walk->path, len);
	return ret;
}

static void note_unreadable(struct walk *walk)
{
	if (walk->first.code == ERR_NONE)
		err_sys(&walk->first, errno, "read directory %s/%s", walk->root->path,
			buf_str(&walk->path));
}

/* Reads the directory walk->path, which is in `parent` by its last component. */
static int walk_level(struct walk *walk, int parent, size_t levels_left)
{
	const char *name = strrchr(buf_str(&walk->path), '/');
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret, fd;

	name = name ? name + 1 : buf_str(&walk->path);
	fd = fsx_opendir(parent, name);
	if (fd < 0) {
		if (errno != ENOENT)
			note_unreadable(walk);
		return 0;
	}
	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		if (enter(walk, dir.fd, &entry, levels_left) < 0)
			return -1;
	}
	if (ret < 0)
		note_unreadable(walk);
	return 0;
}

static int walk_roots(struct walk *walk)
{
	const struct metacache *mc = walk->mc;
	int ret = 0;

	for (size_t i = 0; i < mc->root_count && ret == 0; i++) {
		walk->root = &mc->roots[i];
		ret = walk_level(walk, walk->root->fd, expand_depth(mc->settings->home_pattern));
	}
	buf_free(&walk->path);
	buf_free(&walk->user);
	if (ret < 0 || walk->first.code == ERR_NONE)
		return ret;
	if (walk->err)
		*walk->err = walk->first;
	return 1;
}

int metacache_walk(const struct metacache *mc, metacache_home_fn *fn, void *ctx,
		   uint64_t *strange_r, struct err *err)
{
	struct walk walk = { .mc = mc, .fn = fn, .ctx = ctx, .err = err };
	int ret = walk_roots(&walk);

	if (strange_r)
		*strange_r = walk.strange;
	return ret;
}

int metacache_walk_strange(const struct metacache *mc, metacache_home_fn *fn,
			   metacache_strange_fn *strange, void *ctx, struct err *err)
{
	struct walk walk = { .mc = mc, .fn = fn, .strange_fn = strange, .ctx = ctx, .err = err };

	return walk_roots(&walk);
}
