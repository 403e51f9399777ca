#include "fscache/fscache_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/lock.h"
#include "fscache/fscache_folder.h"

#define BLOCK 65536

void fscache_temps_init(struct fscache_temps *temps, int dirfd)
{
	temps->dirfd = dirfd;
	atomic_init(&temps->fd, -1);
}

void fscache_temps_close(struct fscache_temps *temps)
{
	int fd = atomic_exchange(&temps->fd, -1);

	if (fd >= 0)
		close(fd);
}

/* The folder that is kept open. The handle or -1. */
static int open_folder(struct fscache_temps *temps, struct err *err)
{
	int old = atomic_load(&temps->fd);
	autofd int fd = -1;

	if (old >= 0)
		return old;
	fd = fscache_folder_make(temps->dirfd, FSCACHE_TEMP_DIR, err);
	if (fd < 0)
		return -1;
	return atomic_compare_exchange_strong(&temps->fd, &old, fd) ? steal_fd(&fd) : old;
}

static bool open_file(struct fscache_temp *temp)
{
	temp->fd = openat(temp->folder, temp->name,
			  O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	return temp->fd >= 0;
}

/* Where somebody has removed the folder, this temporary has one of its own: others may
 * still use the one that is kept open. */
static int open_temp(struct fscache_temps *temps, struct fscache_temp *temp, struct err *err)
{
	if (temp->own_folder < 0) {
		temp->folder = open_folder(temps, err);
		if (temp->folder < 0)
			return -1;
		if (open_file(temp))
			return 0;
		if (errno != ENOENT)
			return err_sys(err, errno, "make a temporary");
		temp->own_folder = fscache_folder_make(temps->dirfd, FSCACHE_TEMP_DIR, err);
		if (temp->own_folder < 0)
			return -1;
		temp->folder = temp->own_folder;
	}
	return open_file(temp) ? 0 : err_sys(err, errno, "make a temporary");
}

/* Lock what stands under that name. 1; 0 not within the time, or it is another file
 * by now (*again_r); -1. */
static int try_take(struct fscache_temps *temps, struct fscache_temp *temp, int64_t wait_ms,
		    bool *again_r, struct err *err)
{
	struct statx open_st;
	struct stat st;
	int ret;

	*again_r = false;
	if (open_temp(temps, temp, err) < 0)
		return -1;
	ret = lock_range(temp->fd, LOCK_RANGE_WRITE, FSCACHE_TEMP_LOCK_AT, 1, wait_ms);
	if (ret == 0)
		return 0;
	/* Without the times: see fscache_log.c. */
	if (ret < 0 || statx(temp->fd, "", AT_EMPTY_PATH,
			     STATX_TYPE | STATX_NLINK | STATX_INO | STATX_SIZE, &open_st) < 0)
		return err_sys(err, errno, "lock a temporary");
	if (!S_ISREG(open_st.stx_mode))
		return err_set(err, ERR_DATA, "the temporary %s is not a file", temp->name);
	/* Its last owner may have made it an object, which is not to be touched. None is empty. */
	*again_r = open_st.stx_nlink == 0 ||
		   (open_st.stx_size > 0 &&
		    (fstatat(temp->folder, temp->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		     st.st_ino != open_st.stx_ino));
	temp->inode = open_st.stx_ino;
	temp->size_bytes = open_st.stx_size;
	return !*again_r;
}

int fscache_temp_take(struct fscache_temps *temps, const struct fscache_name *name, int64_t wait_ms,
		      struct fscache_temp *temp_r, struct err *err)
{
	int64_t until = clock_mono_ms() + wait_ms, left = wait_ms;
	bool again;
	int ret;

	*temp_r = (struct fscache_temp)FSCACHE_TEMP_NONE;
	memcpy(temp_r->name, name->hash, sizeof temp_r->name);
	do {
		if (temp_r->fd >= 0)
			close(temp_r->fd);
		ret = try_take(temps, temp_r, left, &again, err);
		left = again ? until - clock_mono_ms() : 0;
	} while (left > 0);
	if (ret <= 0 && temp_r->fd >= 0)
		close(steal_fd(&temp_r->fd));
	return ret;
}

static int write_at(struct fscache_temp *temp, const char *at, size_t len, uint64_t offset,
		    struct err *err)
{
	while (len > 0) {
		ssize_t n = pwrite(temp->fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write a temporary");
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
		if (temp->size_bytes < offset)
			temp->size_bytes = offset;
	}
	return 0;
}

int fscache_temp_write(struct fscache_temp *temp, const struct spool *content, struct err *err)
{
	const char *memory = spool_memory(content);
	char block[BLOCK];
	uint64_t offset = 0;
	ssize_t n;

	if (temp->size_bytes > 0 && ftruncate(temp->fd, 0) < 0)
		return err_sys(err, errno, "empty a temporary");
	if (memory)
		return write_at(temp, memory, (size_t)spool_size(content), 0, err);
	/* XFS counts what it sets aside behind a file that grows as the file's, until it is
	 * closed: then its blocks would be fewer than what was logged. */
	if (ftruncate(temp->fd, (off_t)spool_size(content)) < 0)
		return err_sys(err, errno, "size a temporary");
	temp->size_bytes = spool_size(content);
	while ((n = spool_read(content, offset, block, sizeof block, err)) > 0) {
		if (write_at(temp, block, (size_t)n, offset, err) < 0)
			return -1;
		offset += (uint64_t)n;
	}
	return n < 0 ? -1 : 0;
}

static int was_removed(struct err *err)
{
	return err_set(err, ERR_TEMP, "somebody removed the temporary");
}

int fscache_temp_bytes(const struct fscache_temp *temp, uint64_t *bytes_r, struct err *err)
{
	struct statx st;

	if (statx(temp->fd, "", AT_EMPTY_PATH, STATX_BLOCKS | STATX_NLINK, &st) < 0)
		return err_sys(err, errno, "look at a temporary");
	if (st.stx_nlink == 0)
		return was_removed(err);
	*bytes_r = st.stx_blocks * 512;
	return 0;
}

/* Whether the name is that of our file. */
static bool is_named(const struct fscache_temp *temp, int folder, const char *name)
{
	struct statx st;

	return statx(folder, name, AT_SYMLINK_NOFOLLOW, STATX_INO, &st) == 0 &&
	       st.stx_ino == temp->inode;
}

bool fscache_temp_is_there(const struct fscache_temp *temp)
{
	return is_named(temp, temp->folder, temp->name);
}

int fscache_temp_rename(struct fscache_temp *temp, int folder, const char *file, struct err *err)
{
	if (renameat(temp->folder, temp->name, folder, file) < 0)
		return errno == ENOENT ? was_removed(err) : err_sys(err, errno, "name the object");
	/* An operator may remove a temporary at any time, and the next who wants the object
	 * makes another one of that name. No call renames a file only if it is the one that we
	 * know, so it is looked at when nobody can touch it: under its name as an object, which
	 * changes under the log's lock only. */
	if (!is_named(temp, folder, file)) {
		unlinkat(folder, file, 0);
		return was_removed(err);
	}
	lock_unrange(temp->fd, FSCACHE_TEMP_LOCK_AT, 1);
	return steal_fd(&temp->fd);
}

void fscache_temp_end(struct fscache_temp *temp)
{
	if (temp->fd >= 0) {
		if (fscache_temp_is_there(temp))
			unlinkat(temp->folder, temp->name, 0);
		close(steal_fd(&temp->fd));
	}
	if (temp->own_folder >= 0)
		close(steal_fd(&temp->own_folder));
}
