/* What the unit tests share: a scratch directory for each test, files and trees
 * in it, child processes that are told when to go on. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS(table) (sizeof(table) / sizeof *(table))
#define LIMIT_S 120 /* a test that hangs is ended by SIGALRM; valgrind is slow */

struct scratch {
	char path[64];
	int fd;
};

static inline int scratch_setup(void **state)
{
	static struct scratch scratch;

	alarm(LIMIT_S);
	strcpy(scratch.path, "/tmp/metacache-unit-XXXXXX");
	if (!mkdtemp(scratch.path))
		return -1;
	scratch.fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &scratch;
	return scratch.fd < 0 ? -1 : 0;
}

static inline int scratch_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int scratch_teardown(void **state)
{
	const struct scratch *scratch = *state;

	close(scratch->fd);
	return nftw(scratch->path, scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

#define scratch_test(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

/* Make the directories that a path needs. */
static inline void put_parents(int dirfd, const char *path)
{
	char part[PATH_MAX];

	for (const char *slash = path; (slash = strchr(slash, '/')) != NULL; slash++) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (mkdirat(dirfd, part, 0700) < 0)
			assert_int_equal(errno, EEXIST);
	}
}

static inline void put_bytes(int dirfd, const char *path, const void *data, size_t len)
{
	int fd;

	put_parents(dirfd, path);
	fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static inline void put(int dirfd, const char *path, const char *text)
{
	put_bytes(dirfd, path, text, strlen(text));
}

static inline void put_dir(int dirfd, const char *path)
{
	put_parents(dirfd, path);
	assert_int_equal(mkdirat(dirfd, path, 0700), 0);
}

static inline void put_link(int dirfd, const char *path, const char *target)
{
	put_parents(dirfd, path);
	assert_int_equal(symlinkat(target, dirfd, path), 0);
}

static inline bool has(int dirfd, const char *path)
{
	return faccessat(dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline void assert_text(int dirfd, const char *path, const char *expected)
{
	char text[4096];
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	n = read(fd, text, sizeof text - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	assert_string_equal(text, expected);
}

/* The number of entries of a directory. */
static inline size_t count_entries(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char block[4096] __attribute__((aligned(8)));
	size_t count = 0;
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = getdents64(fd, block, sizeof block)) > 0) {
		for (ssize_t at = 0; at < n; count++)
			at += *(unsigned short *)(void *)(block + at + 16); /* d_reclen */
	}
	close(fd);
	return count - 2;
}

/* Put a file system of a `size` ("size=64k") at `name`, seen by this process only. skip()s the
 * test where that is not permitted. */
static inline void mount_small(struct scratch *scratch, const char *name, const char *size)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", scratch->path, name);
	assert_int_equal(mkdir(path, 0700), 0);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", path, "tmpfs", 0, size) < 0) {
		print_message("no mount is permitted here (%s): not tested\n", strerror(errno));
		skip();
	}
	/* The old handle shows what was there before. */
	close(scratch->fd);
	scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline void unmount_small(const struct scratch *scratch, const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", scratch->path, name);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

/* A process that says when it is ready and goes on when it is told. It must not
 * use cmocka's asserts: what it returns is its exit code. */
struct child {
	pid_t pid;
	int to, from;
};
struct child_side {
	int to, from;
};
typedef int child_fn(const struct child_side *side, void *arg);

static inline void child_ready(const struct child_side *side)
{
	if (write(side->to, "r", 1) != 1)
		_exit(98);
}

/* The parent's end of the pipe closing counts as the word to go on. */
static inline void child_pause(const struct child_side *side)
{
	char c;

	if (read(side->from, &c, 1) < 0)
		_exit(97);
}

static inline struct child child_start(child_fn *fn, void *arg)
{
	struct child child;
	int down[2], up[2];

	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	fflush(NULL);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		struct child_side side = { .to = up[1], .from = down[0] };

		close(down[1]);
		close(up[0]);
		_exit(fn(&side, arg));
	}
	close(down[0]);
	close(up[1]);
	child.to = down[1];
	child.from = up[0];
	return child;
}

static inline void child_await(const struct child *child)
{
	char c;

	assert_int_equal(read(child->from, &c, 1), 1);
}

static inline void child_go(const struct child *child)
{
	assert_int_equal(write(child->to, "g", 1), 1);
}

/* The exit code, or -1 when a signal ended it. */
static inline int child_end(const struct child *child)
{
	int status;

	close(child->to);
	close(child->from);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
