/* Questions about text. */
#pragma once

#include <stdbool.h>
#include <string.h>

static inline bool str_starts_with(const char *s, const char *start)
{
	return strncmp(s, start, strlen(start)) == 0;
}

static inline bool str_ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), end_len = strlen(end);

	return len >= end_len && strcmp(s + len - end_len, end) == 0;
}

/* NULL is the same as NULL only. */
static inline bool str_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}
