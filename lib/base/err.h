/* What went wrong, said once and completed on the way up.
 *
 * The caller owns the struct; a function that fails fills it and returns -1.
 * It holds no pointers: nothing to free, safe to copy. Text that does not fit
 * is cut with "...". A message never carries a secret. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

/* The values are the programs' exit codes (sysexits.h), but for the first
 * three, which only the library uses. */
enum err_code {
	ERR_NONE = 0,
	ERR_NOTFOUND = 1, /* no such object or file, where that is normal: exits as 66 */
	ERR_BUSY = 2,     /* locked or in use by somebody else: exits as 75 */
	ERR_CONFLICT = 3, /* two writers changed the same unit: exits as 65 */
	ERR_USAGE = 64,
	ERR_DATA = 65, /* corrupt, not clean, not uploaded */
	ERR_NOINPUT = 66,
	ERR_NOUSER = 67,
	ERR_UNAVAILABLE = 69, /* the object store or another service refuses or is away */
	ERR_BUG = 70,
	ERR_CANTCREATE = 73,
	ERR_IO = 74,
	ERR_TEMP = 75, /* try again later; nothing was lost */
	ERR_NOPERM = 77,
	ERR_CONFIG = 78,
};

struct err {
	enum err_code code;
	bool again; /* the same call may succeed later without any change */
	int sys;    /* errno where a system call failed, else 0 */
	char msg[768];
	char hint[256]; /* what to do about it; "" where there is nothing to say */
};

/* Fill in code and message. Returns -1. `err` may be NULL everywhere here. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a failed system call: the code is chosen by `errnum` (ENOENT →
 * ERR_NOTFOUND, EACCES → ERR_NOPERM, ENOSPC → ERR_CANTCREATE, …, else ERR_IO) and
 * ": <strerror>" is appended. Returns -1. */
int err_sys(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "<text>: " before the message. Returns -1, so that `return err_prefix(…)`
 * reads well. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Say what the operator can do; the first hint stays. Returns -1. */
int err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Mark that trying again can help. Returns -1. */
int err_again(struct err *err);

/* Back to no error. */
void err_clear(struct err *err);

/* The process exit code for a code: itself, or 65, 66, 75 for the library's own. */
int err_exit_code(enum err_code code);
