#include "base/expand_token.h"

#include <string.h>

#include "base/quote.h"

/* No path is longer, so nobody pads to more or starts behind it; and the loops
 * that pad stay short. */
#define PAD_MAX 4096
#define NUMBER_MAX 100000000

static int bad_pattern(struct err *err, const char *what)
{
	return err_set(err, ERR_CONFIG, "%s", what);
}

static int read_number(const char **pos, int *num_r, struct err *err)
{
	int num = 0;

	for (; **pos >= '0' && **pos <= '9'; (*pos)++) {
		num = num * 10 + (**pos - '0');
		if (num > NUMBER_MAX)
			return bad_pattern(err, "a number in a variable is too large");
	}
	*num_r = num;
	return 0;
}

/* A flag character that may or may not be there. */
static bool skip_char(const char **pos, char c)
{
	if (**pos != c)
		return false;
	(*pos)++;
	return true;
}

/* [-][0][offset.][0][-][width], with the quirks of var_expand_with_funcs(): a sign
 * before a plain width means nothing, a zero before an offset neither. */
static int read_range(const char **pos, struct expand_token *token, struct err *err)
{
	bool negative = skip_char(pos, '-');

	token->zero_padding = skip_char(pos, '0');
	if (read_number(pos, &token->width, err) < 0)
		return -1;
	if (skip_char(pos, '.')) {
		token->offset = negative ? -token->width : token->width;
		token->zero_padding = skip_char(pos, '0');
		negative = skip_char(pos, '-');
		if (read_number(pos, &token->width, err) < 0)
			return -1;
		if (negative)
			token->width = -token->width;
	}
	if (token->offset > PAD_MAX || (token->zero_padding && token->width > PAD_MAX))
		return bad_pattern(err, "a number in a variable is too large");
	return 0;
}

static void read_modifiers(const char **pos, struct expand_token *token)
{
	while (token->modifier_count < EXPAND_TOKEN_MODIFIERS && **pos != '\0' &&
	       strchr("LUEXRHNMDT", **pos))
		token->modifiers[token->modifier_count++] = *(*pos)++;
}

static int read_long_name(const char **pos, struct expand_token *token, struct err *err)
{
	static const struct {
		const char *text;
		char name;
	} names[] = {
		{ "user", 'u' },
		{ "username", 'n' },
		{ "domain", 'd' },
		{ "home", 'h' },
	};
	const char *text = *pos + 1;
	size_t len = strcspn(text, "}");

	for (size_t i = 0; text[len] == '}' && i < sizeof names / sizeof names[0]; i++) {
		if (strlen(names[i].text) == len && memcmp(names[i].text, text, len) == 0) {
			token->name = names[i].name;
			*pos = text + len + 1;
			return 1;
		}
	}
	return err_set(
		err, ERR_CONFIG,
		"unknown variable %s (accepted: %%u %%n %%d %%{user} %%{username} %%{domain})",
		quote_mem(*pos, text[len] == '}' ? len + 2 : len + 1).s);
}

static int read_name(const char **pos, struct expand_token *token, struct err *err)
{
	char name = **pos;

	if (name == '\0')
		return bad_pattern(err, "it ends in the middle of a variable "
					"(write %% for a percent sign)");
	if (name == '{')
		return read_long_name(pos, token, err);
	if (!strchr("undh%", name))
		return err_set(
			err, ERR_CONFIG,
			"unknown variable %s (accepted: %%u %%n %%d, and %%%% for a percent sign)",
			quote_mem(*pos, 1).s);
	token->name = name;
	(*pos)++;
	return 1;
}

static void make_literal(struct expand_token *token, const char *text, size_t len)
{
	token->kind = EXPAND_LITERAL;
	token->text = text;
	token->len = len;
}

int expand_token_next(const char **pattern, struct expand_token *token_r, struct err *err)
{
	const char *start = *pattern;

	*token_r = (struct expand_token){ 0 };
	if (*start == '\0')
		return 0;
	if (*start == '/') {
		token_r->kind = EXPAND_SLASH;
		*pattern = start + 1;
		return 1;
	}
	if (*start != '%') {
		make_literal(token_r, start, strcspn(start, "%/"));
		*pattern = start + token_r->len;
		return 1;
	}
	if (start[1] == '%') {
		make_literal(token_r, start, 1);
		*pattern = start + 2;
		return 1;
	}
	token_r->kind = EXPAND_VARIABLE;
	(*pattern)++;
	if (read_range(pattern, token_r, err) < 0)
		return -1;
	read_modifiers(pattern, token_r);
	return read_name(pattern, token_r, err);
}

bool expand_token_is_plain(const struct expand_token *token)
{
	return token->kind == EXPAND_VARIABLE && token->offset == 0 && token->width == 0 &&
	       token->modifier_count == 0;
}
