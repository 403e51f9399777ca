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

/* The byte that %XX stands for, which is '/' or one that a key may hold; 0: look closer. */
static unsigned char escaped(const unsigned char *file)
{
	int high = hex_plus_one[file[1]], low = high == 0 ? 0 : hex_plus_one[file[2]];
	unsigned char c = (unsigned char)((high - 1) * 16 + low - 1);

	return low == 0 || is_plain_byte[c] || c < ' ' || c > '~' ? 0 : c;
}

typedef unsigned char sixteen __attribute__((vector_size(16)));

/* Whether all of 16 bytes are is_plain_byte[] or '%': a rescan asks for a million names. */
static inline __attribute__((always_inline)) bool are_usual(const char *at)
{
	sixteen c;
	uint64_t half[2];

	memcpy(&c, at, sizeof c);
	sixteen usual = (sixteen)((c | 0x20) - 'a' < 26) | (sixteen)(c - '0' <= ':' - '0') |
			(sixteen)(c - '+' <= '.' - '+') | (sixteen)(c == '%') |
			(sixteen)(c == '=') | (sixteen)(c == '@') | (sixteen)(c == '_') |
			(sixteen)(c == '~');
	memcpy(half, &usual, sizeof half);
	return (half[0] & half[1]) == UINT64_MAX;
}

static bool is_usual(const char *file, size_t len)
{
	if (len < 16) {
		for (size_t i = 0; i < len; i++) {
			if (!is_plain_byte[(unsigned char)file[i]] && file[i] != '%')
				return false;
		}
		return true;
	}
	for (size_t at = 0; at + 16 < len; at += 16) {
		if (!are_usual(file + at))
			return false;
	}
	return are_usual(file + len - 16);
}

/* The key of a name that has nothing unusual in it, and its length; 0: look closer. */
static size_t usual_key(const char *file, size_t len, char key[FSCACHE_NAME_MAX])
{
	const char *end = file + len;
	size_t count = 0;
	char before = '/';

	if (!is_usual(file, len))
		return 0;
	for (const char *at = file;; at += 3) {
		const char *stop = memchr(at, '%', (size_t)(end - at));
		size_t plain_len = (size_t)((stop ? stop : end) - at);

		if (before == '/' && plain_len > 0 && *at == '.')
			return 0;
		memcpy(key + count, at, plain_len);
		count += plain_len;
		if (plain_len > 0)
			before = at[plain_len - 1];
		if (!stop)
			return before == '/' ? 0 : count;
		at = stop;
		key[count] = (char)escaped((const unsigned char *)at);
		if (key[count] == '\0' || (key[count] == '/' && before == '/'))
			return 0;
		before = key[count++];
	}
}

int fscache_name_folder_of_file(const char *file, size_t len)
{
	char key[FSCACHE_NAME_MAX];
	unsigned char hash[HASH_CONTENT_SIZE];
	struct fscache_name name;
	size_t key_len = len > FSCACHE_NAME_MAX ? 0 : usual_key(file, len, key);

	if (key_len > 0) {
		hash_content(key, key_len, hash);
		return hash[0];
	}
	if (!fscache_name_of_file(file, &name, NULL))
		return -1;
	return (hex_plus_one[toupper(name.path[0])] - 1) * 16 +
	       hex_plus_one[toupper(name.path[1])] - 1;
}
