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

struct found {
	size_t cache;
	uint64_t inode, bytes;
	int64_t pid;
};
VEC(found_vec, struct found);

struct search {
	char **paths; /* without links; NULL where there is none */
	size_t count;
	struct found_vec found;
	bool all;
};

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

static void look_at_handle(struct search *search, int64_t pid, int fds, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	ssize_t len;

	if (fstatat(fds, name, &st, 0) < 0 || !S_ISREG(st.st_mode) || st.st_nlink > 0)
		return;
	len = readlinkat(fds, name, path, sizeof path - 1);
	if (len < (ssize_t)strlen(DELETED))
		return;
	path[len] = '\0';
	if (strcmp(path + len - strlen(DELETED), DELETED) != 0)
		return;
	for (size_t i = 0; i < search->count; i++) {
		if (!search->paths[i] || !is_below(path, search->paths[i]))
			continue;
		vec_push(&search->found,
			 ((struct found){ i, st.st_ino, (uint64_t)st.st_blocks * 512, pid }));
		return;
	}
}

static void look_at_process(struct search *search, int proc, const char *name)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	char path[64];
	int fd;

	snprintf(path, sizeof path, "%.20s/fd", name);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		search->all &= may(fd) >= 0;
		return;
	}
	fsx_dir_open(&dir, fd);
	while (fsx_dir_next(&dir, &entry) > 0)
		look_at_handle(search, strtoll(name, NULL, 10), dir.fd, entry.name);
}

static int by_file(const void *a, const void *b)
{
	const struct found *left = a, *right = b;

	if (left->cache != right->cache)
		return left->cache < right->cache ? -1 : 1;
	return left->inode < right->inode ? -1 : left->inode > right->inode;
}

static int by_process(const void *a, const void *b)
{
	const struct found *left = a, *right = b;

	if (left->cache != right->cache)
		return left->cache < right->cache ? -1 : 1;
	if (left->pid != right->pid)
		return left->pid < right->pid ? -1 : 1;
	return left->inode < right->inode ? -1 : left->inode > right->inode;
}

static bool is_same_file(const struct found *found, size_t i)
{
	return i > 0 && found[i].cache == found[i - 1].cache &&
	       found[i].inode == found[i - 1].inode;
}

static void name_of(int proc, struct fscache_holder *holder)
{
	autobuf struct buf text = { 0 };
	char path[64];

	snprintf(path, sizeof path, "%lld/comm", (long long)holder->pid);
	fsx_read(proc, path, 4096, &text, NULL);
	snprintf(holder->command, sizeof holder->command, "%.*s",
		 (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
}

static void sum_up(struct search *search, int proc, struct fscache_held *held_r,
		   struct fscache_holder_vec *holders)
{
	struct found *found = search->found.items;
	size_t count = search->found.count;

	if (count == 0)
		return;
	qsort(found, count, sizeof *found, by_file);
	for (size_t i = 0; i < count; i++) {
		if (is_same_file(found, i))
			continue;
		held_r[found[i].cache].files++;
		held_r[found[i].cache].bytes += found[i].bytes;
	}
	qsort(found, count, sizeof *found, by_process);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || found[i].cache != found[i - 1].cache ||
		    found[i].pid != found[i - 1].pid) {
			struct fscache_holder holder = { found[i].cache, found[i].pid };

			name_of(proc, &holder);
			vec_push(holders, holder);
		} else if (is_same_file(found, i)) {
			continue;
		}
		holders->items[holders->count - 1].files++;
		holders->items[holders->count - 1].bytes += found[i].bytes;
	}
}

int fscache_held_find(const struct str_vec *paths, struct fscache_held *held_r,
		      struct fscache_holder_vec *holders, bool *all_r, struct err *err)
{
	struct search search = { .paths = xcalloc(paths->count + 1, sizeof(char *)),
				 .count = paths->count,
				 .all = true };
	autodir struct fsx_dir proc = { .fd = -1 };
	struct fsx_entry entry;
	int fd = fsx_open_root("/proc", err);
	int ret = -1;

	if (fd >= 0) {
		fsx_dir_open(&proc, fd);
		for (size_t i = 0; i < paths->count; i++) {
			search.paths[i] = realpath(paths->items[i], NULL);
			held_r[i] = (struct fscache_held){ 0 };
		}
		while ((ret = fsx_dir_next(&proc, &entry)) > 0) {
			if (isdigit((unsigned char)entry.name[0]))
				look_at_process(&search, proc.fd, entry.name);
		}
		if (ret < 0)
			err_sys(err, errno, "cannot read /proc");
		sum_up(&search, proc.fd, held_r, holders);
	}
	*all_r = search.all;
	for (size_t i = 0; i < paths->count; i++)
		free(search.paths[i]);
	free(search.paths);
	vec_free(&search.found);
	return ret;
}
