#include "metacache/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fsx.h"
#include "base/hash.h"
#include "base/lock.h"

#define LOCK_FILE "run.lock"

int run_lock(const struct metacache *mc, const char *what, struct err *err)
{
	autofd int dirfd = fsx_open_root(mc->settings->state_dir, err);
	autofd int fd = -1;
	int ret;

	if (dirfd < 0)
		return -1;
	fd = fsx_openat(dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "open %s/" LOCK_FILE, mc->settings->state_dir);
	/* A byte for each: made of the name, as there are few of them. */
	ret = lock_range(fd, LOCK_RANGE_WRITE, (int64_t)(hash_64(what, strlen(what), 0) >> 2), 1,
			 0);
	if (ret < 0)
		return err_sys(err, errno, "lock %s/" LOCK_FILE, mc->settings->state_dir);
	if (ret == 0) {
		err_set(err, ERR_BUSY, "another %s is running", what);
		return err_again(err);
	}
	return steal_fd(&fd);
}
