#include "fscache/fscache_held.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"

#define DELETED " (deleted)"

/* 1, 0 the process or handle has ended, -1 not permitted. */
static int may(int ret)
{
	if (ret >= 0)
		return 1;
	return errno == EACCES || errno == EPERM ? -1 : 0;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static void name_of(int proc, struct fscache_held_handle *handle)
{
	autobuf struct buf text = { 0 };
	char path[64];

	snprintf(path, sizeof path, "%lld/comm", (long long)handle->pid);
	fsx_read(proc, path, 4096, &text, NULL);
	snprintf(handle->command, sizeof handle->command, "%.*s",
		 (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
}

/* The path without its mark, if the file is deleted. 1, 0, -1 not permitted. */
static int read_path(int fds, const char *name, char path[PATH_MAX])
{
	ssize_t len = readlinkat(fds, name, path, PATH_MAX - 1);
	size_t mark = strlen(DELETED);

	if (len < 0)
		return may(-1);
	path[len] = '\0';
	if ((size_t)len < mark || strcmp(path + len - mark, DELETED) != 0)
		return 0;
	path[(size_t)len - mark] = '\0';
	return 1;
}

/* The file itself is only touched if it is deleted: another may be on a server that is gone. */
static void look_at_handle(struct fscache_held_look *look, int proc, int64_t pid, int fds,
			   const char *name)
{
	struct fscache_held_handle handle = { .pid = pid };
	const struct fscache_held_handle *last = look->handles.items + look->handles.count;
	char path[PATH_MAX];
	struct stat st;
	int ret = read_path(fds, name, path);

	look->all &= ret >= 0;
	if (ret <= 0)
		return;
	if (fstatat(fds, name, &st, 0) < 0) {
		look->all &= may(-1) >= 0;
		return;
	}
	if (!S_ISREG(st.st_mode) || st.st_nlink > 0)
		return;
	handle.path = xstrdup(path);
	handle.inode = st.st_ino;
	handle.bytes = (uint64_t)st.st_blocks * 512;
	if (look->handles.count > 0 && last[-1].pid == pid)
		memcpy(handle.command, last[-1].command, sizeof handle.command);
	else
		name_of(proc, &handle);
	vec_push(&look->handles, handle);
}

static void look_at_process(struct fscache_held_look *look, int proc, const char *name)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	char path[64];
	int fd;

	snprintf(path, sizeof path, "%.20s/fd", name);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		look->all &= may(fd) >= 0;
		return;
	}
	fsx_dir_open(&dir, fd);
	while (fsx_dir_next(&dir, &entry) > 0)
		look_at_handle(look, proc, strtoll(name, NULL, 10), dir.fd, entry.name);
}

static int by_file(const void *a, const void *b)
{
	const struct fscache_held_handle *left = a, *right = b;

	if (left->cache != right->cache)
		return left->cache < right->cache ? -1 : 1;
	return left->inode < right->inode ? -1 : left->inode > right->inode;
}

static int by_process(const void *a, const void *b)
{
	const struct fscache_held_handle *left = a, *right = b;

	if (left->cache != right->cache)
		return left->cache < right->cache ? -1 : 1;
	if (left->pid != right->pid)
		return left->pid < right->pid ? -1 : 1;
	return left->inode < right->inode ? -1 : left->inode > right->inode;
}

static bool is_same_file(const struct fscache_held_handle *found, size_t i)
{
	return i > 0 && found[i].cache == found[i - 1].cache &&
	       found[i].inode == found[i - 1].inode;
}

static void sum_up(const struct fscache_held_handle *found, size_t count,
		   struct fscache_held *held_r)
{
	for (size_t i = 0; i < count; i++) {
		if (is_same_file(found, i))
			continue;
		held_r[found[i].cache].files++;
		held_r[found[i].cache].bytes += found[i].bytes;
	}
}

static void sum_up_processes(const struct fscache_held_handle *found, size_t count,
			     struct fscache_holder_vec *holders)
{
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || found[i].cache != found[i - 1].cache ||
		    found[i].pid != found[i - 1].pid) {
			struct fscache_holder holder = { found[i].cache, found[i].pid };

			memcpy(holder.command, found[i].command, sizeof holder.command);
			vec_push(holders, holder);
		} else if (is_same_file(found, i)) {
			continue;
		}
		holders->items[holders->count - 1].files++;
		holders->items[holders->count - 1].bytes += found[i].bytes;
	}
}

void fscache_held_look(struct fscache_held_look *look_r)
{
	autodir struct fsx_dir proc = { .fd = -1 };
	struct fsx_entry entry;
	bool has_first = false;
	int fd = fsx_open_root("/proc", NULL);
	int ret;

	*look_r = (struct fscache_held_look){ .all = fd >= 0 };
	if (fd < 0)
		return;
	fsx_dir_open(&proc, fd);
	while ((ret = fsx_dir_next(&proc, &entry)) > 0) {
		has_first |= strcmp(entry.name, "1") == 0;
		if (isdigit((unsigned char)entry.name[0]))
			look_at_process(look_r, proc.fd, entry.name);
	}
	/* Mounted with hidepid=2 it does not even list the processes of others. */
	look_r->all &= ret == 0 && has_first;
}

void fscache_held_free(struct fscache_held_look *look)
{
	for (size_t i = 0; i < look->handles.count; i++)
		free(look->handles.items[i].path);
	vec_free(&look->handles);
}

/* Move those of the caches to the front; returns how many. */
static size_t choose(struct fscache_held_look *look, char *const *paths, size_t count)
{
	size_t chosen = 0;

	for (size_t i = 0; i < look->handles.count; i++) {
		struct fscache_held_handle *items = look->handles.items, one = items[i];

		for (one.cache = 0; one.cache < count; one.cache++) {
			if (paths[one.cache] && is_below(one.path, paths[one.cache]))
				break;
		}
		if (one.cache == count)
			continue;
		items[i] = items[chosen];
		items[chosen++] = one;
	}
	return chosen;
}

void fscache_held_sum(struct fscache_held_look *look, const struct str_vec *paths,
		      struct fscache_held *held_r, struct fscache_holder_vec *holders)
{
	autofree char **real = xcalloc(paths->count + 1, sizeof *real);
	size_t count;

	for (size_t i = 0; i < paths->count; i++) {
		real[i] = realpath(paths->items[i], NULL);
		held_r[i] = (struct fscache_held){ .is_known = look->all && real[i] };
	}
	count = choose(look, real, paths->count);
	for (size_t i = 0; i < paths->count; i++)
		free(real[i]);
	if (count == 0)
		return;
	qsort(look->handles.items, count, sizeof *look->handles.items, by_file);
	sum_up(look->handles.items, count, held_r);
	qsort(look->handles.items, count, sizeof *look->handles.items, by_process);
	sum_up_processes(look->handles.items, count, holders);
}
