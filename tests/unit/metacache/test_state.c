#include "fixture.h"

static const char good[] =
	"{\"version\":1,\"boot\":\"1.000000001\",\"host\":\"b1\",\"user\":\"u@d\",\"unit\":\"."
	"Foo\","
	"\"base\":\"" BASE_1 "\",\"base_bytes\":1000,\"diffs\":[\"" BASE_1 "-" UNIQUE_2
	"\"],\"diff_bytes\":200,\"superseded\":[\"" BASE_2 "\"],\"unmerged\":[\"" BASE_3
	"\"],\"next\":\"" UNIQUE_4 "\",\"tried\":7,\"uploaded\":123456789,"
	"\"last_access\":99,\"last_service\":\"imap\",\"refresh\":true,"
	"\"standing\":\"obsolete\",\"installing\":\"" BASE_2
	"\",\"folders\":[\".A\",\".B\"],\"gone\":[\"" GUID_B "\"],\"gone_bundles\":{\"" GUID_B
	"\":[\"" BASE_4 "\"]},\"files\":["
	"{\"name\":\"a\",\"size\":1,\"mtime\":-2,\"ino\":3},"
	"{\"name\":\"b\",\"size\":4,\"mtime\":5,\"ino\":6}],"
	"\"replaced\":[{\"name\":\"c\",\"size\":7,\"mtime\":8,\"ino\":9}]}";

static void check_good(const struct state *s)
{
	assert_string_equal(s->boot, "1.000000001");
	assert_string_equal(s->host, "b1");
	assert_string_equal(s->user, "u@d");
	assert_string_equal(s->unit, ".Foo");
	assert_string_equal(s->base, BASE_1);
	assert_int_equal(s->base_bytes, 1000);
	assert_int_equal(s->diff_bytes, 200);
	assert_int_equal(s->diffs.count, 1);
	assert_string_equal(s->diffs.items[0], BASE_1 "-" UNIQUE_2);
	assert_int_equal(s->superseded.count, 1);
	assert_string_equal(s->superseded.items[0], BASE_2);
	assert_int_equal(s->unmerged.count, 1);
	assert_string_equal(s->unmerged.items[0], BASE_3);
	assert_string_equal(s->next, UNIQUE_4);
	assert_int_equal(s->tried_ns, 7);
	assert_int_equal(s->uploaded_ns, 123456789);
	assert_int_equal(s->last_access, 99);
	assert_string_equal(s->last_service, "imap");
	assert_true(s->refresh);
	assert_int_equal(s->standing, STATE_OBSOLETE);
	assert_int_equal(state_standing(s), STATE_CONFLICT); /* something is unmerged */
	assert_string_equal(s->installing, BASE_2);
	assert_int_equal(s->folders.count, 2);
	assert_string_equal(s->folders.items[1], ".B");
	assert_int_equal(s->gone.count, 1);
	assert_string_equal(s->gone.items[0].id, GUID_B);
	assert_true(s->gone.items[0].noted);
	assert_string_equal(s->gone.items[0].bundles.items[0], BASE_4);
	assert_files(&s->files, "a,b");
	assert_int_equal(s->files.items[0].mtime_ns, -2);
	assert_int_equal(s->files.items[0].ino, 3);
	assert_int_equal(s->files.items[1].size_bytes, 4);
	assert_files(&s->replaced, "c");
	assert_int_equal(s->replaced.items[0].ino, 9);
}

static void test_round_trip(void **state)
{
	const struct scratch *scratch = *state;
	autostate struct state parsed = { 0 }, back = { 0 }, again = { 0 };
	struct err err = { 0 };
	struct fsx_stat st, now;

	if (state_parse(good, sizeof good - 1, &parsed, &err) < 0)
		fail_msg("%s", err.msg);
	check_good(&parsed);
	assert_int_equal(state_read(scratch->fd, &back, &err), 0);
	assert_int_equal(state_write(scratch->fd, &parsed, &st, &err), 0);
	assert_int_equal(fsx_stat(scratch->fd, UNIT_STATE_NAME, &now), 1);
	assert_int_equal(now.ino, st.ino);
	assert_int_equal(now.mode & 07777, 0600);
	assert_int_equal(count_entries(scratch->fd, "."), 1);
	assert_int_equal(state_read(scratch->fd, &back, &err), 1);
	check_good(&back);
	assert_int_equal(state_write(scratch->fd, &back, NULL, &err), 0);
	assert_int_equal(state_read(scratch->fd, &again, &err), 1);
	check_good(&again);
}

static void test_init(void **state)
{
	const struct scratch *scratch = *state;
	autostate struct state one = { 0 }, two = { 0 }, back = { 0 };
	struct err err = { 0 };

	state_init(&one, "user", "");
	state_init(&two, "user", "");
	assert_int_equal(strspn(one.next, "0123456789abcdef"), 32);
	assert_string_not_equal(one.next, two.next);
	assert_int_equal(state_write(scratch->fd, &one, NULL, &err), 0);
	assert_int_equal(state_read(scratch->fd, &back, &err), 1);
	assert_null(back.base);
	assert_null(back.installing);
	assert_false(back.refresh);
	assert_int_equal(state_standing(&back), STATE_CURRENT);
	assert_string_equal(back.next, one.next);
	assert_string_equal(back.user, "user");
	assert_string_equal(back.unit, "");
	assert_int_equal(back.files.count, 0);
}

/* The largest values that a filesystem may give, and text that needs escapes. */
static void test_extremes(void **state)
{
	const struct scratch *scratch = *state;
	autostate struct state s = { 0 }, back = { 0 };
	struct unit_file file = { .name = xstrdup("\x01\"\\\xc3\xa4"),
				  .ino = UINT64_MAX - 1,
				  .size_bytes = INT64_MAX,
				  .mtime_ns = INT64_MIN };
	struct err err = { 0 };

	state_init(&s, "\xc3\xa4 \"x\"\n", "a/b");
	s.uploaded_ns = INT64_MAX;
	s.last_access = INT64_MIN;
	s.base = xstrdup(BASE_1);
	vec_push(&s.files, file);
	assert_int_equal(state_write(scratch->fd, &s, NULL, &err), 0);
	if (state_read(scratch->fd, &back, &err) != 1)
		fail_msg("%s", err.msg);
	assert_string_equal(back.user, s.user);
	assert_int_equal(back.uploaded_ns, INT64_MAX);
	assert_int_equal(back.last_access, INT64_MIN);
	assert_true(state_matches(&back, &s.files));
	assert_string_equal(back.files.items[0].name, file.name);
}

/* ---- every member wrong ---- */

/* `good` with the value of a member replaced, or the member renamed away (NULL). */
static void with_member(const char *name, const char *value, struct buf *out)
{
	autofree char *key = xasprintf("\"%s\":", name);
	const char *at = strstr(good, key), *end;
	int depth = 0;
	bool quoted = false;

	assert_non_null(at);
	buf_append(out, good, (size_t)(at - good));
	buf_printf(out, value ? "\"%s\":%s" : "\"x-%s\":1", name, value);
	end = at + strlen(key);
	for (; quoted || depth > 0 || (*end != ',' && *end != '}'); end++) {
		if (*end == '"')
			quoted = !quoted;
		else if (!quoted)
			depth += (*end == '[' || *end == '{') - (*end == ']' || *end == '}');
	}
	buf_puts(out, end);
}

static void refuse(const char *what, const struct buf *text, const char *says)
{
	struct err err = { 0 };
	struct state s;

	if (state_parse(buf_str(text), text->len, &s, &err) == 0)
		fail_msg("%s: accepted: %s", what, buf_str(text));
	assert_int_equal(err.code, ERR_DATA);
	assert_message(&err, says);
	/* Empty after a failure: nothing to free. */
	assert_null(s.user);
	assert_int_equal(s.files.count, 0);
}

#define FILES(files) "[" files "]"
#define FILE_(name, size, mtime, ino)                                                              \
	"{\"name\":" name ",\"size\":" size ",\"mtime\":" mtime ",\"ino\":" ino "}"

static void test_wrong_members(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} rows[] = {
		{ "version", "2", "version 2" },
		{ "version", "0", "version 0" },
		{ "version", "-1", "version -1" },
		{ "version", "\"1\"", "\"version\"" },
		{ "version", "1.0", "\"version\"" },
		{ "boot", "1", "\"boot\"" },
		{ "host", "[]", "\"host\"" },
		{ "user", "{}", "\"user\"" },
		{ "user", "null", "\"user\"" },
		{ "unit", "false", "\"unit\"" },
		{ "base", "7", "\"base\"" },
		{ "base", "\"\"", "\"base\"" },
		{ "base", "\"../" BASE_1 "\"", "\"base\"" },
		{ "base", "\"" BASE_1 "/x\"", "\"base\"" },
		{ "base", "\"" BASE_1 "0\"", "\"base\"" },
		{ "diffs", "\"x\"", "\"diffs\"" },
		{ "diffs", "[1]", "\"diffs\"" },
		{ "superseded", "{}", "\"superseded\"" },
		{ "superseded", "[null]", "\"superseded\"" },
		{ "superseded", "[[]]", "\"superseded\"" },
		{ "superseded", "[\"" BASE_1 "\",\"../x\"]", "\"superseded\"" },
		{ "unmerged", "[{}]", "\"unmerged\"" },
		{ "unmerged", "[\"../x\"]", "\"unmerged\"" },
		{ "diffs", "[\"x\"]", "\"diffs\"" },
		{ "installing", "\"../x\"", "\"installing\"" },
		{ "base_bytes", "-1", "\"base_bytes\"" },
		{ "diff_bytes", "\"1\"", "\"diff_bytes\"" },
		{ "next", "1", "\"next\"" },
		{ "next", "\"\"", "\"next\"" },
		{ "next", "\"1111111111111111111111111111111\"", "\"next\"" },
		{ "next", "\"" UNIQUE_1 "1\"", "\"next\"" },
		{ "next", "\"1111111111111111111111111111111G\"", "\"next\"" },
		{ "next", "\"ABCDEFABCDEFABCDEFABCDEFABCDEFAB\"", "\"next\"" },
		{ "tried", "\"1\"", "\"tried\"" },
		{ "uploaded", "\"1\"", "\"uploaded\"" },
		{ "uploaded", "1.5", "\"uploaded\"" },
		{ "uploaded", "9223372036854775808", "JSON" },
		{ "last_access", "true", "\"last_access\"" },
		{ "last_service", "1", "\"last_service\"" },
		{ "refresh", "1", "\"refresh\"" },
		{ "refresh", "\"true\"", "\"refresh\"" },
		{ "standing", "\"current\"", "\"standing\"" },
		{ "standing", "2", "\"standing\"" },
		{ "installing", "[]", "\"installing\"" },
		{ "folders", "[1]", "\"folders\"" },
		{ "gone", "0", "\"gone\"" },
		{ "gone", "[1]", "\"gone\"" },
		{ "gone_bundles", "[]", "\"gone_bundles\"" },
		{ "gone_bundles", "{\"" GUID_B "\":[\"x\"]}", "\"gone_bundles\"" },
		{ "files", "{}", "\"files\"" },
		{ "files", "[1]", "\"name\"" },
		{ "files", "[null]", "\"name\"" },
		{ "files", FILES(FILE_("1", "1", "1", "1")), "\"name\"" },
		{ "files", FILES(FILE_("\"a\"", "-1", "1", "1")), "\"size\"" },
		{ "files", FILES(FILE_("\"a\"", "\"1\"", "1", "1")), "\"size\"" },
		{ "files", FILES(FILE_("\"a\"", "1", "null", "1")), "\"mtime\"" },
		{ "files", FILES(FILE_("\"a\"", "1", "1", "1e3")), "\"ino\"" },
		{ "files", FILES(FILE_("\"a\"", "1", "1", "1") "," FILE_("\"a\"", "1", "1", "1")),
		  "not sorted" },
		{ "files", FILES(FILE_("\"b\"", "1", "1", "1") "," FILE_("\"a\"", "1", "1", "1")),
		  "not sorted" },
		{ "replaced", "{}", "\"replaced\"" },
		{ "replaced",
		  FILES(FILE_("\"b\"", "1", "1", "1") "," FILE_("\"a\"", "1", "1", "1")),
		  "\"replaced\": not sorted" },
		{ "boot", "\"\\u0000\"", "JSON" },
		{ "host", "\"\xff\"", "JSON" },
		{ "host", "\"a\",\"host\":\"b\"", "JSON" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autobuf struct buf text = { 0 };
		autofree char *what = xasprintf("%s: %s", rows[i].name, rows[i].value);

		with_member(rows[i].name, rows[i].value, &text);
		refuse(what, &text, rows[i].says);
	}
}

static void test_missing_members(void **state)
{
	static const struct {
		const char *name;
		bool needed;
	} rows[] = {
		{ "version", true },       { "boot", true },        { "host", true },
		{ "user", true },          { "unit", true },        { "base", false },
		{ "diffs", false },        { "superseded", false }, { "unmerged", false },
		{ "next", true },          { "uploaded", false },   { "last_access", false },
		{ "last_service", true },  { "refresh", false },    { "installing", false },
		{ "standing", false },     { "folders", false },    { "gone", false },
		{ "gone_bundles", false }, { "tried", false },      { "replaced", false },
		{ "files", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autobuf struct buf text = { 0 };
		struct err err = { 0 };

		with_member(rows[i].name, NULL, &text);
		if (rows[i].needed) {
			refuse(rows[i].name, &text, rows[i].name);
		} else {
			autostate struct state s = { 0 };

			if (state_parse(buf_str(&text), text.len, &s, &err) < 0)
				fail_msg("without %s: %s", rows[i].name, err.msg);
		}
	}
}

/* A file that a crash or a full disk left: cut anywhere, it is refused. */
static void test_torn(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof good - 1; len++) {
		struct err err = { 0 };
		struct state s;

		assert_int_equal(state_parse(good, len, &s, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
	}
}

static void test_garbage(void **state)
{
	static const char *const rows[] = { "", "null", "1", "[]", "{}", "[{}]", "\"x\"", "{} {}" };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autobuf struct buf text = { 0 };

		buf_puts(&text, rows[i]);
		refuse(rows[i], &text, "");
	}
}

static void test_huge(void **state)
{
	autobuf struct buf value = { 0 }, text = { 0 };
	autostate struct state s = { 0 };
	struct err err = { 0 };

	(void)state;
	buf_puts(&value, "[");
	for (int i = 0; i < 100000; i++)
		buf_printf(&value, "%s\"%s\"", i ? "," : "", BASE_3);
	buf_puts(&value, "]");
	with_member("unmerged", buf_str(&value), &text);
	assert_int_equal(state_parse(buf_str(&text), text.len, &s, &err), 0);
	assert_int_equal(s.unmerged.count, 100000);
	buf_truncate(&text, 0);
	for (int i = 0; i < 100000; i++)
		buf_putc(&text, '[');
	refuse("deep", &text, "JSON");
}

/* ---- what stands in the file's place ---- */

static void test_read_hostile(void **state)
{
	static const char *const kinds[] = { "link", "fifo", "directory", "text" };
	const struct scratch *scratch = *state;

	put(scratch->fd, "precious", good);
	for (size_t i = 0; i < ROWS(kinds); i++) {
		struct err err = { 0 };
		struct state s;

		if (i == 0)
			put_link(scratch->fd, ".state", "precious");
		else if (i == 1)
			assert_int_equal(mkfifoat(scratch->fd, ".state", 0600), 0);
		else if (i == 2)
			put_dir(scratch->fd, ".state");
		else
			put(scratch->fd, ".state", "text");
		assert_int_equal(state_read(scratch->fd, &s, &err), -1);
		assert_message(&err, ".state");
		if (i > 0)
			assert_int_equal(err.code, ERR_DATA);
		assert_int_equal(fsx_remove_tree(scratch->fd, ".state", NULL), 0);
	}
	assert_text(scratch->fd, "precious", good);
}

/* Larger than any that is written: refused before it fills the memory. */
static void test_read_too_large(void **state)
{
	const struct scratch *scratch = *state;
	autofd int fd = openat(scratch->fd, ".state", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct err err = { 0 };
	struct state s;

	assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
	assert_int_equal(state_read(scratch->fd, &s, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_message(&err, "larger than");
}

static void test_write_disk_full(void **state)
{
	struct scratch *scratch = *state;
	autostate struct state s = { 0 }, back = { 0 };
	struct err err = { 0 };

	mount_small(scratch, "small", "size=64k");
	autofd int fd = open_dir(scratch->fd, "small");
	state_init(&s, "u", "");
	assert_int_equal(state_write(fd, &s, NULL, &err), 0);
	for (int i = 0; i < 2000; i++)
		add_name(&s.folders, "mailboxes/a folder with a name of some length");
	assert_int_equal(state_write(fd, &s, NULL, &err), -1);
	assert_int_equal(err.code, ERR_CANTCREATE);
	assert_int_equal(count_entries(fd, "."), 1);
	assert_int_equal(state_read(fd, &back, &err), 1);
	assert_int_equal(back.folders.count, 0);
	close(steal_fd(&fd));
	unmount_small(scratch, "small");
}

/* ---- matching ---- */

static struct unit_file_vec files_of(const struct unit_file *items, size_t count)
{
	struct unit_file_vec files = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct unit_file file = items[i];

		file.name = xstrdup(file.name);
		vec_push(&files, file);
	}
	return files;
}

static void test_matches(void **state)
{
	char a[] = "a", b[] = "b", c[] = "c";
	const struct unit_file noted[] = { { a, 1, 10, 100, 0600 }, { b, 2, 20, 200, 0600 } };
	const struct {
		struct unit_file files[3];
		size_t count;
		bool matches;
	} rows[] = {
		{ { { a, 1, 10, 100, 0600 }, { b, 2, 20, 200, 0600 } }, 2, true },
		{ { { a, 1, 10, 100, 0644 }, { b, 2, 20, 200, 0600 } }, 2, true },
		{ { { a, 9, 10, 100, 0600 }, { b, 2, 20, 200, 0600 } }, 2, false },
		{ { { a, 1, 11, 100, 0600 }, { b, 2, 20, 200, 0600 } }, 2, false },
		{ { { a, 1, 10, 101, 0600 }, { b, 2, 20, 200, 0600 } }, 2, false },
		{ { { a, 1, 10, 100, 0600 }, { c, 2, 20, 200, 0600 } }, 2, false },
		{ { { a, 1, 10, 100, 0600 } }, 1, false },
		{ { { 0 } }, 0, false },
		{ { { a, 1, 10, 100, 0 }, { b, 2, 20, 200, 0 }, { c, 3, 30, 300, 0 } }, 3, false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autostate struct state s = { 0 };
		struct unit_file_vec files = files_of(noted, 2);

		state_init(&s, "u", "");
		state_set_files(&s, &files);
		unit_files_free(&files);
		assert_int_equal(s.files.count, 2);
		files = files_of(rows[i].files, rows[i].count);
		assert_false(state_matches(&s, &files)); /* never uploaded */
		s.base = xstrdup(BASE_1);
		if (state_matches(&s, &files) != rows[i].matches)
			fail_msg("row %zu", i);
		assert_int_equal(state_settled(&s, &files), rows[i].matches);
		add_name(&s.superseded, BASE_2);
		assert_false(state_settled(&s, &files));
		str_vec_free(&s.superseded);
		s.standing = STATE_OBSOLETE;
		assert_false(state_settled(&s, &files));
		s.standing = STATE_CURRENT;
		assert_int_equal(state_settled(&s, &files), rows[i].matches);
		s.installing = xstrdup(BASE_1);
		assert_false(state_settled(&s, &files));
		unit_files_free(&files);
	}
}

/* Of a tree that is being installed: new, or old, or neither. */
static void test_accounts_for(void **state)
{
	static char a[] = "a", b[] = "b", c[] = "c", d[] = "d";
	static const struct unit_file new_files[] = { { a, 1, 10, 100, 0 }, { c, 2, 20, 200, 0 } };
	static const struct unit_file old_files[] = { { a, 3, 30, 300, 0 }, { b, 4, 40, 400, 0 } };
	static const struct {
		struct unit_file files[3];
		size_t count;
		bool accounted;
	} rows[] = {
		{ { { 0 } }, 0, true },
		{ { { a, 1, 10, 100, 0 }, { c, 2, 20, 200, 0 } }, 2, true },
		{ { { a, 3, 30, 300, 0 }, { b, 4, 40, 400, 0 } }, 2, true },
		{ { { a, 1, 10, 100, 0 }, { b, 4, 40, 400, 0 }, { c, 2, 20, 200, 0 } }, 3, true },
		{ { { b, 4, 40, 400, 0 } }, 1, true },
		{ { { a, 3, 31, 300, 0 } }, 1, false }, /* longer */
		{ { { a, 3, 30, 301, 0 } }, 1, false },
		{ { { a, 5, 30, 300, 0 } }, 1, false },
		{ { { c, 4, 40, 400, 0 } }, 1, false }, /* under another name: a log rotated */
		{ { { a, 1, 10, 100, 0 }, { d, 2, 20, 200, 0 } }, 2, false },
	};
	autostate struct state s = { 0 };

	(void)state;
	state_init(&s, "u", "");
	s.files = files_of(new_files, 2);
	s.replaced = files_of(old_files, 2);
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct unit_file_vec files = files_of(rows[i].files, rows[i].count);

		if (state_accounts_for(&s, &files) != rows[i].accounted)
			fail_msg("row %zu", i);
		unit_files_free(&files);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_round_trip),      scratch_test(test_init),
		scratch_test(test_extremes),        scratch_test(test_wrong_members),
		scratch_test(test_missing_members), scratch_test(test_torn),
		scratch_test(test_garbage),         scratch_test(test_huge),
		scratch_test(test_read_hostile),    scratch_test(test_read_too_large),
		scratch_test(test_write_disk_full), scratch_test(test_matches),
		scratch_test(test_accounts_for),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
