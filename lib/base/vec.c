#include "base/vec.h"

#include <string.h>

void str_vec_free(struct str_vec *vec)
{
	for (size_t i = 0; i < vec->count; i++)
		free(vec->items[i]);
	vec_free(vec);
}

void str_vec_copy(struct str_vec *to, const struct str_vec *from)
{
	str_vec_free(to);
	for (size_t i = 0; i < from->count; i++)
		vec_push(to, xstrdup(from->items[i]));
}

int str_vec_has(const struct str_vec *vec, const char *s)
{
	for (size_t i = 0; i < vec->count; i++) {
		if (strcmp(vec->items[i], s) == 0)
			return 1;
	}
	return 0;
}

int str_vec_drop(struct str_vec *vec, const char *s)
{
	size_t kept = 0, count = vec->count;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(vec->items[i], s) == 0)
			free(vec->items[i]);
		else
			vec->items[kept++] = vec->items[i];
	}
	vec->count = kept;
	return kept < count;
}
