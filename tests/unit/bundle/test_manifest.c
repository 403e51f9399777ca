#include "fixture.h"

#include "base/buf.h"
#include "bundle/bundle_name.h"

#define BASE "bundle.6553f100.1e240.00112233445566778899aabbccddeeff"
#define DIGEST "00112233445566778899aabbccddeeff"

/* The names of what was listed of folders that are gone, where somebody noted them. */
static void test_gone(void **state)
{
	static const struct {
		const char *members;
		const char *says; /* NULL: accepted */
	} rows[] = {
		{ "\"gone\":[\"" DIGEST "\"],\"gone_bundles\":{\"" DIGEST "\":[]}", NULL },
		{ "\"gone\":[\"" DIGEST "\"],\"gone_bundles\":{\"x\":1}", NULL },
		{ "\"gone\":[\"" DIGEST "\"],\"gone_bundles\":null", NULL },
		{ "\"gone\":[\"" DIGEST "\"],\"gone_bundles\":[]", "\"gone_bundles\"" },
		{ "\"gone\":[\"" DIGEST "\"],\"gone_bundles\":{\"" DIGEST "\":1}",
		  "\"gone_bundles\"" },
		{ "\"gone\":[\"" DIGEST "\"],\"gone_bundles\":{\"" DIGEST "\":[1]}",
		  "\"gone_bundles\": an item is no name of a bundle" },
		{ "\"gone\":[\"" DIGEST "\"],\"gone_bundles\":{\"" DIGEST "\":[\"../x\"]}",
		  "\"gone_bundles\": \"../x\" is no name of a bundle" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		autofree char *text = xasprintf(
			"{\"version\":1,\"type\":\"base\",\"username\":\"u\",\"unit\":\"\",\"unit_"
			"id\":\"\",\"host\":\"h\",\"created\":1,\"files\":[],%s}",
			rows[i].members);
		automanifest struct bundle_manifest manifest = { 0 };
		struct err err = { 0 };
		int ret = bundle_manifest_read(text, strlen(text), &manifest, &err);

		if ((ret < 0) != (rows[i].says != NULL) ||
		    (ret < 0 && !strstr(err.msg, rows[i].says)))
			fail_msg("%s: %s", rows[i].members, err.msg);
	}
}

static void test_gone_is_before(void **state)
{
	static char first[] = "bundle.6553f100.1e240." DIGEST, second[] = BASE "-" DIGEST;
	static char *items[] = { first, second };
	const struct bundle_gone gone = { .noted = true, .bundles = { items, 2, 2 } };
	const struct bundle_gone nothing = { .noted = true }, unknown = { .noted = false };

	(void)state;
	assert_true(bundle_gone_is_before(&gone, first));
	assert_true(bundle_gone_is_before(&gone, BASE));
	assert_true(bundle_gone_is_before(&gone, "bundle.6553f0ff.00000." DIGEST));
	assert_false(bundle_gone_is_before(&gone, "bundle.6553f100.1e241." DIGEST));
	assert_false(bundle_gone_is_before(&nothing, "bundle.1.00000." DIGEST));
	assert_true(bundle_gone_is_before(&unknown, "bundle.7fffffff.00000." DIGEST));
}

static void test_round_trip(void **state)
{
	automanifest struct bundle_manifest manifest =
		manifest_of("mailboxes/" FOLDER_ID, FOLDER_ID);
	automanifest struct bundle_manifest back = { 0 };
	autobuf struct buf text = { 0 }, again = { 0 };
	struct err err = { 0 };

	(void)state;
	free(manifest.username);
	manifest.username = xstrdup("we\"ird\\ \xc3\xbc@example.com");
	vec_push(&manifest.includes, xstrdup(BASE));
	vec_push(&manifest.includes, xstrdup(BASE "-" DIGEST));
	bundle_gone_add(&manifest.gone, FOLDER_ID, &manifest.includes);
	bundle_gone_add(&manifest.gone, DIGEST, NULL);
	add_file(&manifest, "dovecot.index", "abc", 3);
	add_file(&manifest, "quote\"back\\slash", "", 0);
	manifest.files.items[1].mtime_ns = INT64_MIN;
	manifest.files.items[1].mode = 0777;
	bundle_manifest_write(&manifest, &text);
	if (bundle_manifest_read(buf_str(&text), text.len, &back, &err) < 0)
		fail_msg("%s\n%s", err.msg, buf_str(&text));
	assert_string_equal(back.username, manifest.username);
	assert_string_equal(back.unit, manifest.unit);
	assert_string_equal(back.host, "backend-1");
	assert_int_equal(back.created_ns, BASE_TIME_NS);
	assert_int_equal(back.includes.count, 2);
	assert_int_equal(back.gone.count, 2);
	assert_string_equal(back.gone.items[0].id, FOLDER_ID);
	assert_true(back.gone.items[0].noted);
	assert_int_equal(back.gone.items[0].bundles.count, 2);
	assert_string_equal(back.gone.items[0].bundles.items[1], BASE "-" DIGEST);
	assert_false(back.gone.items[1].noted);
	assert_int_equal(back.files.items[0].size_bytes, 3);
	assert_memory_equal(back.files.items[0].digest, manifest.files.items[0].digest,
			    HASH_CONTENT_SIZE);
	assert_int_equal(back.files.items[1].mtime_ns, INT64_MIN);
	assert_int_equal(back.files.items[1].mode, 0777);
	bundle_manifest_write(&back, &again);
	assert_string_equal(buf_str(&text), buf_str(&again));
}

/* The members of a good manifest; a case replaces one of them, or drops it. */
static const struct {
	const char *name, *value;
} good[] = {
	{ "version", "1" }, { "type", "\"base\"" }, { "username", "\"u\"" },
	{ "unit", "\"\"" }, { "unit_id", "\"\"" },  { "host", "\"h\"" },
	{ "created", "1" }, { "includes", "[]" },   { "gone", "[]" },
	{ "files", "[]" },
};

static void write_with(struct buf *out, const char *member, const char *value)
{
	const char *comma = "";
	bool known = false;

	buf_putc(out, '{');
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		bool this_one = member && strcmp(member, good[i].name) == 0;
		const char *text = this_one ? value : good[i].value;

		known |= this_one;
		if (!text)
			continue;
		buf_printf(out, "%s\"%s\":%s", comma, good[i].name, text);
		comma = ",";
	}
	if (member && !known)
		buf_printf(out, ",\"%s\":%s", member, value);
	buf_putc(out, '}');
}

#define FILE_WITH(name, size, mtime, mode, digest)                                                 \
	"[{\"name\":" name ",\"size\":" size ",\"mtime\":" mtime ",\"mode\":" mode                 \
	",\"digest\":" digest "}]"
#define FILE_NAMED(name) FILE_WITH(name, "1", "1", "384", "\"" DIGEST "\"")

static const struct {
	const char *member, *value;
	const char *says; /* NULL: accepted */
} cases[] = {
	{ NULL, NULL, NULL },
	{ "from_the_future", "{\"a\":[1]}", NULL },
	{ "base", "null", NULL },
	{ "includes", NULL, NULL },
	{ "gone", NULL, NULL },
	{ "unit", "\"mailboxes/x\"", NULL },
	{ "unit_id", "\"fts\"", NULL },
	{ "files", FILE_NAMED("\"a\""), NULL },
	{ "files", FILE_NAMED("\"fts/a\""), NULL },
	{ "version", NULL, "version" },
	{ "version", "0", "member \"version\": 0, this program reads 1" },
	{ "version", "2", "member \"version\": 2, this program reads 1" },
	{ "version", "\"1\"", "version" },
	{ "version", "1.5", "version" },
	{ "version", "-1", "version" },
	{ "type", NULL, "type" },
	{ "type", "\"diff\"", "\"base\" is missing" },
	{ "type", "\"other\"", "\"other\" is neither base nor diff" },
	{ "type", "1", "type" },
	{ "username", NULL, "username" },
	{ "username", "\"\"", "\"username\" can't be \"\"" },
	{ "username", "\"a\\nb\"", "\"username\" can't be \"a" },
	{ "username", "\"a\\u0000b\"", "manifest: " },
	{ "unit", "\"/etc\"", "\"unit\" can't be \"/etc\"" },
	{ "unit", "\"a/../b\"", "\"unit\" can't be \"a/../b\"" },
	{ "unit", "7", "unit" },
	{ "unit_id", "\"xyz\"", "\"unit_id\" can't be \"xyz\"" },
	{ "unit_id", "\"0123456789ABCDEF0123456789ABCDEF\"", "\"unit_id\" can't be" },
	{ "host", NULL, "host" },
	{ "host", "\"a\\u001bb\"", "\"host\" can't be" },
	{ "created", NULL, "created" },
	{ "created", "-1", "\"created\" is before 1970" },
	{ "created", "99999999999999999999", "manifest: " },
	{ "created", "1.0", "created" },
	{ "base", "\"" BASE "\"", "\"base\" can't be" },
	{ "base", "1", "base" },
	{ "includes", "{}", "includes" },
	{ "includes", "[1]", "member \"includes\": item 0 is no text" },
	{ "includes", "[\"" BASE "\",\"../x\"]", "\"includes\" can't be \"../x\"" },
	{ "gone", "[\"\"]", "\"gone\" can't be \"\"" },
	{ "gone_bundles", "{\"" DIGEST "\":[\"../x\"]}", NULL }, /* of no folder that is gone */
	{ "gone", "[null]", "member \"gone\": item 0 is no text" },
	{ "files", NULL, "files" },
	{ "files", "{}", "files" },
	{ "files", "[1]", "name" },
	{ "files", "[{}]", "name" },
	{ "files", FILE_NAMED("\"\""), "file name \"\" is not allowed" },
	{ "files", FILE_NAMED("\"../a\""), "file name \"../a\" is not allowed" },
	{ "files", FILE_NAMED("\".state\""), "file name \".state\" is not allowed" },
	{ "files", FILE_NAMED("\".manifest.json\""), "file name \".manifest.json\" is not" },
	{ "files", FILE_NAMED("7"), "name" },
	{ "files", FILE_WITH("\"a\"", "-1", "1", "0", "\"" DIGEST "\""), "file \"a\": " },
	{ "files", FILE_WITH("\"a\"", "1e3", "1", "0", "\"" DIGEST "\""), "file \"a\": " },
	{ "files", FILE_WITH("\"a\"", "1", "\"x\"", "0", "\"" DIGEST "\""), "file \"a\": " },
	{ "files", FILE_WITH("\"a\"", "1", "1", "512", "\"" DIGEST "\""),
	  "file \"a\": member \"mode\": 512 is more than 0777" },
	{ "files", FILE_WITH("\"a\"", "1", "1", "-1", "\"" DIGEST "\""), "file \"a\": " },
	{ "files", FILE_WITH("\"a\"", "1", "1", "0", "\"00\""),
	  "file \"a\": member \"digest\": \"00\" is not 32 hex digits" },
	{ "files", FILE_WITH("\"a\"", "1", "1", "0", "\"00112233445566778899AABBCCDDEEFF\""),
	  "is not 32 hex digits" },
	{ "files", FILE_WITH("\"a\"", "1", "1", "0", "null"), "digest" },
};

static void test_members(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		automanifest struct bundle_manifest manifest = { 0 };
		autobuf struct buf text = { 0 };
		struct err err = { 0 };
		int result;

		write_with(&text, cases[i].member, cases[i].value);
		result = bundle_manifest_read(buf_str(&text), text.len, &manifest, &err);
		if (result != (cases[i].says ? -1 : 0))
			fail_msg("case %zu: %d %s\n%s", i, result, err.msg, buf_str(&text));
		if (!cases[i].says)
			continue;
		assert_int_equal(err.code, ERR_DATA);
		assert_message(&err, cases[i].says);
		assert_message(&err, "manifest");
		assert_null(manifest.username);
		assert_int_equal(manifest.files.count, 0);
	}
}

/* What follows the digest of a file of 100 bytes in a diff. */
static const struct {
	const char *members, *says;
} origins[] = {
	{ "", NULL },
	{ ",\"from\":null,\"ranges\":null", NULL },
	{ ",\"from\":\"b\"", NULL },
	{ ",\"from\":\"a\",\"ranges\":[]", NULL },
	{ ",\"from\":\"a\",\"ranges\":[[0,100]]", NULL },
	{ ",\"from\":\"a\",\"ranges\":[[0,1],[1,1],[99,1]]", NULL },
	{ ",\"from\":7", "member \"from\"" },
	{ ",\"from\":\"\"", "\"from\" \"\" of \"a\" is not allowed" },
	{ ",\"from\":\"../a\"", "\"from\" \"../a\" of \"a\" is not allowed" },
	{ ",\"from\":\"a/../a\"", "is not allowed" },
	{ ",\"from\":\"/a\"", "is not allowed" },
	{ ",\"from\":\".state.blocks\"", "is not allowed" },
	{ ",\"from\":\"a\\nb\"", "is not allowed" },
	{ ",\"ranges\":[[0,1]]", "\"a\" has ranges, but no \"from\"" },
	{ ",\"from\":\"a\",\"ranges\":{}", "member \"ranges\"" },
	{ ",\"from\":\"a\",\"ranges\":[0,1]", "item 0 is not an offset and a length" },
	{ ",\"from\":\"a\",\"ranges\":[[0,1],[2]]", "item 1 is not an offset and a length" },
	{ ",\"from\":\"a\",\"ranges\":[[0,1,2]]", "item 0 is not an offset and a length" },
	{ ",\"from\":\"a\",\"ranges\":[[\"0\",1]]", "item 0 is not an offset and a length" },
	{ ",\"from\":\"a\",\"ranges\":[[0,1.0]]", "item 0 is not an offset and a length" },
	{ ",\"from\":\"a\",\"ranges\":[[-1,1]]", "item 0 is not an offset and a length" },
	{ ",\"from\":\"a\",\"ranges\":[[0,-1]]", "item 0 is not an offset and a length" },
	{ ",\"from\":\"a\",\"ranges\":[[0,99999999999999999999]]", "manifest: " },
	{ ",\"from\":\"a\",\"ranges\":[[0,0]]", "range 0 of \"a\" is empty, out of order, or" },
	{ ",\"from\":\"a\",\"ranges\":[[0,2],[1,1]]", "range 1 of \"a\" is empty, out of" },
	{ ",\"from\":\"a\",\"ranges\":[[5,1],[0,1]]", "range 1 of \"a\" is empty, out of" },
	{ ",\"from\":\"a\",\"ranges\":[[0,101]]", "range 0 of \"a\" is empty, out of order" },
	{ ",\"from\":\"a\",\"ranges\":[[101,1]]", "range 0 of \"a\" is empty, out of order" },
	{ ",\"from\":\"a\",\"ranges\":[[1,9223372036854775807]]", "range 0 of \"a\"" },
	{ ",\"from\":\"a\",\"ranges\":[[9223372036854775807,9223372036854775807]]",
	  "range 0 of \"a\"" },
};

static void test_origins(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
		automanifest struct bundle_manifest manifest = { 0 }, again = { 0 };
		autobuf struct buf text = { 0 };
		struct err err = { 0 };
		int result;

		buf_printf(&text,
			   "{\"version\":1,\"type\":\"diff\",\"base\":\"" BASE
			   "\",\"username\":\"u\",\"unit\":\"\",\"unit_id\":\"\",\"host\":\"h\","
			   "\"created\":1,\"files\":[{\"name\":\"a\",\"size\":100,\"mtime\":1,"
			   "\"mode\":384,\"digest\":\"" DIGEST "\"%s}]}",
			   origins[i].members);
		result = bundle_manifest_read(buf_str(&text), text.len, &manifest, &err);
		if (result != (origins[i].says ? -1 : 0))
			fail_msg("case %zu: %d %s\n%s", i, result, err.msg, buf_str(&text));
		if (origins[i].says) {
			assert_int_equal(err.code, ERR_DATA);
			assert_message(&err, origins[i].says);
			continue;
		}
		buf_truncate(&text, 0);
		bundle_manifest_write(&manifest, &text);
		assert_int_equal(bundle_manifest_read(buf_str(&text), text.len, &again, &err), 0);
		assert_int_equal(again.files.items[0].ranges.count,
				 manifest.files.items[0].ranges.count);
	}
}

static void test_many_ranges(void **state)
{
	automanifest struct bundle_manifest manifest = manifest_of("", ""), back = { 0 };
	autobuf struct buf text = { 0 };
	struct bundle_file *file;
	struct err err = { 0 };

	(void)state;
	add_file(&manifest, "a", "", 0);
	manifest.type = BUNDLE_DIFF;
	manifest.base = xstrdup(BASE);
	file = &manifest.files.items[0];
	file->from = xstrdup("a");
	file->size_bytes = 1 << 20;
	for (uint64_t i = 0; i < BUNDLE_RANGES_MAX; i++)
		vec_push(&file->ranges, ((struct bundle_range){ 2 * i, 1 }));
	bundle_manifest_write(&manifest, &text);
	if (bundle_manifest_read(buf_str(&text), text.len, &back, &err) < 0)
		fail_msg("%s", err.msg);
	vec_push(&file->ranges, ((struct bundle_range){ 2 * BUNDLE_RANGES_MAX, 1 }));
	buf_truncate(&text, 0);
	bundle_manifest_free(&back);
	bundle_manifest_write(&manifest, &text);
	assert_int_equal(bundle_manifest_read(buf_str(&text), text.len, &back, &err), -1);
	assert_message(&err, "65537 of them, at most 65536 can be");
}

static void test_twice(void **state)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");
	automanifest struct bundle_manifest back = { 0 };
	autobuf struct buf text = { 0 };
	struct err err = { 0 };

	(void)state;
	add_file(&manifest, "b", "", 0);
	add_file(&manifest, "a", "", 0);
	add_file(&manifest, "b", "x", 1);
	bundle_manifest_write(&manifest, &text);
	assert_int_equal(bundle_manifest_read(buf_str(&text), text.len, &back, &err), -1);
	assert_string_equal(err.msg, "manifest: file \"b\" is there twice");
}

/* "a-b" sorts between "a" and "a/b" as bytes go. */
static void test_file_and_directory(void **state)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");
	automanifest struct bundle_manifest back = { 0 };
	autobuf struct buf text = { 0 };
	struct err err = { 0 };

	(void)state;
	add_file(&manifest, "a/b", "", 0);
	add_file(&manifest, "a-b", "", 0);
	add_file(&manifest, "ab", "", 0);
	bundle_manifest_write(&manifest, &text);
	assert_int_equal(bundle_manifest_read(buf_str(&text), text.len, &back, &err), 0);
	add_file(&manifest, "a", "", 0);
	buf_truncate(&text, 0);
	bundle_manifest_free(&back);
	bundle_manifest_write(&manifest, &text);
	assert_int_equal(bundle_manifest_read(buf_str(&text), text.len, &back, &err), -1);
	assert_string_equal(err.msg, "manifest: file \"a\" is there twice, once as a directory");
}

static void test_sizes_overflow(void **state)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");
	automanifest struct bundle_manifest back = { 0 };
	autobuf struct buf text = { 0 };
	struct err err = { 0 };

	(void)state;
	add_file(&manifest, "a", "", 0);
	add_file(&manifest, "b", "", 0);
	manifest.files.items[0].size_bytes = INT64_MAX;
	manifest.files.items[1].size_bytes = 1;
	bundle_manifest_write(&manifest, &text);
	assert_int_equal(bundle_manifest_read(buf_str(&text), text.len, &back, &err), -1);
	assert_string_equal(err.msg, "manifest: size of \"b\" is too large");
}

static void test_many(void **state)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");
	automanifest struct bundle_manifest back = { 0 };
	autobuf struct buf text = { 0 };
	struct err err = { 0 };
	char name[32];

	(void)state;
	for (int i = 0; i <= BUNDLE_FILES_MAX; i++) {
		snprintf(name, sizeof name, "f%d", i);
		add_file(&manifest, name, "", 0);
	}
	bundle_manifest_write(&manifest, &text);
	assert_int_equal(bundle_manifest_read(buf_str(&text), text.len, &back, &err), -1);
	assert_message(&err, "100001 of them, at most 100000 can be");
	free(manifest.files.items[--manifest.files.count].name);
	buf_truncate(&text, 0);
	bundle_manifest_write(&manifest, &text);
	if (bundle_manifest_read(buf_str(&text), text.len, &back, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(back.files.count, BUNDLE_FILES_MAX);
}

/* Text that ends early, or does not end, is refused at every length. */
static void test_cut(void **state)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");
	autobuf struct buf text = { 0 };
	struct err err = { 0 };

	(void)state;
	add_file(&manifest, "a", "abc", 3);
	bundle_manifest_write(&manifest, &text);
	buf_truncate(&text, text.len - 1); /* the newline is no part of the document */
	for (size_t len = 0; len < text.len; len++) {
		automanifest struct bundle_manifest back = { 0 };

		assert_int_equal(bundle_manifest_read(buf_str(&text), len, &back, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
	}
	buf_puts(&text, "{}");
	bundle_manifest_free(&manifest);
	assert_int_equal(bundle_manifest_read(buf_str(&text), text.len, &manifest, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_gone_is_before),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_many_ranges),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_sizes_overflow),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_file_and_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
