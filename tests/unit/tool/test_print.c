/* The formatters: goldens, hostile values, chosen fields, full disks, many rows. */
#include "capture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/utf8.h"
#include "tool/print.h"
#include "json/json.h"

static const struct print_field fields[] = {
	{ .name = "username", .title = "User" },
	{ .name = "bytes-used", .flags = PRINT_SIZE },
	{ .name = "last-access(0)", .flags = PRINT_TIME },
	{ .name = "weight", .flags = PRINT_RIGHT },
	{ .name = "clean" },
	{ .name = "root", .flags = PRINT_HIDDEN },
};
#define FIELDS ROWS(fields)

static const struct print_value rows[][FIELDS] = {
	{ { PRINT_STR, .s = "a@example.com" },
	  { PRINT_UINT, .u = 1536 },
	  { PRINT_INT, .i = 1000000000 },
	  { PRINT_INT, .i = -5 },
	  { PRINT_BOOL, .b = true },
	  { PRINT_STR, .s = "/srv" } },
	{ { PRINT_STR, .s = "b c\td" },
	  { PRINT_UINT, .u = UINT64_MAX },
	  { PRINT_INT, .i = 0 },
	  { PRINT_NULL },
	  { PRINT_BOOL, .b = false },
	  { PRINT_STR, .s = "" } },
};

static const struct print_field totals[] = {
	{ .name = "users" },
	{ .name = "bytes", .title = "Bytes in all", .flags = PRINT_SIZE | PRINT_HIDDEN },
};
static const struct print_value total_values[] = { { PRINT_UINT, .u = 2 },
						   { PRINT_UINT, .u = 2048 } };

static struct print_options options_of(enum print_format format, int fd)
{
	return (struct print_options){
		.format = format,
		.fd = fd,
		.rows = "users",
		.fields = fields,
		.field_count = FIELDS,
	};
}

static struct printer *start(const struct print_options *options)
{
	struct err err = { 0 };
	struct printer *printer = print_new(options, &err);

	if (!printer)
		fail_msg("%s", err.msg);
	return printer;
}

static void end(struct printer **printer)
{
	struct err err = { 0 };

	if (print_finish(printer, &err) < 0)
		fail_msg("%s", err.msg);
	assert_null(*printer);
}

static void put_rows(struct printer *printer, size_t count)
{
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++)
		assert_int_equal(print_row(printer, rows[i], &err), 0);
}

static const struct {
	enum print_format format;
	const char *two_rows, *summary, *none;
} goldens[] = {
	{ PRINT_FLOW,
	  "username=a@example.com bytes-used=1536 last-access(0)=1000000000 weight=-5 clean=yes\n"
	  "username=\"b c\\td\" bytes-used=18446744073709551615 last-access(0)=0 weight= "
	  "clean=no\n",
	  "summary: users=2 bytes=2048\n", "" },
	{ PRINT_PAGER,
	  "User: a@example.com\nbytes-used: 1536\nlast-access(0): 1000000000\nweight: -5\nclean: "
	  "yes\n"
	  "\f\n"
	  "User: b c\\td\nbytes-used: 18446744073709551615\nlast-access(0): 0\nweight: \nclean: "
	  "no\n",
	  "\f\nusers: 2\nBytes in all: 2048\n", "" },
	{ PRINT_TAB,
	  "username\tbytes-used\tlast-access(0)\tweight\tclean\n"
	  "a@example.com\t1536\t1000000000\t-5\tyes\n"
	  "b c\001td\t18446744073709551615\t0\t\tno\n",
	  "", "username\tbytes-used\tlast-access(0)\tweight\tclean\n" },
	{ PRINT_TABLE,
	  "User                     bytes-used  last-access(0)       weight  clean\n"
	  "a@example.com                  1.5K  2001-09-09 01:46:40      -5  yes\n"
	  "b c\\td         18446744073709551615  -                         -  no\n",
	  "\nusers:        2\nBytes in all: 2.0K\n",
	  "User  bytes-used  last-access(0)  weight  clean\n" },
	{ PRINT_JSON,
	  "{\"users\":[\n"
	  "{\"username\":\"a@example.com\",\"bytes-used\":1536,\"last-access(0)\":1000000000,"
	  "\"weight\":-5,\"clean\":true},\n"
	  "{\"username\":\"b c\\td\",\"bytes-used\":18446744073709551615,\"last-access(0)\":0,"
	  "\"weight\":null,\"clean\":false}\n]",
	  ",\"summary\":{\"users\":2,\"bytes\":2048}", "{\"users\":[]}\n" },
	{ PRINT_JSONL,
	  "{\"username\":\"a@example.com\",\"bytes-used\":1536,\"last-access(0)\":1000000000,"
	  "\"weight\":-5,\"clean\":true}\n"
	  "{\"username\":\"b c\\td\",\"bytes-used\":18446744073709551615,\"last-access(0)\":0,"
	  "\"weight\":null,\"clean\":false}\n",
	  "{\"summary\":{\"users\":2,\"bytes\":2048}}\n", "" },
};

static void test_goldens(void **state)
{
	int fd = capture_open();

	(void)state;
	for (size_t i = 0; i < ROWS(goldens); i++) {
		struct print_options options = options_of(goldens[i].format, fd);
		const char *tail = goldens[i].format == PRINT_JSON ? "}\n" : "";
		struct printer *printer = start(&options);
		struct err err = { 0 };
		char expected[2048];

		put_rows(printer, 2);
		end(&printer);
		snprintf(expected, sizeof expected, "%s%s", goldens[i].two_rows, tail);
		assert_captured(fd, expected);

		printer = start(&options);
		put_rows(printer, 2);
		assert_int_equal(print_summary(printer, totals, total_values, ROWS(totals), &err),
				 0);
		assert_int_equal(print_summary(printer, totals, total_values, ROWS(totals), &err),
				 -1);
		assert_int_equal(err.code, ERR_BUG);
		end(&printer);
		snprintf(expected, sizeof expected, "%s%s%s", goldens[i].two_rows,
			 goldens[i].summary, tail);
		assert_captured(fd, expected);

		printer = start(&options);
		end(&printer);
		assert_captured(fd, goldens[i].none);
	}
	close(fd);
}

static void test_auto_is_tab_without_terminal(void **state)
{
	int fd = capture_open();
	struct print_options options = options_of(PRINT_AUTO, fd);
	struct printer *printer = start(&options);

	(void)state;
	end(&printer);
	assert_captured(fd, goldens[2].none);
	close(fd);
}

static void select_fields(struct str_vec *selected, const char *const *names)
{
	for (; *names; names++)
		vec_push(selected, xstrdup(*names));
}

static void test_selected(void **state)
{
	static const struct {
		const char *names[4];
		const char *expected;
	} selections[] = {
		{ { "weight", "username" }, "-5\ta@example.com\n" },
		{ { "root" }, "/srv\n" },
		{ { "clean", "clean" }, "yes\n" },
		{ { "all" }, "a@example.com\t1536\t1000000000\t-5\tyes\t/srv\n" },
		{ { "root", "all" }, "/srv\ta@example.com\t1536\t1000000000\t-5\tyes\n" },
	};
	int fd = capture_open();

	(void)state;
	for (size_t i = 0; i < ROWS(selections); i++) {
		struct print_options options = options_of(PRINT_TAB, fd);
		struct str_vec selected = { 0 };
		struct printer *printer;

		select_fields(&selected, selections[i].names);
		options.selected = &selected;
		options.no_header = true;
		printer = start(&options);
		put_rows(printer, 1);
		end(&printer);
		assert_captured(fd, selections[i].expected);
		str_vec_free(&selected);
	}
	close(fd);
}

static void test_unknown_field(void **state)
{
	struct print_options options = options_of(PRINT_TAB, -1);
	struct str_vec selected = { 0 };
	struct err err = { 0 };

	(void)state;
	select_fields(&selected, (const char *const[]){ "user\x1b", NULL });
	options.selected = &selected;
	assert_null(print_new(&options, &err));
	assert_int_equal(err.code, ERR_USAGE);
	assert_string_equal(err.msg, "no such field: \"user\\x1b\"");
	assert_string_equal(err.hint,
			    "fields: username bytes-used last-access(0) weight clean root");
	str_vec_free(&selected);
}

static void test_format_names(void **state)
{
	static const char *const names[] = { "flow", "pager", "tab", "table", "json", "jsonl" };
	struct err err = { 0 };
	enum print_format format;

	(void)state;
	for (size_t i = 0; i < ROWS(names); i++) {
		assert_int_equal(print_format_parse(names[i], &format, &err), 0);
		assert_int_equal(format, PRINT_FLOW + (int)i);
	}
	assert_int_equal(print_format_parse("xml", &format, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	assert_int_equal(print_format_parse("", &format, &err), -1);
	assert_int_equal(print_format_parse("json ", &format, &err), -1);
}

static const char *const hostile[] = {
	"",
	" ",
	"\x1b]0;owned\x07",
	"\x1b[2J\x1b[H",
	"a\nusername=root",
	"a\" clean=yes x=\"",
	"\"},{\"username\":\"root",
	"tab\tnl\ncr\r\001t",
	"\f\n",
	"\xc2\x9b"
	"31m",
	"\xe2\x80\xae",
	"\xff\xfe\xfd",
	"\xed\xa0\x80",
	"\\",
	"\\x1b",
	"-",
	"null",
	"\x7f\x08\x08",
};

/* No control character but our own newlines, tabs and form feeds. */
static void check_harmless(enum print_format format, const char *text, size_t lines)
{
	size_t len = strlen(text), newlines = 0;

	assert_true(format == PRINT_TAB || utf8_is_valid(text, len));
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_char_len(text + i, len - i);
		newlines += text[i] == '\n';
		if (n == 0)
			n = 1;
		else if (format < PRINT_JSON && format != PRINT_TAB && text[i] != '\n')
			assert_false(utf8_is_control(text + i, n));
		assert_false(text[i] == '\x1b' && format != PRINT_TAB);
	}
	assert_int_equal(newlines, lines);
}

static void test_hostile_values(void **state)
{
	static const struct {
		enum print_format format;
		size_t lines;
	} formats[] = { { PRINT_FLOW, 1 },  { PRINT_PAGER, 5 }, { PRINT_TAB, 2 },
			{ PRINT_TABLE, 2 }, { PRINT_JSON, 3 },  { PRINT_JSONL, 1 } };
	int fd = capture_open();

	(void)state;
	for (size_t i = 0; i < ROWS(hostile); i++) {
		for (size_t j = 0; j < ROWS(formats); j++) {
			struct print_options options = options_of(formats[j].format, fd);
			struct printer *printer = start(&options);
			const struct print_value values[FIELDS] = { print_str(hostile[i]) };
			struct err err = { 0 };
			char *text;

			assert_int_equal(print_row(printer, values, &err), 0);
			end(&printer);
			text = capture_read(fd);
			check_harmless(formats[j].format, text, formats[j].lines);
			free(text);
		}
	}
	close(fd);
}

static void test_json_of_hostile_values_parses(void **state)
{
	int fd = capture_open();
	struct print_options options = options_of(PRINT_JSON, fd);
	struct printer *printer = start(&options);
	autojson struct json *root = NULL;
	const struct json *users;
	struct err err = { 0 };
	const char *name;
	char *text;

	(void)state;
	for (size_t i = 0; i < ROWS(hostile); i++) {
		const struct print_value values[FIELDS] = { print_str(hostile[i]) };

		assert_int_equal(print_row(printer, values, &err), 0);
	}
	end(&printer);
	text = capture_read(fd);
	if (json_parse(text, strlen(text), &root, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(json_get_array(root, "users", &users, &err), 1);
	assert_int_equal(json_count(users), ROWS(hostile));
	for (size_t i = 0; i < ROWS(hostile); i++) {
		assert_int_equal(json_get_str(json_at(users, i), "username", &name, &err), 1);
		if (utf8_is_valid(hostile[i], strlen(hostile[i])))
			assert_string_equal(name, hostile[i]);
	}
	free(text);
	close(fd);
}

/* As Dovecot's str_tabescape(). */
static void test_tab_escapes(void **state)
{
	int fd = capture_open();
	struct print_options options = options_of(PRINT_TAB, fd);
	struct str_vec selected = { 0 };
	struct err err = { 0 };
	struct printer *printer;

	(void)state;
	select_fields(&selected, (const char *const[]){ "username", "root", NULL });
	options.selected = &selected;
	options.no_header = true;
	printer = start(&options);
	assert_int_equal(
		print_row(printer,
			  (struct print_value[FIELDS]){
				  [0] = print_str("\001a\tb\rc\nd\\"), [5] = print_str("\n") },
			  &err),
		0);
	end(&printer);
	assert_captured(fd, "\001"
			    "1a\001tb\001rc\001nd\\\t\001n\n");
	str_vec_free(&selected);
	close(fd);
}

static void test_table_counts_characters(void **state)
{
	static const struct print_field two[] = { { .name = "user" }, { .name = "x" } };
	static const char *const users[] = { "h\xc3\xa9l\xc3\xa8ne", "someone", "i" };
	int fd = capture_open();
	struct print_options options = options_of(PRINT_TABLE, fd);
	struct printer *printer;
	struct err err = { 0 };

	(void)state;
	options.fields = two;
	options.field_count = 2;
	printer = start(&options);
	for (size_t i = 0; i < ROWS(users); i++)
		assert_int_equal(
			print_row(printer,
				  (struct print_value[]){ print_str(users[i]), print_uint(i) },
				  &err),
			0);
	end(&printer);
	assert_captured(fd, "user     x\n"
			    "h\xc3\xa9l\xc3\xa8ne   0\n"
			    "someone  1\n"
			    "i        2\n");
	close(fd);
}

/* The failure may come with a row, and must have come by print_finish(). */
static void test_full_disk(void **state)
{
	static const size_t counts[] = { 0, 1, 5000 };

	(void)state;
	for (size_t i = 0; i < ROWS(counts); i++) {
		int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
		struct print_options options = options_of(PRINT_JSON, fd);
		struct printer *printer = start(&options);
		struct err err = { 0 };
		int failed = 0;

		for (size_t j = 0; j < counts[i]; j++) {
			int ret = print_row(printer, rows[0], &err);

			assert_true(ret == 0 || ret == -1);
			assert_false(failed && ret == 0);
			failed = ret < 0;
		}
		assert_int_equal(failed, counts[i] > 1000);
		err_clear(&err);
		assert_int_equal(print_finish(&printer, &err), -1);
		assert_int_equal(err.code, ERR_IO);
		assert_int_equal(err.sys, ENOSPC);
		assert_null(printer);
		close(fd);
	}
}

static void test_live_rows_are_out_at_once(void **state)
{
	int fd = capture_open();
	struct print_options options = options_of(PRINT_JSONL, fd);
	struct printer *printer;

	(void)state;
	options.live = true;
	printer = start(&options);
	put_rows(printer, 1);
	assert_captured_has(fd, "a@example.com");
	print_free(printer);
	/* What is dropped is not written. */
	options.live = false;
	printer = start(&options);
	put_rows(printer, 1);
	print_free(printer);
	assert_captured(fd, "");
	print_free(NULL);
	printer = NULL;
	end(&printer);
	close(fd);
}

/* Rows beyond the first batch stream: a wider one pushes its line, nothing is lost. */
static void test_table_of_many_rows(void **state)
{
	int fd = capture_open();
	struct print_options options = options_of(PRINT_TABLE, fd);
	struct printer *printer = start(&options);
	struct err err = { 0 };
	char *text, *line, *next;
	size_t lines = 0;

	(void)state;
	for (size_t i = 0; i < 3000; i++) {
		char name[64];

		snprintf(name, sizeof name, i == 2500 ? "wide-user-number-%zu" : "u%04zu", i);
		assert_int_equal(
			print_row(printer, (struct print_value[FIELDS]){ print_str(name) }, &err),
			0);
	}
	end(&printer);
	text = capture_read(fd);
	for (line = text; *line != '\0'; line = next + 1, lines++) {
		next = strchr(line, '\n');
		assert_non_null(next);
		if (lines == 2501)
			assert_int_equal(strncmp(line, "wide-user-number-2500  ", 23), 0);
		else if (lines > 0)
			assert_int_equal(next - line, 5 + 2 + 10 + 2 + 14 + 2 + 6 + 2 + 1);
	}
	assert_int_equal(lines, 3001);
	free(text);
	close(fd);
}

static void test_table_cuts_what_may_be_cut(void **state)
{
	static const struct print_field two[] = { { .name = "user" },
						  { .name = "error", .flags = PRINT_CUT } };
	int fd = capture_open();
	struct print_options options = options_of(PRINT_TABLE, fd);
	struct printer *printer;
	struct err err = { 0 };

	(void)state;
	options.fields = two;
	options.field_count = 2;
	options.width = 30;
	printer = start(&options);
	assert_int_equal(
		print_row(printer,
			  (struct print_value[]){ print_str("a-user-name"),
						  print_str("s\xc3\xa9ntence that is too long") },
			  &err),
		0);
	end(&printer);
	assert_captured(fd, "user         error\na-user-name  s\xc3\xa9ntence that is…\n");

	/* Never what may not be cut, and not below what can be read. */
	options.width = 5;
	printer = start(&options);
	assert_int_equal(print_row(printer,
				   (struct print_value[]){ print_str("a-user-name"),
							   print_str("sentence that is long") },
				   &err),
			 0);
	end(&printer);
	assert_captured(fd, "user         error\na-user-name  sentence th…\n");
	close(fd);
}

#define THREADS 4
#define THREAD_ROWS 5000

static void *put_many(void *printer)
{
	for (int i = 0; i < THREAD_ROWS; i++) {
		if (print_row(printer, rows[0], NULL) < 0)
			return printer;
	}
	return NULL;
}

static void test_threads_do_not_mix_rows(void **state)
{
	int fd = capture_open();
	struct print_options options = options_of(PRINT_JSONL, fd);
	struct printer *printer = start(&options);
	size_t row_len = strcspn(goldens[5].two_rows, "\n") + 1;
	pthread_t threads[THREADS];
	void *failed;
	char *text;

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_many, printer), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	end(&printer);
	text = capture_read(fd);
	assert_int_equal(strlen(text), row_len * THREADS * THREAD_ROWS);
	for (size_t i = 0; i < THREADS * THREAD_ROWS; i++)
		assert_memory_equal(text + i * row_len, goldens[5].two_rows, row_len);
	free(text);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_auto_is_tab_without_terminal),
		cmocka_unit_test(test_selected),
		cmocka_unit_test(test_unknown_field),
		cmocka_unit_test(test_format_names),
		cmocka_unit_test(test_hostile_values),
		cmocka_unit_test(test_json_of_hostile_values_parses),
		cmocka_unit_test(test_tab_escapes),
		cmocka_unit_test(test_table_counts_characters),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_live_rows_are_out_at_once),
		cmocka_unit_test(test_table_of_many_rows),
		cmocka_unit_test(test_table_cuts_what_may_be_cut),
		cmocka_unit_test(test_threads_do_not_mix_rows),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
