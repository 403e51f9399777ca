/* Hostile text made safe for one line of a message.
 *
 *   err_set(err, ERR_NOUSER, "no such user: %s", quote_str(user).s);
 *
 * The result stands in double quotes; quotes and backslashes are escaped with a
 * backslash; control and bidirectional characters and bytes that are no UTF-8
 * become \xNN; what does not fit is cut, between characters, and "..." follows
 * the closing quote. */
#pragma once

#include <stddef.h>

/* A value, so that nothing has to be freed: it lives to the end of the full
 * expression that made it. */
struct quoted {
	char s[208];
};

struct quoted quote_str(const char *s);
struct quoted quote_mem(const void *data, size_t len);
