#include "base/fsx.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"

#define DIR_BLOCK 32768
#define DEPTH_MAX 256 /* directories that one removal descends into */

int fsx_open_root(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		err_sys(err, errno, "open directory %s", path);
	return fd;
}

/* The next component of *path into name; false at the end. */
static bool next_component(const char **path, char name[NAME_MAX + 1])
{
	size_t len = strcspn(*path, "/");

	if (len == 0 || len > NAME_MAX)
		return false;
	memcpy(name, *path, len);
	name[len] = '\0';
	*path += len;
	*path += strspn(*path, "/");
	return true;
}

/* openat() without following the last component; ELOOP where that is a link, which a
 * directory that was asked for hides behind ENOTDIR. */
static int open_component(int at, const char *name, int flags, mode_t mode)
{
	int fd = openat(at, name, flags | O_NOFOLLOW, mode);
	struct stat st;

	if (fd >= 0 || errno != ENOTDIR)
		return fd;
	errno = fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) ? ELOOP
											: ENOTDIR;
	return -1;
}

/* For kernels before 5.6: the same by hand. */
static int open_by_components(int dirfd, const char *path, int flags, mode_t mode)
{
	autofd int parent = -1;
	int at = dirfd;
	char name[NAME_MAX + 1];

	for (;;) {
		if (!next_component(&path, name)) {
			errno = EXDEV;
			return -1;
		}
		if (*path == '\0')
			return open_component(at, name, flags, mode);
		int next = open_component(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

		if (next < 0)
			return -1;
		if (parent >= 0)
			close(parent);
		at = parent = next;
	}
}

/* The kernel would allow those that stay below. */
static bool has_dotdot(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")) != NULL; at += 2) {
		if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
			return true;
	}
	return false;
}

int fsx_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC),
		.mode = creates ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (has_dotdot(path)) {
		errno = EXDEV;
		return -1;
	}
	do
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd < 0 && errno == ENOSYS)
		return open_by_components(dirfd, path, flags | O_CLOEXEC, mode);
	return (int)fd;
}

int fsx_opendir(int dirfd, const char *path)
{
	return fsx_openat(dirfd, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
}

int fsx_mkdirs(int dirfd, const char *path, mode_t mode, struct err *err)
{
	const char *whole = path;
	char name[NAME_MAX + 1];
	autofd int parent = -1;
	int at = dirfd;

	if (has_dotdot(path) || *path == '/')
		return err_set(err, ERR_USAGE, "make directory %s: it may lead out", whole);
	while (next_component(&path, name)) {
		int next;

		if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
			return err_sys(err, errno, "make directory %s", whole);
		next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return err_sys(err, errno, "open directory %s", whole);
		if (parent >= 0)
			close(parent);
		at = parent = next;
	}
	return *path == '\0' ? 0 : err_sys(err, ENAMETOOLONG, "make directory %s", whole);
}

static int read_all(int fd, const char *path, size_t max, struct buf *out, struct err *err)
{
	size_t before = out->len;

	for (;;) {
		size_t had = out->len;
		ssize_t n = read(fd, buf_reserve(out, 4096), 4096);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read %s", path);
		if (n == 0)
			return 0;
		out->len = had + (size_t)n;
		out->data[out->len] = '\0';
		if (out->len - before > max)
			return err_set(err, ERR_DATA, "%s is larger than %zu bytes", path, max);
	}
}

int fsx_read(int dirfd, const char *path, size_t max, struct buf *out, struct err *err)
{
	autofd int fd = fsx_openat(dirfd, path, O_RDONLY | O_NONBLOCK, 0);
	struct fsx_stat st;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fsx_fstat(fd, &st) < 0)
		return err_sys(err, errno, "open %s", path);
	if (!S_ISREG(st.mode))
		return err_set(err, ERR_DATA, "%s is not a regular file", path);
	return read_all(fd, path, max, out, err) < 0 ? -1 : 1;
}

#define STAT_MASK (STATX_TYPE | STATX_MODE | STATX_INO | STATX_SIZE | STATX_MTIME)

static void from_statx(const struct statx *stx, struct fsx_stat *stat_r)
{
	stat_r->ino = stx->stx_ino;
	stat_r->size_bytes = stx->stx_size;
	stat_r->mtime_ns = stx->stx_mtime.tv_sec * 1000000000 + stx->stx_mtime.tv_nsec;
	stat_r->mode = stx->stx_mode;
}

int fsx_stat(int dirfd, const char *name, struct fsx_stat *stat_r)
{
	struct statx stx;

	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STAT_MASK, &stx) < 0)
		return errno == ENOENT ? 0 : -1;
	from_statx(&stx, stat_r);
	return 1;
}

int fsx_fstat(int fd, struct fsx_stat *stat_r)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STAT_MASK, &stx) < 0)
		return -1;
	from_statx(&stx, stat_r);
	return 0;
}

int fsx_birth(int fd, struct fsx_birth *birth_r)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &stx) < 0)
		return -1;
	birth_r->ino = stx.stx_ino;
	birth_r->born_ns = stx.stx_btime.tv_sec * 1000000000 + stx.stx_btime.tv_nsec;
	return (stx.stx_mask & STATX_BTIME) != 0 && birth_r->born_ns != 0;
}

static int write_whole(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Whatever stands there by this name (a leftover, a link, a FIFO that nobody reads)
 * is removed, never opened. */
static int create_temporary(int dirfd, const char *temporary, mode_t mode)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL;
	int fd = fsx_openat(dirfd, temporary, flags, mode);

	if (fd < 0 && errno == EEXIST && unlinkat(dirfd, temporary, 0) == 0)
		fd = fsx_openat(dirfd, temporary, flags, mode);
	return fd;
}

static int write_temporary(int dirfd, const char *temporary, const void *data, size_t len,
			   mode_t mode, bool durable, struct fsx_stat *stat_r)
{
	autofd int fd = create_temporary(dirfd, temporary, mode);

	if (fd < 0 || write_whole(fd, data, len) < 0 || (durable && fsync(fd) < 0))
		return -1;
	return stat_r ? fsx_fstat(fd, stat_r) : 0;
}

int fsx_replace(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
		bool durable, struct fsx_stat *stat_r, struct err *err)
{
	autofree char *temporary = xasprintf(".%s.tmp", name);

	if (write_temporary(dirfd, temporary, data, len, mode, durable, stat_r) < 0 ||
	    renameat(dirfd, temporary, dirfd, name) < 0) {
		int saved = errno;

		unlinkat(dirfd, temporary, 0);
		return err_sys(err, saved, "write %s", name);
	}
	if (durable && fsync(dirfd) < 0)
		return err_sys(err, errno, "sync the directory of %s", name);
	return 0;
}

bool fsx_is_temporary(const char *name)
{
	size_t len = strlen(name);

	return name[0] == '.' && len > 5 && strcmp(name + len - 4, ".tmp") == 0;
}

void fsx_dir_open(struct fsx_dir *dir, int fd)
{
	*dir = (struct fsx_dir){ .fd = fd, .block = xmalloc(DIR_BLOCK) };
}

void fsx_dir_close(struct fsx_dir *dir)
{
	free(dir->block);
	dir->block = NULL;
	cleanup_fd(&dir->fd);
	dir->fd = -1;
}

static int type_of(int dirfd, const char *name, unsigned char *type_r)
{
	struct fsx_stat st = { 0 };
	int ret = fsx_stat(dirfd, name, &st);

	*type_r = (unsigned char)IFTODT(st.mode);
	return ret;
}

int fsx_dir_next(struct fsx_dir *dir, struct fsx_entry *entry_r)
{
	for (;;) {
		const struct dirent64 *entry;
		int ret = 1;

		if (dir->at == dir->used) {
			ssize_t n = getdents64(dir->fd, dir->block, DIR_BLOCK);

			if (n < 0 && errno == ENOENT)
				return 0; /* the directory itself is gone */
			if (n <= 0)
				return (int)n;
			dir->used = (size_t)n;
			dir->at = 0;
		}
		entry = (const struct dirent64 *)(const void *)(dir->block + dir->at);
		dir->at += entry->d_reclen;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		entry_r->name = entry->d_name;
		entry_r->type = entry->d_type;
		if (entry->d_type == DT_UNKNOWN)
			ret = type_of(dir->fd, entry->d_name, &entry_r->type);
		if (ret != 0) /* 0: gone meanwhile */
			return ret;
	}
}

static int remove_at(int dirfd, const char *name, unsigned depth);

static int remove_entries(int fd, unsigned depth)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret, first_errno = 0;

	fsx_dir_open(&dir, fd);
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		if (remove_at(dir.fd, entry.name, depth) < 0 && first_errno == 0)
			first_errno = errno;
	}
	if (ret == 0 && first_errno == 0)
		return 0;
	if (first_errno != 0)
		errno = first_errno;
	return -1;
}

static int remove_at(int dirfd, const char *name, unsigned depth)
{
	int fd;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	if (depth >= DEPTH_MAX) {
		errno = ELOOP;
		return -1;
	}
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (remove_entries(fd, depth + 1) < 0)
		return -1;
	return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int fsx_remove_tree(int dirfd, const char *name, struct err *err)
{
	if (remove_at(dirfd, name, 0) < 0)
		return err_sys(err, errno, "remove %s", name);
	return 0;
}
