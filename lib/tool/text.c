#include "tool/text.h"

#include <stdbool.h>

#include "base/utf8.h"
#include "json/json.h"

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
				  "25262728293031323334353637383940414243444546474849"
				  "50515253545556575859606162636465666768697071727374"
				  "75767778798081828384858687888990919293949596979899";

void text_uint(struct buf *out, uint64_t n)
{
	char digits[20];
	size_t at = sizeof digits;

	while (n >= 100) {
		at -= 2;
		memcpy(digits + at, digit_pairs + n % 100 * 2, 2);
		n /= 100;
	}
	if (n >= 10) {
		at -= 2;
		memcpy(digits + at, digit_pairs + n * 2, 2);
	} else {
		digits[--at] = (char)('0' + n);
	}
	text_put(out, digits + at, sizeof digits - at);
}

void text_int(struct buf *out, int64_t n)
{
	if (n >= 0) {
		text_uint(out, (uint64_t)n);
		return;
	}
	text_put(out, "-", 1);
	text_uint(out, -(uint64_t)n);
}

static void put_hex(struct buf *out, const unsigned char *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		char text[4] = { '\\', 'x', hex[bytes[i] >> 4], hex[bytes[i] & 15] };

		text_put(out, text, sizeof text);
	}
}

/* One character at `s`, escaped where it must be; returns the bytes eaten. */
static size_t put_shown(struct buf *out, const unsigned char *s, bool in_quotes)
{
	size_t len = utf8_char_len(s, strnlen((const char *)s, 4));

	if (*s == '\n')
		text_put(out, "\\n", 2);
	else if (*s == '\t')
		text_put(out, "\\t", 2);
	else if (*s == '\r')
		text_put(out, "\\r", 2);
	else if (in_quotes && (*s == '"' || *s == '\\'))
		text_put(out, (char[]){ '\\', (char)*s }, 2);
	else if (len == 0 || utf8_is_control(s, len))
		put_hex(out, s, len ? len : 1);
	else
		text_put(out, (const char *)s, len);
	return len ? len : 1;
}

static size_t plain_run(const unsigned char *s)
{
	size_t n = 0;

	while (s[n] >= ' ' && s[n] < 0x7f && s[n] != '\\' && s[n] != '"')
		n++;
	return n;
}

static void put_text(struct buf *out, const char *s, bool in_quotes)
{
	const unsigned char *at = (const unsigned char *)s;

	for (;;) {
		size_t run = plain_run(at);

		text_put(out, (const char *)at, run);
		at += run;
		if (*at == '\0')
			return;
		at += put_shown(out, at, in_quotes);
	}
}

void text_shown(struct buf *out, const char *s)
{
	put_text(out, s, false);
}

void text_quoted(struct buf *out, const char *s)
{
	size_t run = plain_run((const unsigned char *)s);

	if (run > 0 && s[run] == '\0' && !memchr(s, ' ', run) && !memchr(s, '=', run)) {
		text_put(out, s, run);
		return;
	}
	text_put(out, "\"", 1);
	put_text(out, s, true);
	text_put(out, "\"", 1);
}

void text_json(struct buf *out, const char *s)
{
	size_t run = plain_run((const unsigned char *)s);

	if (s[run] != '\0') {
		json_escape(out, s, strlen(s));
		return;
	}
	text_put(out, "\"", 1);
	text_put(out, s, run);
	text_put(out, "\"", 1);
}

size_t text_width(const char *s, size_t len)
{
	size_t width = 0;

	for (size_t i = 0; i < len; i++)
		width += ((unsigned char)s[i] & 0xc0) != 0x80;
	return width;
}
