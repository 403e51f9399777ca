/* JSON: what is refused, how members are typed, and text that was no UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json/json.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct json *parse(const char *text)
{
	struct json *root = NULL;
	struct err err = { 0 };

	if (json_parse(text, strlen(text), &root, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return root;
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"{}x",
		"{} {}",
		"nul",
		"{\"a\":1,}",
		"{\"a\":1,\"a\":2}",
		"[1,]",
		"{'a':1}",
		"{\"a\":\"\xff\"}",
		"1",
		"\"text\"",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":99999999999999999999}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":1e999}",
		"\xef\xbb\xbf{}",
		"{\"a\":\"\n\"}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		autojson struct json *root = NULL;
		struct err err = { 0 };

		if (json_parse(bad[i], strlen(bad[i]), &root, &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_DATA);
		assert_null(root);
	}
}

static void test_length_counts(void **state)
{
	autojson struct json *root = NULL;

	(void)state;
	assert_int_equal(json_parse("{}garbage", 2, &root, NULL), 0);
	json_free(&root);
	assert_int_equal(json_parse("{}\0{}", 5, &root, NULL), -1);
}

/* Deeply nested text must not use up the stack. */
static void test_depth(void **state)
{
	autojson struct json *root = NULL;
	size_t len = 2000000;
	char *text = malloc(len);

	(void)state;
	memset(text, '[', len);
	assert_int_equal(json_parse(text, len, &root, NULL), -1);
	free(text);
}

static void test_types(void **state)
{
	autojson struct json *root = parse("{\"s\":\"t\",\"i\":-5,\"r\":1.5,\"w\":2.0,\"b\":true,"
					   "\"a\":[\"x\",3],\"o\":{\"k\":1},\"n\":null,"
					   "\"max\":9223372036854775807}");
	const struct json *array, *object;
	const char *s;
	int64_t i;
	uint64_t u;
	bool b = false;

	(void)state;
	assert_int_equal(json_get_str(root, "s", &s, NULL), 1);
	assert_string_equal(s, "t");
	assert_int_equal(json_get_int(root, "i", &i, NULL), 1);
	assert_int_equal(i, -5);
	assert_int_equal(json_get_uint(root, "max", &u, NULL), 1);
	assert_true(u == INT64_MAX);
	assert_int_equal(json_get_bool(root, "b", &b, NULL), 1);
	assert_true(b);
	assert_int_equal(json_get_object(root, "o", &object, NULL), 1);
	assert_int_equal(json_get_int(object, "k", &i, NULL), 1);
	assert_int_equal(json_get_array(root, "a", &array, NULL), 1);
	assert_int_equal(json_count(array), 2);
	assert_string_equal(json_item_str(json_at(array, 0)), "x");
	assert_null(json_item_str(json_at(array, 1)));
	assert_int_equal(json_get_str(root, "none", &s, NULL), 0);
	assert_int_equal(json_get_str(root, "n", &s, NULL), 0);
	assert_int_equal(json_get_str(json_at(array, 0), "x", &s, NULL), 0);
}

static void test_wrong_types(void **state)
{
	autojson struct json *root =
		parse("{\"s\":\"1\",\"i\":-5,\"r\":1.5,\"w\":2.0,\"b\":true,\"a\":[],\"o\":{}}");
	static const char names[] = "sirwbao";
	/* Which of the names each getter takes. */
	static const char *const takes[] = { "s", "i", "", "b", "a", "o" };

	(void)state;
	for (size_t n = 0; names[n] != '\0'; n++) {
		const char name[2] = { names[n], '\0' };
		struct err err[6] = { 0 };
		const struct json *json;
		const char *s;
		int64_t i;
		uint64_t u;
		bool b;
		const int rets[] = {
			json_get_str(root, name, &s, &err[0]),
			json_get_int(root, name, &i, &err[1]),
			json_get_uint(root, name, &u, &err[2]),
			json_get_bool(root, name, &b, &err[3]),
			json_get_array(root, name, &json, &err[4]),
			json_get_object(root, name, &json, &err[5]),
		};

		for (size_t g = 0; g < COUNT(rets); g++) {
			bool taken = strchr(takes[g], names[n]) != NULL;

			assert_int_equal(rets[g], taken ? 1 : -1);
			if (!taken) {
				assert_int_equal(err[g].code, ERR_DATA);
				assert_memory_equal(err[g].msg, "member \"", 8);
				assert_int_equal(err[g].msg[8], names[n]);
			}
		}
	}
}

static void test_need(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(json_need(1, "base", &err), 1);
	assert_int_equal(err.code, ERR_NONE);
	assert_int_equal(json_need(-1, "base", &err), -1);
	assert_int_equal(err.code, ERR_NONE);
	assert_int_equal(json_need(0, "base", &err), -1);
	assert_string_equal(err.msg, "member \"base\" is missing");
	assert_int_equal(err.code, ERR_DATA);
}

static void test_build_and_print(void **state)
{
	autojson struct json *root = json_new_object();
	autobuf struct buf out = { 0 };
	struct json *array = json_new_array(), *item = json_new_object();

	(void)state;
	json_set_int(root, "z", INT64_MIN);
	json_set_str(root, "a", "q\"\n\xc3\xa9");
	json_set_str(root, "none", NULL);
	json_set_str(root, "bad", "x\xffy");
	json_set_bool(root, "b", false);
	json_set_int(item, "k", 1);
	json_add(array, item);
	json_add_str(array, "t\x80");
	json_set(root, "list", array);
	buf_puts(&out, ">");
	json_print(root, &out);
	assert_string_equal(buf_str(&out),
			    ">{\"z\":-9223372036854775808,\"a\":\"q\\\"\\n\xc3\xa9\",\"none\":null,"
			    "\"bad\":\"x\xef\xbf\xbdy\",\"b\":false,"
			    "\"list\":[{\"k\":1},\"t\xef\xbf\xbd\"]}");
}

static void test_escape(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *json;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "plain", 5, "\"plain\"" },
		{ "a\"b\\c/", 6, "\"a\\\"b\\\\c/\"" },
		{ "\b\t\n\f\r\x01\x1f\x7f", 8, "\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\"" },
		{ "a\0b", 3, "\"a\\u0000b\"" },
		{ "\xc3\xa9\xff\xc3", 4, "\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		autobuf struct buf out = { 0 };

		json_escape(&out, cases[i].text, cases[i].len);
		assert_string_equal(buf_str(&out), cases[i].json);
	}
}

/* Whatever the bytes are, a reader takes the result, and takes it for the same
 * text where it was UTF-8. */
static void test_escape_is_json(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		autobuf struct buf out = { 0 };
		autojson struct json *root = NULL;
		char text[40];

		for (size_t i = 0; i < sizeof text; i++) {
			seed = seed * 1103515245 + 12345;
			text[i] = (char)(seed >> 16);
			if (text[i] == '\0')
				text[i] = 'x';
		}
		buf_putc(&out, '[');
		json_escape(&out, text, sizeof text);
		buf_putc(&out, ']');
		assert_int_equal(json_parse(out.data, out.len, &root, NULL), 0);
	}
}

static void test_item_uint(void **state)
{
	autojson struct json *root = parse("[0,9223372036854775807,-1,1.0,\"1\",true,null,[1],{}]");
	uint64_t value = 7;

	(void)state;
	assert_true(json_item_uint(json_at(root, 0), &value));
	assert_int_equal(value, 0);
	assert_true(json_item_uint(json_at(root, 1), &value));
	assert_true(value == INT64_MAX);
	for (size_t i = 2; i < json_count(root); i++)
		assert_false(json_item_uint(json_at(root, i), &value));
	assert_true(value == INT64_MAX);
}

static int join_members(void *ctx, const char *name, const struct json *value)
{
	buf_printf(ctx, "%s=%s ", name, json_item_str(value) ? json_item_str(value) : "-");
	return strcmp(name, "stop") == 0 ? 7 : 0;
}

static void test_each(void **state)
{
	static const char text[] = "[{\"b\":\"1\",\"a\":[],\"stop\":\"\",\"z\":\"\"},[1],{}]";
	autojson struct json *root = NULL;
	autobuf struct buf seen = { 0 };

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &root, NULL), 0);
	assert_int_equal(json_each(json_at(root, 0), join_members, &seen), 7);
	assert_string_equal(buf_str(&seen), "b=1 a=- stop= ");
	assert_int_equal(json_each(json_at(root, 1), join_members, &seen), -1);
	assert_int_equal(json_each(json_at(root, 2), join_members, &seen), 0);
	assert_string_equal(buf_str(&seen), "b=1 a=- stop= ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_length_counts),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_need),
		cmocka_unit_test(test_build_and_print),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_is_json),
		cmocka_unit_test(test_item_uint),
		cmocka_unit_test(test_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
