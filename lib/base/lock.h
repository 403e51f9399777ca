/* Locks on byte ranges of files, held by the open file description (OFD): a
 * thread that opened the file itself owns its lock alone, closing the handle
 * releases it, and a killed process holds nothing.
 *
 * They exclude fcntl() locks of other programs too, which is how Dovecot's own
 * locks are respected (lock_method=fcntl, its default). */
#pragma once

#include <stdint.h>

enum lock_mode {
	LOCK_RANGE_READ,
	LOCK_RANGE_WRITE, /* the handle must be open for writing */
};

/* Lock `len` bytes from `start` (len 0: to the end and beyond). Waits at most
 * timeout_ms; 0 does not wait. 1 locked, 0 somebody else has it, -1 with errno. */
int lock_range(int fd, enum lock_mode mode, int64_t start, int64_t len, int64_t timeout_ms);
int lock_unrange(int fd, int64_t start, int64_t len);
