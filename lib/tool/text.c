#include "tool/text.h"

#include <stdbool.h>

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

/* Length of the UTF-8 sequence at `s` (NUL-terminated) and its code point; 0 if
 * it is none: overlong, a surrogate, beyond U+10FFFF or cut. */
static size_t utf8_decode(const unsigned char *s, uint32_t *code_r)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t code;

	if (len <= 1) {
		*code_r = s[0];
		return len;
	}
	if (s[0] > 0xf4)
		return 0;
	code = s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < smallest[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*code_r = code;
	return len;
}

/* C0, DEL, C1, and what ends a line or turns the writing direction. */
static bool acts_on_terminal(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
	       (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
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
	uint32_t code = 0;
	size_t len = utf8_decode(s, &code);

	if (len == 0) {
		put_hex(out, s, 1);
		return 1;
	}
	if (code == '\n')
		text_put(out, "\\n", 2);
	else if (code == '\t')
		text_put(out, "\\t", 2);
	else if (code == '\r')
		text_put(out, "\\r", 2);
	else if (code == '\\' || (in_quotes && code == '"'))
		text_put(out, (char[]){ '\\', (char)code }, 2);
	else if (acts_on_terminal(code))
		put_hex(out, s, len);
	else
		text_put(out, (const char *)s, len);
	return len;
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
	if (*s != '\0' && strpbrk(s, " \"=") == NULL) {
		put_text(out, s, false);
		return;
	}
	text_put(out, "\"", 1);
	put_text(out, s, true);
	text_put(out, "\"", 1);
}

static size_t put_json_char(struct buf *out, const unsigned char *s)
{
	uint32_t code = 0;
	size_t len = utf8_decode(s, &code);

	if (len == 0) {
		text_put(out, "\xef\xbf\xbd", 3);
		return 1;
	}
	if (code == '"' || code == '\\')
		text_put(out, (char[]){ '\\', (char)code }, 2);
	else if (acts_on_terminal(code))
		buf_printf(out, "\\u%04x", code);
	else
		text_put(out, (const char *)s, len);
	return len;
}

void text_json(struct buf *out, const char *s)
{
	const unsigned char *at = (const unsigned char *)s;

	text_put(out, "\"", 1);
	for (;;) {
		size_t run = plain_run(at);

		text_put(out, (const char *)at, run);
		at += run;
		if (*at == '\0')
			break;
		at += put_json_char(out, at);
	}
	text_put(out, "\"", 1);
}

size_t text_width(const char *s, size_t len)
{
	size_t width = 0;

	for (size_t i = 0; i < len; i++)
		width += ((unsigned char)s[i] & 0xc0) != 0x80;
	return width;
}
