/* Locks on a user, in <state_dir>/locks: never inside the tree that is deleted.
 *
 * There are 256 files, made once, and a user is two bytes in one of them, at an
 * offset made of the name's hash. So taking a lock makes no file (it works on a
 * full disk), nothing has to be tidied up, and a killed process holds nothing.
 * Two users with the same 62-bit hash would only wait for each other.
 *
 *   USER_LOCK_SESSION  somebody has the user open: excludes WHOLE only
 *   USER_LOCK_UPLOAD   writes to storage and to .state: excludes UPLOAD and WHOLE
 *   USER_LOCK_WHOLE    replaces or removes the tree: excludes everything */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

enum user_lock_kind {
	USER_LOCK_SESSION,
	USER_LOCK_UPLOAD,
	USER_LOCK_WHOLE,
};

/* Make the folder and its files below the state directory. */
int user_lock_prepare(int state_dirfd, int *locks_fd_r, struct err *err);

/* The lock is held while the handle is open. Waits at most timeout_ms (0: not at
 * all); -1 with ERR_BUSY when somebody else keeps it. */
int user_lock(int locks_fd, const char *user, enum user_lock_kind kind, int64_t timeout_ms,
	      struct err *err);
