/* UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing over U+10FFFF. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* How many bytes the well-formed character at `s` takes (1 to 4); 0 when the
 * bytes there are none. `len` is at least 1; no byte beyond it is read. */
size_t utf8_char_len(const void *s, size_t len);

/* Whether all of it is well-formed. */
bool utf8_is_valid(const void *s, size_t len);

/* Whether the well-formed character of `char_len` bytes at `s` would do
 * something to a terminal or a log line instead of being seen: C0 and C1
 * controls, DEL, line and paragraph separators, bidirectional marks. */
bool utf8_is_control(const void *s, size_t char_len);
