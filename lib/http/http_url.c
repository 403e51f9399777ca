#include <string.h>

#include "base/buf.h"
#include "http/http.h"

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~", c));
}

void http_encode(struct buf *out, const char *text, bool keep_slash)
{
	for (; *text != '\0'; text++) {
		if (is_unreserved(*text) || (keep_slash && *text == '/'))
			buf_putc(out, *text);
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

int http_decode(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '%') {
			buf_putc(out, text[i]);
			continue;
		}
		int high = len - i > 2 ? hex_digit(text[i + 1]) : -1;
		int low = len - i > 2 ? hex_digit(text[i + 2]) : -1;

		if (high < 0 || low < 0 || high + low == 0)
			return -1;
		buf_putc(out, (char)(high * 16 + low));
		i += 2;
	}
	return 0;
}
