/* Lines from a file, a pipe or a socket, with a limit to how long one may be and how long they
 * may take. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

#define LINES_MAX 4096

struct lines {
	int fd;              /* the caller's */
	int64_t deadline_ms; /* of the monotonic clock; 0: none, for files */
	char buf[LINES_MAX + 1];
	size_t at, len;
};

/* 1: the next line without its end, valid until the next call. 0: the end. -1: ERR_UNAVAILABLE
 * it takes too long, ERR_DATA a line is too long, holds a NUL or has no end (then
 * something is missing), or it can't be read. */
int lines_next(struct lines *lines, const char **line_r, struct err *err);

/* Send all of `text` to a socket or pipe before the deadline. 0 or -1. */
int lines_send(struct lines *lines, const char *text, size_t len, struct err *err);
