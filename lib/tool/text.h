/* Putting values into text, fast and without letting a hostile one act on the
 * terminal. Pure; used by the printers, error lines and log sinks. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

/* buf_append() for the hot loops: inlined where there is room. */
static inline void text_put(struct buf *out, const char *data, size_t len)
{
	if (out->cap - out->len <= len)
		buf_reserve(out, len);
	memcpy(out->data + out->len, data, len);
	out->len += len;
	out->data[out->len] = '\0';
}

void text_uint(struct buf *out, uint64_t n);
void text_int(struct buf *out, int64_t n);

/* The text with everything that could act on a terminal escaped: control
 * characters as \n, \t, \r or \x1b, also those above ASCII, marks that reorder
 * text, and bytes that are not UTF-8. Backslashes stay as they are: this is for
 * people, and for messages whose hostile parts were quoted before. */
void text_shown(struct buf *out, const char *s);

/* For key=value lines: as it is if that is plain ASCII without blank, quote, '='
 * and backslash; else in double quotes, escaped as above, and \" and \\. */
void text_quoted(struct buf *out, const char *s);

/* A JSON string with its quotes, valid UTF-8 whatever `s` holds. */
void text_json(struct buf *out, const char *s);

/* Columns that `len` bytes of UTF-8 take, one a code point. */
size_t text_width(const char *s, size_t len);
