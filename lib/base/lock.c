#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"

#define POLL_FIRST_MS 1
#define POLL_MAX_MS 50

static int try_lock(int fd, short type, int64_t start, int64_t len)
{
	struct flock lock = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = start,
		.l_len = len,
	};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES ? 0 : -1;
}

/* There is no blocking call with a time limit, and no signal may be used in
 * another process's address space: ask again until the limit. */
int lock_range(int fd, enum lock_mode mode, int64_t start, int64_t len, int64_t timeout_ms)
{
	short type = mode == LOCK_RANGE_READ ? F_RDLCK : F_WRLCK;
	int64_t until = clock_mono_ms() + timeout_ms;
	int64_t wait = POLL_FIRST_MS;
	int ret;

	while ((ret = try_lock(fd, type, start, len)) == 0) {
		int64_t left = until - clock_mono_ms();

		if (timeout_ms <= 0 || left <= 0)
			return 0;
		clock_sleep_ms(wait < left ? wait : left);
		wait = wait * 2 < POLL_MAX_MS ? wait * 2 : POLL_MAX_MS;
	}
	return ret;
}

int lock_unrange(int fd, int64_t start, int64_t len)
{
	return try_lock(fd, F_UNLCK, start, len) == 1 ? 0 : -1;
}
