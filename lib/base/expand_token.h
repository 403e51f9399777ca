/* A pattern taken apart; only for the expand_*.c files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define EXPAND_TOKEN_MODIFIERS 10 /* as many as Dovecot reads */

enum expand_token_kind {
	EXPAND_LITERAL,
	EXPAND_SLASH,
	EXPAND_VARIABLE,
};

struct expand_token {
	enum expand_token_kind kind;
	const char *text; /* of a literal, not terminated */
	size_t len;
	char name; /* of a variable: u n d h, or % with a width or modifiers */
	int offset;
	int width;
	bool zero_padding;
	size_t modifier_count;
	char modifiers[EXPAND_TOKEN_MODIFIERS];
};

/* 1: the next token, and *pattern stands behind it; 0: the end; -1: bad pattern. */
int expand_token_next(const char **pattern, struct expand_token *token_r, struct err *err);

/* Whether the variable's value comes out as it is. */
bool expand_token_is_plain(const struct expand_token *token);
