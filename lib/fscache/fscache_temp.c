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

/* Lock what stands under that name. 1; 0 not within the time, or it is another file
 * by now (*again_r); -1. */
static int try_take(struct fscache_temp *temp, int64_t wait_ms, bool *again_r, struct err *err)
{
	struct stat open_st, st;
	int ret;

	*again_r = false;
	temp->fd = openat(temp->folder, temp->name,
			  O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (temp->fd < 0 || fstat(temp->fd, &open_st) < 0)
		return err_sys(err, errno, "make a temporary");
	if (!S_ISREG(open_st.st_mode))
		return err_set(err, ERR_DATA, "the temporary %s is not a file", temp->name);
	ret = lock_range(temp->fd, LOCK_RANGE_WRITE, FSCACHE_TEMP_LOCK_AT, 1, wait_ms);
	if (ret < 0)
		return err_sys(err, errno, "lock a temporary");
	if (ret == 0)
		return 0;
	/* Its last owner may have made it an object, which is not to be touched. */
	*again_r = fstatat(temp->folder, temp->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		   st.st_ino != open_st.st_ino;
	temp->inode = open_st.st_ino;
	return !*again_r;
}

int fscache_temp_take(int dirfd, const struct fscache_name *name, int64_t wait_ms,
		      struct fscache_temp *temp_r, struct err *err)
{
	int64_t until = clock_mono_ms() + wait_ms;
	bool again;
	int ret;

	*temp_r = (struct fscache_temp){ .folder = -1, .fd = -1 };
	memcpy(temp_r->name, name->hash, sizeof temp_r->name);
	temp_r->folder = fscache_folder_make(dirfd, FSCACHE_TEMP_DIR, err);
	if (temp_r->folder < 0)
		return -1;
	do {
		int64_t left = until - clock_mono_ms();

		if (temp_r->fd >= 0)
			close(temp_r->fd);
		ret = try_take(temp_r, left > 0 ? left : 0, &again, err);
	} while (again && clock_mono_ms() < until);
	if (ret <= 0 && temp_r->fd >= 0)
		close(steal_fd(&temp_r->fd));
	return ret;
}

static int write_all(int fd, const char *at, size_t len, struct err *err)
{
	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write a temporary");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int fscache_temp_write(const struct fscache_temp *temp, const struct spool *content,
		       struct err *err)
{
	const char *memory = spool_memory(content);
	char block[BLOCK];
	uint64_t offset = 0;
	struct stat st;
	ssize_t n;

	if (fstat(temp->fd, &st) < 0 || (st.st_size > 0 && ftruncate(temp->fd, 0) < 0) ||
	    lseek(temp->fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "empty a temporary");
	if (memory)
		return write_all(temp->fd, memory, (size_t)spool_size(content), err);
	while ((n = spool_read(content, offset, block, sizeof block, err)) > 0) {
		if (write_all(temp->fd, block, (size_t)n, err) < 0)
			return -1;
		offset += (uint64_t)n;
	}
	return n < 0 ? -1 : 0;
}

int fscache_temp_open(const struct fscache_temp *temp, uint64_t *bytes_r, struct err *err)
{
	autofd int fd = openat(temp->folder, temp->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "open a temporary");
	if (st.st_ino != temp->inode)
		return err_set(err, ERR_DATA, "the temporary %s was replaced", temp->name);
	*bytes_r = (uint64_t)st.st_blocks * 512;
	return steal_fd(&fd);
}

int fscache_temp_rename(struct fscache_temp *temp, int folder, const char *file, struct err *err)
{
	if (renameat(temp->folder, temp->name, folder, file) < 0)
		return err_sys(err, errno, "name the object");
	close(steal_fd(&temp->fd));
	return 0;
}

void fscache_temp_end(struct fscache_temp *temp)
{
	if (temp->fd >= 0) {
		unlinkat(temp->folder, temp->name, 0);
		close(steal_fd(&temp->fd));
	}
	if (temp->folder >= 0)
		close(steal_fd(&temp->folder));
}
