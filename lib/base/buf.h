/* A growing run of bytes; also the string builder. Zero-initialised is empty.
 * `data` is always followed by a NUL that `len` does not count, once anything
 * was added; buf_str() is never NULL. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/cleanup.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
};

void buf_free(struct buf *buf); /* back to empty; safe twice */
#define autobuf CLEANUP(buf_free)

void buf_append(struct buf *buf, const void *data, size_t len);
void buf_puts(struct buf *buf, const char *s);
void buf_putc(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Lower-case hex of `len` bytes. */
void buf_hex(struct buf *buf, const void *data, size_t len);

/* Room for `len` more bytes at the returned place; add to buf->len what was used. */
char *buf_reserve(struct buf *buf, size_t len);

/* Shorten to `len`; the memory stays for reuse. */
void buf_truncate(struct buf *buf, size_t len);

/* The text, "" when empty; valid until the next change. */
const char *buf_str(const struct buf *buf);

/* The malloc'd text (never NULL); the buffer is empty afterwards. */
char *buf_steal(struct buf *buf);
