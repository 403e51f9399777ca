#include "metacache/user_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/quote.h"

#define LOCK_FILES 256

static void lock_name(unsigned number, char name_r[3])
{
	snprintf(name_r, 3, "%02x", number % LOCK_FILES);
}

int user_lock_prepare(int state_dirfd, int *locks_fd_r, struct err *err)
{
	autofd int fd = -1;
	char name[3];

	if (fsx_mkdirs(state_dirfd, "locks", 0700, err) < 0)
		return -1;
	fd = fsx_opendir(state_dirfd, "locks");
	if (fd < 0)
		return err_sys(err, errno, "open the folder of locks");
	/* The last one is made last: when it is there, all are. */
	if (faccessat(fd, "ff", F_OK, 0) < 0) {
		for (unsigned i = 0; i < LOCK_FILES; i++) {
			lock_name(i, name);
			autofd int file = fsx_openat(fd, name, O_RDWR | O_CREAT, 0600);

			if (file < 0)
				return err_sys(err, errno, "make lock file locks/%s", name);
		}
	}
	*locks_fd_r = steal_fd(&fd);
	return 0;
}

int user_lock(int locks_fd, const char *user, enum user_lock_kind kind, int64_t timeout_ms,
	      struct err *err)
{
	uint64_t hash = hash_64(user, strlen(user), 0);
	int64_t start = (int64_t)(hash >> 3) * 2;
	int64_t first = kind == USER_LOCK_UPLOAD ? start + 1 : start;
	int64_t len = kind == USER_LOCK_WHOLE ? 2 : 1;
	char name[3];
	int ret;

	lock_name((unsigned)hash & 0xff, name);
	autofd int fd = fsx_openat(locks_fd, name, O_RDWR, 0);

	if (fd < 0)
		return err_sys(err, errno, "open lock file locks/%s", name);
	ret = lock_range(fd, kind == USER_LOCK_SESSION ? LOCK_RANGE_READ : LOCK_RANGE_WRITE, first,
			 len, timeout_ms);
	if (ret < 0)
		return err_sys(err, errno, "lock locks/%s", name);
	if (ret == 0) {
		err_set(err, ERR_BUSY, "user %s is locked by another program", quote_str(user).s);
		err_hint(err, "try again when it is done");
		return err_again(err);
	}
	return steal_fd(&fd);
}
