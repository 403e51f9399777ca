#include "base/expand.h"

#include <inttypes.h>
#include <string.h>

#include "base/expand_token.h"
#include "base/hash.h"
#include "base/quote.h"

/* One variable while it is worked on: the hashes use up offset and width. */
struct field {
	struct buf value;
	int offset;
	int width;
};

static void field_cleanup(struct field *field)
{
	buf_free(&field->value);
}

static void set_value(struct field *field, const char *value)
{
	buf_truncate(&field->value, 0);
	buf_puts(&field->value, value);
}

static void change_case(struct buf *value, char first, char last)
{
	for (size_t i = 0; i < value->len; i++) {
		if (value->data[i] >= first && value->data[i] <= last)
			value->data[i] = (char)(value->data[i] ^ 0x20);
	}
}

static void escape(struct field *field)
{
	autofree char *old = buf_steal(&field->value);

	for (const char *p = old; *p != '\0'; p++) {
		if (strchr("\"\\'", *p))
			buf_putc(&field->value, '\\');
		buf_putc(&field->value, *p);
	}
}

static void decimal_to_hex(struct field *field)
{
	const char *p = buf_str(&field->value);
	uint64_t num = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(num, 10, &num) ||
		    __builtin_add_overflow(num, (uint64_t)(*p - '0'), &num))
			break;
	}
	if (*p != '\0')
		num = 0;
	buf_truncate(&field->value, 0);
	buf_printf(&field->value, "%" PRIx64, num);
}

static void reverse(struct buf *value)
{
	for (size_t i = 0; i < value->len / 2; i++) {
		char c = value->data[i];

		value->data[i] = value->data[value->len - 1 - i];
		value->data[value->len - 1 - i] = c;
	}
}

static void put_hash(struct field *field, unsigned int hash)
{
	autobuf struct buf digits = { 0 };

	buf_printf(&digits, "%x", hash);
	buf_truncate(&field->value, 0);
	for (int i = (int)digits.len; i < field->offset; i++)
		buf_putc(&field->value, '0');
	buf_append(&field->value, digits.data, digits.len);
	field->offset = 0;
	field->width = 0;
}

/* The modulus is converted as C does it in Dovecot's source, where a negative
 * width becomes a large number of the hash's own size. */
static void hash_old(struct field *field)
{
	unsigned int hash = 0;

	for (const char *p = buf_str(&field->value); *p != '\0'; p++) {
		unsigned int high;

		hash = (hash << 4) + (unsigned char)*p;
		high = hash & 0xf0000000U;
		hash ^= high >> 24;
		hash ^= high;
	}
	put_hash(field, field->width != 0 ? hash % (unsigned int)field->width : hash);
}

static void hash_new(struct field *field)
{
	unsigned char md5[16];
	uint64_t hash = 0;

	hash_md5(buf_str(&field->value), field->value.len, md5);
	for (size_t i = 0; i < sizeof hash; i++)
		hash = hash << 8 | md5[i];
	if (field->width != 0)
		hash %= (uint64_t)(int64_t)field->width;
	put_hash(field, (unsigned int)hash);
}

static void md5_hex(struct field *field)
{
	unsigned char md5[16];

	hash_md5(buf_str(&field->value), field->value.len, md5);
	buf_truncate(&field->value, 0);
	buf_hex(&field->value, md5, sizeof md5);
}

static void ldap_dn(struct field *field)
{
	autofree char *old = buf_steal(&field->value);

	for (const char *p = old; *p != '\0'; p++) {
		if (*p == '.')
			buf_puts(&field->value, ",dc=");
		else
			buf_putc(&field->value, *p);
	}
}

static void trim(struct buf *value)
{
	size_t len = value->len;

	while (len > 0 && strchr(" \t\n\v\f\r", value->data[len - 1]))
		len--;
	buf_truncate(value, len);
}

static void modify(struct field *field, char modifier)
{
	switch (modifier) {
	case 'L':
		change_case(&field->value, 'A', 'Z');
		break;
	case 'U':
		change_case(&field->value, 'a', 'z');
		break;
	case 'E':
		escape(field);
		break;
	case 'X':
		decimal_to_hex(field);
		break;
	case 'R':
		reverse(&field->value);
		break;
	case 'H':
		hash_old(field);
		break;
	case 'N':
		hash_new(field);
		break;
	case 'M':
		md5_hex(field);
		break;
	case 'D':
		ldap_dn(field);
		break;
	default:
		trim(&field->value);
		break;
	}
}

/* The part that offset and width leave, as var_expand_with_funcs() does it. */
static void put_range(const struct field *field, bool zero_padding, struct buf *out)
{
	const char *value = buf_str(&field->value);
	size_t len = field->value.len;
	size_t offset = (size_t)(field->offset < 0 ? -field->offset : field->offset);
	int64_t width = field->width;

	if (field->offset < 0)
		offset = len > offset ? len - offset : 0;
	if (offset > len)
		offset = len;
	value += offset;
	len -= offset;
	if (zero_padding) {
		for (int64_t i = (int64_t)len; i < width; i++)
			buf_putc(out, '0');
	} else if (width != 0) {
		if (width < 0)
			width += (int64_t)len;
		/* A negative width that leaves nothing leaves everything:
		 * there it turns into a huge unsigned length. */
		if (width >= 0 && (size_t)width < len)
			len = (size_t)width;
	}
	buf_append(out, value, len);
}

static const char *value_of(char name, const struct expand_user *user)
{
	switch (name) {
	case 'u':
		return user->user;
	case 'n':
		return user->name;
	case 'd':
		return user->domain;
	case 'h':
		return user->home;
	default:
		return "%";
	}
}

static int put_variable(const struct expand_token *token, const struct expand_user *user,
			struct buf *out, struct err *err)
{
	struct field field CLEANUP(field_cleanup) = { .offset = token->offset,
						      .width = token->width };
	const char *value = value_of(token->name, user);

	if (!value)
		return err_set(err, ERR_CONFIG, "the variable %%h cannot be used here");
	if (expand_token_is_plain(token)) {
		buf_puts(out, value);
		return 0;
	}
	set_value(&field, value);
	for (size_t i = 0; i < token->modifier_count; i++)
		modify(&field, token->modifiers[i]);
	put_range(&field, token->zero_padding, out);
	return 0;
}

static int put_token(const struct expand_token *token, const struct expand_user *user, size_t limit,
		     struct buf *out, struct err *err)
{
	if (token->kind == EXPAND_LITERAL)
		buf_append(out, token->text, token->len);
	else if (token->kind == EXPAND_SLASH)
		buf_putc(out, '/');
	else if (put_variable(token, user, out, err) < 0)
		return -1;
	if (out->len > limit)
		return err_set(err, ERR_CONFIG, "it expands to more than %d bytes",
			       EXPAND_PATH_MAX);
	return 0;
}

int expand_text(const char *pattern, const struct expand_user *user, struct buf *out,
		struct err *err)
{
	const char *pos = pattern;
	const size_t old_len = out->len;
	struct expand_token token;
	int ret;

	while ((ret = expand_token_next(&pos, &token, err)) > 0) {
		ret = put_token(&token, user, old_len + EXPAND_PATH_MAX, out, err);
		if (ret < 0)
			break;
	}
	if (ret < 0) {
		buf_truncate(out, old_len);
		return err_prefix(err, "pattern %s", quote_str(pattern).s);
	}
	return 0;
}

static const char *component_problem(const char *name, size_t len)
{
	if (len == 0)
		return "an empty folder name";
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return "a folder named . or ..";
	if (len > 255)
		return "a folder name of more than 255 bytes";
	return NULL;
}

static const char *path_problem(const char *path)
{
	const char *problem;

	for (;;) {
		size_t len = strcspn(path, "/");

		problem = component_problem(path, len);
		if (problem || path[len] == '\0')
			return problem;
		path += len + 1;
	}
}

int expand_path(const char *pattern, const struct expand_user *user, struct buf *out,
		struct err *err)
{
	autobuf struct buf path = { 0 };
	const char *problem;

	if (expand_text(pattern, user, &path, err) < 0)
		return -1;
	/* Only the pattern's own slash makes it absolute, not an empty %d. */
	problem = path_problem(buf_str(&path) + (*pattern == '/'));
	if (problem)
		return err_set(err, ERR_USAGE, "user name %s gives %s with the pattern %s",
			       quote_str(user->user).s, problem, quote_str(pattern).s);
	buf_append(out, path.data, path.len);
	return 0;
}
