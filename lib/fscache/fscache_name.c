#include "fscache/fscache_name.h"

#include <ctype.h>
#include <string.h>

#include "base/hash.h"
#include "store/store.h"

static const char hex_upper[] = "0123456789ABCDEF";
static const char hex_lower[] = "0123456789abcdef";

static bool is_plain(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= ':') || (c >= '@' && c <= 'Z'))
		return true;
	if (c == '.')
		return !first;
	return c == '-' || c == '_' || c == '~' || c == '+' || c == '=' || c == ',';
}

bool fscache_name_of_key(const char *key, struct fscache_name *name_r)
{
	unsigned char hash[HASH_CONTENT_SIZE];
	char *out = name_r->path + 3, *end = out + FSCACHE_NAME_MAX;

	for (const char *at = key; *at; at++) {
		unsigned char byte = (unsigned char)*at;
		bool as_is = is_plain(*at, at == key);

		if (end - out < (as_is ? 1 : 3))
			return false;
		if (as_is) {
			*out++ = *at;
			continue;
		}
		*out++ = '%';
		*out++ = hex_upper[byte >> 4];
		*out++ = hex_upper[byte & 15];
	}
	*out = '\0';
	hash_content(key, strlen(key), hash);
	for (size_t i = 0; i < sizeof hash; i++) {
		name_r->hash[2 * i] = hex_lower[hash[i] >> 4];
		name_r->hash[2 * i + 1] = hex_lower[hash[i] & 15];
	}
	name_r->hash[2 * sizeof hash] = '\0';
	memcpy(name_r->path, name_r->hash, 2);
	name_r->path[2] = '/';
	return true;
}

static int hex_value(char c)
{
	const char *at = c ? strchr(hex_upper, c) : NULL;

	return at ? (int)(at - hex_upper) : -1;
}

bool fscache_name_of_file(const char *file, struct fscache_name *name_r, struct buf *key)
{
	char text[FSCACHE_NAME_MAX + 1];
	size_t len = 0;

	if (strlen(file) > FSCACHE_NAME_MAX)
		return false;
	for (const char *at = file; *at; at++) {
		if (*at != '%') {
			text[len++] = *at;
			continue;
		}
		int high = hex_value(at[1]), low = high < 0 ? -1 : hex_value(at[2]);

		if (low < 0 || high + low == 0)
			return false;
		text[len++] = (char)(high * 16 + low);
		at += 2;
	}
	text[len] = '\0';
	/* What encodes to another name is nobody's. */
	if (store_key_check(text, NULL) < 0 || !fscache_name_of_key(text, name_r) ||
	    strcmp(fscache_name_file(name_r), file) != 0)
		return false;
	if (key) {
		buf_truncate(key, 0);
		buf_append(key, text, len);
	}
	return true;
}

/* What a key may hold beside what is plain, and needs no second thought. */
static const bool is_plain_byte[256] = {
	['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true, ['-'] = true,
	['_'] = true,         ['.'] = true,         ['~'] = true,         ['@'] = true,
	['+'] = true,         ['='] = true,         [','] = true,         [':'] = true,
};
static const unsigned char hex_plus_one[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12,
	['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* The key of a name that has nothing unusual in it, and its length; 0: look closer. */
static size_t usual_key(const unsigned char *file, size_t len, char key[FSCACHE_NAME_MAX])
{
	size_t count = 0;
	char before = '/';

	for (size_t i = 0; i < len; i++) {
		unsigned char c = file[i];

		if (c == '%') {
			int high = hex_plus_one[file[i + 1]];
			int low = high == 0 ? 0 : hex_plus_one[file[i + 2]];

			c = (unsigned char)((high - 1) * 16 + low - 1);
			if (low == 0 || is_plain_byte[c] || c < ' ' || c > '~')
				return 0;
			i += 2;
		} else if (!is_plain_byte[c]) {
			return 0;
		}
		if (before == '/' && (c == '/' || c == '.'))
			return 0;
		key[count++] = before = (char)c;
	}
	return before == '/' ? 0 : count;
}

int fscache_name_folder_of_file(const char *file, size_t len)
{
	char key[FSCACHE_NAME_MAX];
	unsigned char hash[HASH_CONTENT_SIZE];
	struct fscache_name name;
	size_t key_len =
		len > FSCACHE_NAME_MAX ? 0 : usual_key((const unsigned char *)file, len, key);

	if (key_len > 0) {
		hash_content(key, key_len, hash);
		return hash[0];
	}
	if (!fscache_name_of_file(file, &name, NULL))
		return -1;
	return (hex_plus_one[toupper(name.path[0])] - 1) * 16 +
	       hex_plus_one[toupper(name.path[1])] - 1;
}
