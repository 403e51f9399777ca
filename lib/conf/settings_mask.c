#include "conf/settings_mask.h"

#include <stdbool.h>
#include <string.h>

static const char mask[] = "***";

static const char *last_at(const char *s, size_t len)
{
	return memrchr(s, '@', len);
}

/* Where the host begins. A secret that was pasted unescaped may hold a slash, so
 * the last @ before the parameters counts, and if there is none the last of all. */
static const char *host_of(const char *after_scheme)
{
	const char *at = last_at(after_scheme, strcspn(after_scheme, "?"));

	return at ? at : last_at(after_scheme, strlen(after_scheme));
}

static bool is_secret_name(const char *name, size_t len)
{
	static const char *const words[] = { "key", "secret", "token", "pass", "addhdr", "auth" };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (memmem(name, len, words[i], strlen(words[i])))
			return true;
	}
	return false;
}

static void put_parameters(const char *text, struct buf *out)
{
	while (*text != '\0') {
		size_t name = strcspn(text, "=&"), all = strcspn(text, "&");

		if (name < all && is_secret_name(text, name)) {
			buf_append(out, text, name + 1);
			buf_puts(out, mask);
		} else {
			buf_append(out, text, all);
		}
		text += all;
		if (*text == '&')
			buf_putc(out, *text++);
	}
}

void settings_mask_url(const char *text, struct buf *out)
{
	const char *scheme = strstr(text, "://");
	const char *rest = text, *host;
	size_t len;

	if (scheme) {
		rest = scheme + 3;
		buf_append(out, text, (size_t)(rest - text));
		host = host_of(rest);
		if (host) {
			buf_puts(out, mask);
			rest = host;
		}
	}
	len = strcspn(rest, "?");
	if (rest[len] == '?')
		len++;
	buf_append(out, rest, len);
	put_parameters(rest + len, out);
}
