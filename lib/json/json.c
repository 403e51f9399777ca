#include "json/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* A struct json is a json_t; only this file knows. */
static json_t *in(const struct json *json)
{
	return (json_t *)(uintptr_t)json;
}

static struct json *out(json_t *json)
{
	if (!json)
		abort(); /* jansson has no memory */
	return (struct json *)json;
}

int json_parse(const char *text, size_t len, struct json **json_r, struct err *err)
{
	json_error_t error;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		return err_set(err, ERR_DATA, "no valid JSON: line %d: %s", error.line, error.text);
	*json_r = out(json);
	return 0;
}

void json_free(struct json **json)
{
	if (*json)
		json_decref(in(*json));
	*json = NULL;
}

static int wrong_type(const char *name, const char *expected, struct err *err)
{
	return err_set(err, ERR_DATA, "member \"%s\": expected %s", name, expected);
}

/* The member; NULL when it is absent or null. */
static json_t *member(const struct json *object, const char *name)
{
	json_t *value = json_object_get(in(object), name);

	return json_is_null(value) ? NULL : value;
}

int json_get_str(const struct json *object, const char *name, const char **value_r, struct err *err)
{
	json_t *value = member(object, name);

	if (!value)
		return 0;
	if (!json_is_string(value))
		return wrong_type(name, "a string", err);
	*value_r = json_string_value(value);
	return 1;
}

int json_get_int(const struct json *object, const char *name, int64_t *value_r, struct err *err)
{
	json_t *value = member(object, name);

	if (!value)
		return 0;
	if (!json_is_integer(value))
		return wrong_type(name, "an integer", err);
	*value_r = json_integer_value(value);
	return 1;
}

int json_get_uint(const struct json *object, const char *name, uint64_t *value_r, struct err *err)
{
	int64_t value = 0;
	int ret = json_get_int(object, name, &value, err);

	if (ret <= 0)
		return ret;
	if (value < 0)
		return wrong_type(name, "a number that is not negative", err);
	*value_r = (uint64_t)value;
	return 1;
}

int json_get_bool(const struct json *object, const char *name, bool *value_r, struct err *err)
{
	json_t *value = member(object, name);

	if (!value)
		return 0;
	if (!json_is_boolean(value))
		return wrong_type(name, "true or false", err);
	*value_r = json_is_true(value);
	return 1;
}

int json_get_array(const struct json *object, const char *name, const struct json **value_r,
		   struct err *err)
{
	json_t *value = member(object, name);

	if (!value)
		return 0;
	if (!json_is_array(value))
		return wrong_type(name, "an array", err);
	*value_r = out(value);
	return 1;
}

int json_get_object(const struct json *object, const char *name, const struct json **value_r,
		    struct err *err)
{
	json_t *value = member(object, name);

	if (!value)
		return 0;
	if (!json_is_object(value))
		return wrong_type(name, "an object", err);
	*value_r = out(value);
	return 1;
}

int json_need(int ret, const char *name, struct err *err)
{
	return ret == 0 ? err_set(err, ERR_DATA, "member \"%s\" is missing", name) : ret;
}

bool json_is_list(const struct json *json)
{
	return json_typeof(in(json)) == JSON_ARRAY;
}

size_t json_count(const struct json *array)
{
	return json_array_size(in(array));
}

const struct json *json_at(const struct json *array, size_t index)
{
	return out(json_array_get(in(array), index));
}

const char *json_item_str(const struct json *item)
{
	return json_string_value(in(item));
}

bool json_item_uint(const struct json *item, uint64_t *value_r)
{
	if (!json_is_integer(in(item)) || json_integer_value(in(item)) < 0)
		return false;
	*value_r = (uint64_t)json_integer_value(in(item));
	return true;
}

int json_each(const struct json *object, json_member_fn *fn, void *ctx)
{
	const char *name;
	json_t *value;

	if (!json_is_object(in(object)))
		return -1;
	json_object_foreach(in(object), name, value)
	{
		int ret = fn(ctx, name, out(value));

		if (ret != 0)
			return ret;
	}
	return 0;
}

struct json *json_new_object(void)
{
	return out(json_object());
}

struct json *json_new_array(void)
{
	return out(json_array());
}

static void append_valid(struct buf *to, const char *s, size_t len)
{
	while (len > 0) {
		size_t n = utf8_char_len(s, len);

		if (n == 0)
			buf_puts(to, "\xEF\xBF\xBD");
		else
			buf_append(to, s, n);
		n = n ? n : 1;
		s += n;
		len -= n;
	}
}

static json_t *new_string(const char *value)
{
	autobuf struct buf valid = { 0 };

	if (!value)
		return json_null();
	if (utf8_is_valid(value, strlen(value)))
		return json_string_nocheck(value);
	append_valid(&valid, value, strlen(value));
	return json_string_nocheck(buf_str(&valid));
}

void json_set(struct json *object, const char *name, struct json *value)
{
	if (json_object_set_new_nocheck(in(object), name, in(value)) < 0)
		abort();
}

void json_set_str(struct json *object, const char *name, const char *value)
{
	json_set(object, name, out(new_string(value)));
}

void json_set_int(struct json *object, const char *name, int64_t value)
{
	json_set(object, name, out(json_integer(value)));
}

void json_set_bool(struct json *object, const char *name, bool value)
{
	json_set(object, name, out(json_boolean(value)));
}

void json_add(struct json *array, struct json *value)
{
	if (json_array_append_new(in(array), in(value)) < 0)
		abort();
}

void json_add_int(struct json *array, int64_t value)
{
	json_add(array, out(json_integer(value)));
}

void json_add_str(struct json *array, const char *value)
{
	json_add(array, out(new_string(value)));
}

static int append(const char *text, size_t len, void *ctx)
{
	buf_append(ctx, text, len);
	return 0;
}

void json_print(const struct json *json, struct buf *to)
{
	if (json_dump_callback(in(json), append, to, JSON_COMPACT) < 0)
		abort();
}

static void escape_char(struct buf *to, unsigned char c)
{
	static const char short_forms[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
	};

	if (c == '"' || c == '\\')
		buf_printf(to, "\\%c", c);
	else if (short_forms[c])
		buf_printf(to, "\\%c", short_forms[c]);
	else
		buf_printf(to, "\\u%04x", c);
}

void json_escape(struct buf *to, const char *s, size_t len)
{
	size_t plain = 0; /* bytes from s on that go out as they are */

	buf_putc(to, '"');
	while (plain < len) {
		unsigned char c = (unsigned char)s[plain];
		size_t n = c < 0x80 ? 1 : utf8_char_len(s + plain, len - plain);

		if (c >= 0x20 && c != '"' && c != '\\' && n > 0) {
			plain += n;
			continue;
		}
		buf_append(to, s, plain);
		if (n == 0)
			buf_puts(to, "\xEF\xBF\xBD");
		else
			escape_char(to, c);
		s += plain + 1;
		len -= plain + 1;
		plain = 0;
	}
	buf_append(to, s, plain);
	buf_putc(to, '"');
}
