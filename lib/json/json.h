/* JSON, read and built: a thin cover over jansson, so that no other module
 * knows it, and so that what a file holds is checked while it is read.
 *
 *   autojson struct json *root = NULL;
 *   const char *base;
 *   if (json_parse(text, len, &root, err) < 0 || json_get_str(root, "base", &base, err) < 0)
 *           return -1;
 *
 * Reading: anything but an object has no members. A getter returns 1 when the member is there, 0
 * when it is absent or null, -1 (ERR_DATA, "member \"base\": …") when it is of another type or out
 * of range. Texts and values that it gives out belong to the document. Depth is limited (jansson:
 * 2048), duplicate members are refused, and a number with a fraction is no integer. Thread-safe for
 * different documents. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"

struct json;

/* A document: an object or an array, with nothing after it. */
int json_parse(const char *text, size_t len, struct json **json_r, struct err *err);
void json_free(struct json **json);
#define autojson CLEANUP(json_free)

int json_get_str(const struct json *object, const char *name, const char **value_r,
		 struct err *err);
int json_get_int(const struct json *object, const char *name, int64_t *value_r, struct err *err);
/* 0 and above only. */
int json_get_uint(const struct json *object, const char *name, uint64_t *value_r, struct err *err);
int json_get_bool(const struct json *object, const char *name, bool *value_r, struct err *err);
int json_get_array(const struct json *object, const char *name, const struct json **value_r,
		   struct err *err);
int json_get_object(const struct json *object, const char *name, const struct json **value_r,
		    struct err *err);

/* Turns an absent member (0) into an error: json_need(json_get_str(…), "base", err). */
int json_need(int ret, const char *name, struct err *err);

/* Whether it is an array; one of anything else has no items. */
bool json_is_list(const struct json *json);
size_t json_count(const struct json *array);
const struct json *json_at(const struct json *array, size_t index);
/* The text of an array's item; NULL when it is no string. */
const char *json_item_str(const struct json *item);
/* Whether an array's item is a whole number from 0 up. */
bool json_item_uint(const struct json *item, uint64_t *value_r);

/* Every member of an object in its order, until `fn` returns something but 0, which is
 * returned. -1 when it is no object. */
typedef int json_member_fn(void *ctx, const char *name, const struct json *value);
int json_each(const struct json *object, json_member_fn *fn, void *ctx);

/* Building. A container takes its children over. */
struct json *json_new_object(void);
struct json *json_new_array(void);
void json_set_str(struct json *object, const char *name, const char *value); /* NULL: null */
void json_set_int(struct json *object, const char *name, int64_t value);
void json_set_bool(struct json *object, const char *name, bool value);
void json_set(struct json *object, const char *name, struct json *value);
void json_add_int(struct json *array, int64_t value);
void json_add_str(struct json *array, const char *value);
void json_add(struct json *array, struct json *value);

/* Append the text in one line, members in the order they were set. Text that is
 * no UTF-8 was replaced when it was set. */
void json_print(const struct json *json, struct buf *to);

/* Append a quoted JSON string; bytes that are no UTF-8 become U+FFFD. For writers
 * that stream. */
void json_escape(struct buf *to, const char *s, size_t len);
