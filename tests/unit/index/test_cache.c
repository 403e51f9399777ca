/* The header of dovecot.index.cache and its list of fields. */
#include "index/index_cache.h"
#include "writer.h"

#define LIST 32 /* where the first list is */
#define NO_SIZE UINT32_MAX

struct field {
	const char *name;
	unsigned type, decision;
	uint32_t size, last_used;
};

static const struct field fields[] = {
	{ "flags", 3, 1, 4, 1000 },
	{ "date.sent", 0, 2, 8, 0 },
	{ "hdr.From", 4, 0x82, 77, 3000 },
	{ "imap.body", 2, 0, NO_SIZE, UINT32_MAX },
	{ "mime.parts", 1, 0x80, NO_SIZE, 5 },
};

static void put_header(struct buf *out, unsigned minor, size_t list)
{
	buf_append(out, "\1\10", 2);
	put_u16(out, minor);
	put_u32(out, INDEXID);
	put_u32(out, 1700000000);
	put_u32(out, 1); /* continued */
	put_u32(out, 2); /* records */
	put_u32(out, 0);
	put_u32(out, 3); /* deleted */
	put_size(out, list);
}

/* `next`: where the list is that replaces this one; 0: it is the last. */
static void put_list(struct buf *out, size_t next, const struct field *list, size_t count)
{
	size_t at = out->len;

	next ? put_size(out, next) : put_u32(out, 0);
	put_u32(out, 0);
	put_u32(out, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		put_u32(out, list[i].last_used);
	for (size_t i = 0; i < count; i++)
		put_u32(out, list[i].size);
	for (size_t i = 0; i < count; i++)
		buf_putc(out, (char)list[i].type);
	for (size_t i = 0; i < count; i++)
		buf_putc(out, (char)list[i].decision);
	for (size_t i = 0; i < count; i++)
		buf_append(out, list[i].name, strlen(list[i].name) + 1);
	set_u32(out, at + 4, (uint32_t)(out->len - at));
	put_pad(out, 4);
}

static int load(const struct buf *bytes, struct index_cache *cache, struct err *err)
{
	int fd = file_of(bytes), ret = index_cache_load(fd, bytes->len, cache, err);

	close(fd);
	return ret;
}

static void refused(const struct buf *bytes, const char *text)
{
	autoindexcache struct index_cache cache = { 0 };
	struct err err = { 0 };

	assert_int_equal(load(bytes, &cache, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	if (!strstr(err.msg, text))
		fail_msg("%s: expected %s", err.msg, text);
}

static void test_fields(void **state)
{
	autobuf struct buf bytes = { 0 };
	autoindexcache struct index_cache cache = { 0 };
	struct err err = { 0 };

	(void)state;
	put_header(&bytes, 1, LIST);
	put_list(&bytes, 0, fields, ROWS(fields));
	if (load(&bytes, &cache, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(cache.major, 1);
	assert_int_equal(cache.minor, 1);
	assert_int_equal(cache.indexid, INDEXID);
	assert_int_equal(cache.file_seq, 1700000000);
	assert_int_equal(cache.continued_record_count, 1);
	assert_int_equal(cache.record_count, 2);
	assert_int_equal(cache.deleted_record_count, 3);
	assert_int_equal(cache.fields_offset, LIST);
	assert_int_equal(cache.fields.count, ROWS(fields));
	for (size_t i = 0; i < ROWS(fields); i++) {
		const struct index_cache_field *field = &cache.fields.items[i];

		assert_string_equal(field->name, fields[i].name);
		assert_int_equal(field->type, fields[i].type);
		assert_int_equal(field->decision, fields[i].decision & 0x7f);
		assert_int_equal(field->size_bytes, i < 2 ? fields[i].size : 0);
		assert_int_equal(field->last_used, fields[i].last_used);
	}
	assert_string_equal(index_cache_type_name(INDEX_CACHE_FIXED), "fixed");
	assert_string_equal(index_cache_type_name(INDEX_CACHE_HEADER), "header");
	assert_string_equal(index_cache_decision_name(INDEX_CACHE_TEMP), "temp");
}

/* The last list is in force; an old version may have put it before the first. */
static void test_lists(void **state)
{
	autobuf struct buf bytes = { 0 }, old = { 0 };
	autoindexcache struct index_cache cache = { 0 }, second = { 0 };
	struct err err = { 0 };

	(void)state;
	put_header(&bytes, 1, LIST);
	put_list(&bytes, 1000, fields, 1);
	while (bytes.len < 1000)
		buf_putc(&bytes, '\377');
	put_list(&bytes, 0, fields, 3);
	assert_int_equal(load(&bytes, &cache, &err), 0);
	assert_int_equal(cache.fields_offset, 1000);
	assert_int_equal(cache.fields.count, 3);

	put_header(&old, 0, 64);
	put_list(&old, 0, fields, 1);
	put_u32(&old, 0);
	assert_int_equal(old.len, 64);
	put_list(&old, LIST, fields, 2);
	assert_int_equal(load(&old, &second, &err), 0);
	assert_int_equal(second.fields_offset, LIST);
	assert_int_equal(second.fields.count, 1);
	old.data[2] = 1;
	refused(&old, "lists of fields that do not end");
}

static void test_empty_list(void **state)
{
	autobuf struct buf bytes = { 0 };
	autoindexcache struct index_cache cache = { 0 };
	struct err err = { 0 };

	(void)state;
	put_header(&bytes, 1, LIST);
	put_list(&bytes, 0, fields, 0);
	assert_int_equal(bytes.len, LIST + 12);
	assert_int_equal(load(&bytes, &cache, &err), 0);
	assert_int_equal(cache.fields.count, 0);
}

static void test_bad_header(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t len;
		const char *text;
	} rows[] = {
		{ 0, "\2", 1, "a cache of version 2.1" },
		{ 0, "\0", 1, "a cache of version 0.1" },
		{ 1, "\4", 1, "a cache with offsets of 4 bytes" },
		{ 4, "\0\0\0\0", 4, "the cache belongs to no index" },
		{ 8, "\0\0\0\0", 4, "the cache belongs to no index" },
		{ 28, "\0\0\0\0", 4, "there is no list of fields" },
		{ 28, "\x80\x80\x80\x08", 4, "there is no list of fields" },
		{ 28, "\x80\x80\x80\x87", 4, "a list of fields at 28 is outside of the file" },
		{ 28, "\xff\xff\xff\xff", 4, "outside of the file" },
		{ LIST, "\x80\x80\x80\x88", 4, "lists of fields that do not end" },
		{ LIST, "\x80\x80\xff\xff", 4, "outside of the file" },
		{ LIST + 4, "\x0b\0\0\0", 4, "a list of 5 fields in 11 bytes" },
		{ LIST + 4, "\0\1\0\0", 4, "a list of 5 fields in 256 bytes" },
		{ LIST + 4, "\xff\xff\xff\xff", 4, "a list of 5 fields" },
		{ LIST + 4, "\x3d\0\0\0", 4, "a list of 5 fields in 61 bytes" },
		{ LIST + 4, "\x3e\0\0\0", 4, "field 0 has no name" },
		{ LIST + 4, "\x6b\0\0\0", 4, "field 4 has no name" },
		{ LIST + 8, "\1\0\1\0", 4, "a list of 65537 fields" },
		{ LIST + 8, "\xff\xff\xff\xff", 4, "a list of 4294967295 fields" },
		{ LIST + 8, "\x9a\x99\x99\x19", 4, "a list of 429496730 fields" },
		{ LIST + 52, "\5", 1, "field 0 is of type 5, with decision 1" },
		{ LIST + 52 + 5 + 4, "\3", 1, "field 4 is of type 1, with decision 3" },
		{ LIST + 52 + 5 + 4, "\xff", 1, "field 4 is of type 1, with decision 255" },
		{ LIST + 62, "\0", 1, "field 0 has no name" },
		{ LIST + 62 + 5, "\0\0", 2, "field 1 has no name" },
		{ LIST + 62 + 6, "FLAGS\0\0\0", 6, "field \"FLAGS\" comes twice" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autobuf struct buf bytes = { 0 };

		put_header(&bytes, 1, LIST);
		put_list(&bytes, 0, fields, ROWS(fields));
		memcpy(bytes.data + rows[i].at, rows[i].bytes, rows[i].len);
		refused(&bytes, rows[i].text);
	}
}

static void test_cut(void **state)
{
	autobuf struct buf bytes = { 0 };
	size_t end;

	(void)state;
	put_header(&bytes, 1, LIST);
	put_list(&bytes, 0, fields, ROWS(fields));
	end = LIST + (size_t)(unsigned char)bytes.data[LIST + 4];
	for (size_t len = 0; len < end; len++) {
		autobuf struct buf cut = { 0 };

		buf_append(&cut, bytes.data, len);
		refused(&cut, len < LIST        ? "too short for a cache"
			      : len < LIST + 12 ? "outside of the file"
						: "a list of 5 fields");
	}
}

/* The file is cut while it is read. */
static void test_shrinks(void **state)
{
	autobuf struct buf bytes = { 0 };
	struct err err = { 0 };

	(void)state;
	put_header(&bytes, 1, LIST);
	put_list(&bytes, 0, fields, ROWS(fields));
	for (size_t len = 0; len < bytes.len - 4; len += 7) {
		autoindexcache struct index_cache cache = { 0 };
		autobuf struct buf cut = { 0 };
		int fd;

		buf_append(&cut, bytes.data, len);
		fd = file_of(&cut);
		assert_int_equal(index_cache_load(fd, bytes.len, &cache, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		assert_string_equal(err.msg, "the file is shorter than it says");
		close(fd);
	}
}

/* As many lists as one wants, and each with its successor. */
static void test_many_lists(void **state)
{
	autobuf struct buf bytes = { 0 };

	(void)state;
	put_header(&bytes, 1, LIST);
	for (int i = 0; i < INDEX_CACHE_LISTS_MAX; i++)
		put_list(&bytes, bytes.len + 12, fields, 0);
	put_list(&bytes, 0, fields, 0);
	refused(&bytes, "lists of fields that do not end");
}

static void test_large_list(void **state)
{
	autobuf struct buf bytes = { 0 };
	autoindexcache struct index_cache cache = { 0 };
	struct err err = { 0 };
	int fd;

	(void)state;
	put_header(&bytes, 1, LIST);
	put_list(&bytes, 0, fields, ROWS(fields));
	for (uint32_t more = 0; more < 2; more++) {
		uint32_t size = INDEX_CACHE_FIELDS_BYTES_MAX + more;

		set_u32(&bytes, LIST + 4, size);
		fd = file_of(&bytes);
		assert_int_equal(ftruncate(fd, LIST + size), 0);
		assert_int_equal(index_cache_load(fd, LIST + size, &cache, &err), more ? -1 : 0);
		close(fd);
		index_cache_free(&cache);
	}
	assert_string_equal(err.msg, "a list of 5 fields in 16777217 bytes");
}

static void test_many_fields(void **state)
{
	autobuf struct buf bytes = { 0 };
	autoindexcache struct index_cache cache = { 0 };
	struct field *many = xreallocarray(NULL, INDEX_CACHE_FIELDS_MAX, sizeof *many);
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < INDEX_CACHE_FIELDS_MAX; i++)
		many[i] = (struct field){ xasprintf("hdr.%zu", i), 4, 1, NO_SIZE, 0 };
	put_header(&bytes, 1, LIST);
	put_list(&bytes, 0, many, INDEX_CACHE_FIELDS_MAX);
	assert_int_equal(load(&bytes, &cache, &err), 0);
	assert_int_equal(cache.fields.count, INDEX_CACHE_FIELDS_MAX);
	assert_string_equal(cache.fields.items[65535].name, "hdr.65535");
	for (size_t i = 0; i < INDEX_CACHE_FIELDS_MAX; i++)
		free((char *)many[i].name);
	free(many);
}

/* What a Dovecot 2.3.19 wrote, with three lists; `doveadm dump` says the same of it. */
static void test_recorded(void **state)
{
	int fd = open("tests/cli/index/dovecot.index.cache", O_RDONLY);
	autoindexcache struct index_cache cache = { 0 };
	struct err err = { 0 };
	struct stat st;

	(void)state;
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	if (index_cache_load(fd, (uint64_t)st.st_size, &cache, &err) < 0)
		fail_msg("%s", err.msg);
	close(fd);
	assert_int_equal(cache.indexid, 1795441842);
	assert_int_equal(cache.record_count, 2);
	assert_int_equal(cache.continued_record_count, 4);
	assert_int_equal(cache.fields_offset, 1748);
	assert_int_equal(cache.fields.count, 27);
	assert_string_equal(cache.fields.items[0].name, "flags");
	assert_int_equal(cache.fields.items[0].type, INDEX_CACHE_BITMASK);
	assert_int_equal(cache.fields.items[0].size_bytes, 4);
	assert_int_equal(cache.fields.items[0].decision, INDEX_CACHE_TEMP);
	assert_string_equal(cache.fields.items[10].name, "pop3.order");
	assert_int_equal(cache.fields.items[10].decision, INDEX_CACHE_NO);
	assert_string_equal(cache.fields.items[26].name, "hdr.X-MAILER");
	assert_int_equal(cache.fields.items[26].last_used, 1795441860);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),     cmocka_unit_test(test_lists),
		cmocka_unit_test(test_empty_list), cmocka_unit_test(test_bad_header),
		cmocka_unit_test(test_cut),        cmocka_unit_test(test_shrinks),
		cmocka_unit_test(test_many_lists), cmocka_unit_test(test_many_fields),
		cmocka_unit_test(test_large_list), cmocka_unit_test(test_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
