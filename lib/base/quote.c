#include "base/quote.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* One character as it is to be shown; the number of bytes of `s` it stands for. */
static size_t escape_one(const unsigned char *s, size_t len, char out[16])
{
	size_t n = utf8_char_len(s, len);
	size_t used = 0;

	if (n == 1 && (*s == '"' || *s == '\\')) {
		snprintf(out, 16, "\\%c", *s);
		return 1;
	}
	if (n > 0 && !utf8_is_control(s, n)) {
		memcpy(out, s, n);
		out[n] = '\0';
		return n;
	}
	if (n == 0)
		n = 1;
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(out + used, 16 - used, "\\x%02x", s[i]);
	return n;
}

struct quoted quote_mem(const void *data, size_t len)
{
	static const char cut_mark[] = "\"...";
	const unsigned char *s = data;
	struct quoted quoted;
	size_t used = 0;
	char one[16];

	quoted.s[used++] = '"';
	while (len > 0) {
		size_t eaten = escape_one(s, len, one);
		size_t shown = strlen(one);

		if (used + shown + sizeof cut_mark > sizeof quoted.s)
			break;
		memcpy(quoted.s + used, one, shown);
		used += shown;
		s += eaten;
		len -= eaten;
	}
	memcpy(quoted.s + used, len > 0 ? cut_mark : "\"", len > 0 ? sizeof cut_mark : 2);
	return quoted;
}

struct quoted quote_str(const char *s)
{
	return quote_mem(s, strlen(s));
}
