/* A typed growing array.
 *
 *   VEC(name_vec, char *);
 *   struct name_vec names = { 0 };
 *   vec_push(&names, xstrdup(user));
 *   for (size_t i = 0; i < names.count; i++) use(names.items[i]);
 *   vec_free(&names);          frees the array, not what the items point to */
#pragma once

#include <stdlib.h>

#include "base/mem.h"

#define VEC(name, type)                                                                            \
	struct name {                                                                              \
		type *items;                                                                       \
		size_t count;                                                                      \
		size_t cap;                                                                        \
	}

#define vec_push(vec, item)                                                                        \
	do {                                                                                       \
		__typeof__(vec) vec_ = (vec);                                                      \
		if (vec_->count == vec_->cap) {                                                    \
			vec_->cap = vec_->cap ? vec_->cap * 2 : 8;                                 \
			vec_->items = xreallocarray(vec_->items, vec_->cap, sizeof *vec_->items);  \
		}                                                                                  \
		vec_->items[vec_->count++] = (item);                                               \
	} while (0)

#define vec_free(vec)                                                                              \
	do {                                                                                       \
		__typeof__(vec) vec_ = (vec);                                                      \
		free(vec_->items);                                                                 \
		vec_->items = NULL;                                                                \
		vec_->count = vec_->cap = 0;                                                       \
	} while (0)

VEC(str_vec, char *);

/* Frees the strings and the array; the vector is empty afterwards. */
void str_vec_free(struct str_vec *vec);

/* Make `to` hold copies of the same strings, and nothing else. */
void str_vec_copy(struct str_vec *to, const struct str_vec *from);

/* Whether `s` is one of them. */
int str_vec_has(const struct str_vec *vec, const char *s);

/* Remove `s`, wherever it is; the others keep their order. Whether it was there. */
int str_vec_drop(struct str_vec *vec, const char *s);
