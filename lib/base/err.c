#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void format_cut(char *out, size_t size, const char *fmt, va_list args)
{
	int n = vsnprintf(out, size, fmt, args);

	if (n < 0)
		out[0] = '\0';
	else if ((size_t)n >= size)
		memcpy(out + size - 4, "...", 4);
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return -1;
	err_clear(err);
	err->code = code;
	va_start(args, fmt);
	format_cut(err->msg, sizeof err->msg, fmt, args);
	va_end(args);
	return -1;
}

static enum err_code code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return ERR_NOTFOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_NOPERM;
	case ENOSPC:
	case EDQUOT:
		return ERR_CANTCREATE;
	case EAGAIN:
	case EBUSY:
	case ETXTBSY:
		return ERR_BUSY;
	default:
		return ERR_IO;
	}
}

int err_sys(struct err *err, int errnum, const char *fmt, ...)
{
	char reason[128];
	va_list args;
	size_t used;

	if (!err)
		return -1;
	err_clear(err);
	err->code = code_of_errno(errnum);
	err->again = err->code == ERR_BUSY;
	err->sys = errnum;
	va_start(args, fmt);
	format_cut(err->msg, sizeof err->msg - sizeof reason, fmt, args);
	va_end(args);
	used = strlen(err->msg);
	snprintf(err->msg + used, sizeof err->msg - used, ": %s",
		 strerror_r(errnum, reason, sizeof reason));
	if (err->code == ERR_CANTCREATE)
		err_hint(err, "free some space there, or give more quota");
	return -1;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	char old[sizeof err->msg];
	va_list args;
	size_t used;

	if (!err)
		return -1;
	memcpy(old, err->msg, sizeof old);
	va_start(args, fmt);
	format_cut(err->msg, sizeof err->msg, fmt, args);
	va_end(args);
	used = strlen(err->msg);
	if ((size_t)snprintf(err->msg + used, sizeof err->msg - used, ": %s", old) >=
	    sizeof err->msg - used)
		memcpy(err->msg + sizeof err->msg - 4, "...", 4);
	return -1;
}

int err_hint(struct err *err, const char *fmt, ...)
{
	va_list args;

	if (!err || err->hint[0] != '\0')
		return -1;
	va_start(args, fmt);
	format_cut(err->hint, sizeof err->hint, fmt, args);
	va_end(args);
	return -1;
}

int err_again(struct err *err)
{
	if (err)
		err->again = true;
	return -1;
}

void err_clear(struct err *err)
{
	if (!err)
		return;
	err->code = ERR_NONE;
	err->again = false;
	err->sys = 0;
	err->msg[0] = '\0';
	err->hint[0] = '\0';
}

int err_exit_code(enum err_code code)
{
	switch (code) {
	case ERR_NOTFOUND:
		return ERR_NOINPUT;
	case ERR_BUSY:
		return ERR_TEMP;
	case ERR_CONFLICT:
		return ERR_DATA;
	default:
		return (int)code;
	}
}
