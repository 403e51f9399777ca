#include "base/utf8.h"

#include <stdint.h>

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

size_t utf8_char_len(const void *s, size_t len)
{
	const unsigned char *p = s;
	unsigned char lead = p[0];
	size_t need = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

	if (need == 0 || need > len || lead > 0xf4)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if (!is_tail(p[i]))
			return 0;
	}
	if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) ||
	    (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f))
		return 0;
	return need;
}

bool utf8_is_valid(const void *s, size_t len)
{
	const unsigned char *p = s;

	while (len > 0) {
		size_t n = utf8_char_len(p, len);

		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

bool utf8_is_control(const void *s, size_t char_len)
{
	const unsigned char *p = s;
	uint32_t code;

	if (char_len == 1)
		return p[0] < 0x20 || p[0] == 0x7f;
	if (char_len == 2)
		return (p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xd8 && p[1] == 0x9c);
	if (char_len != 3)
		return false;
	code = (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
	return code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}
