/* The map: what each record does to it, with and without dovecot.index, and what is
 * refused. */
#include "index/index_map.h"
#include "writer.h"

/* ---- dovecot.index ---- */

struct base {
	uint32_t log_seq, log_offset, next_uid, record_size;
	const uint32_t *uids; /* with flags: pairs */
	size_t mails;
	const struct buf *exts;
};

static void put_ext(struct buf *out, const char *name, const void *data, size_t len,
		    unsigned offset, unsigned size, unsigned align)
{
	put_u32(out, (uint32_t)len);
	put_u32(out, 0);
	put_u16(out, offset);
	put_u16(out, size);
	put_u16(out, align);
	put_u16(out, (unsigned)strlen(name));
	buf_puts(out, name);
	put_pad(out, 8);
	buf_append(out, data, len);
	put_pad(out, 8);
}

static void put_index(struct buf *out, const struct base *base)
{
	size_t exts = base->exts ? base->exts->len : 0;
	uint32_t size = base->record_size ? base->record_size : 8;

	buf_append(out, "\7\3\170\0", 4);
	put_u32(out, (uint32_t)(120 + exts));
	put_u32(out, size);
	put_u32(out, 1);
	put_u32(out, INDEXID);
	put_u32(out, 0);
	put_u32(out, 4711); /* UIDVALIDITY */
	put_u32(out, base->next_uid);
	put_u32(out, (uint32_t)base->mails);
	while (out->len < 48)
		buf_putc(out, '\0');
	put_u32(out, 1);
	put_u64(out, 0);
	put_u32(out, base->log_seq);
	put_u32(out, base->log_offset);
	put_u32(out, base->log_offset);
	while (out->len < 120)
		buf_putc(out, '\0');
	if (exts > 0)
		buf_append(out, base->exts->data, exts);
	for (size_t i = 0; i < base->mails; i++) {
		put_u32(out, base->uids[2 * i]);
		put_u32(out, base->uids[2 * i + 1]);
		for (uint32_t at = 8; at < size; at++)
			buf_putc(out, (char)(i + 1));
	}
}

/* ---- what is loaded ---- */

static int load(const struct buf *index, const struct buf *log, const struct buf *log2,
		struct index_map *map, struct err *err)
{
	struct index_files files = {
		.index = index ? file_of(index) : -1,
		.log = log ? file_of(log) : -1,
		.log2 = log2 ? file_of(log2) : -1,
		.index_bytes = index ? index->len : 0,
		.log_bytes = log ? log->len : 0,
		.log2_bytes = log2 ? log2->len : 0,
	};
	int ret;

	*err = (struct err){ 0 };
	ret = index_map_load(&files, map, err);
	index_files_close(&files);
	return ret;
}

/* "uid/flags/modseq[keywords] …" */
static void see(const struct index_map *map, const char *expected)
{
	autobuf struct buf text = { 0 };

	for (size_t i = 0; i < map->mails.count; i++) {
		buf_printf(&text, "%s%u/%x/%u", i ? " " : "", map->mails.items[i].uid,
			   map->mails.items[i].flags, (unsigned)index_map_modseq(map, i));
		for (size_t k = 0; k < map->keywords.count; k++)
			if (index_map_has_keyword(map, i, k))
				buf_printf(&text, "[%s]", map->keywords.items[k]);
	}
	assert_string_equal(buf_str(&text), expected);
}

static void see_log(const struct buf *log, const char *expected)
{
	autoindexmap struct index_map map = { 0 };
	struct err err;

	if (load(NULL, log, NULL, &map, &err) < 0)
		fail_msg("%s", err.msg);
	see(&map, expected);
}

static void refused(const struct buf *index, const struct buf *log, const char *message)
{
	autoindexmap struct index_map map = { 0 };
	struct err err;

	assert_int_equal(load(index, log, NULL, &map, &err), -1);
	assert_string_equal(err.msg, message);
	assert_int_equal(err.code, ERR_DATA);
}

static struct buf three_mails(void)
{
	struct buf log = { 0 };

	put_log_header(&log, 1, 0, 0);
	NUMBERS(&log, INDEX_RECORD_APPEND, 1, 0, 2, 8, 5, 0);
	return log;
}

static void put_modseqs(struct buf *log)
{
	const uint64_t header[2] = { 7, 0 };

	put_intro(log, 0, "modseq", 0, 16, 8);
	put_ext_hdr(log, 0, header, sizeof header);
}

static void test_replay(void **state)
{
	autobuf struct buf log = three_mails();
	autoindexmap struct index_map map = { 0 };
	struct err err;

	(void)state;
	see_log(&log, "1/0/2 2/8/2 5/0/2");
	NUMBERS(&log, INDEX_RECORD_FLAG_UPDATE, 2, 4, 1, 5, 9, 2 | 8 << 8);
	see_log(&log, "1/0/3 2/9/3 5/2/3");
	put_flags(&log, 1, 0x1f, 0);
	put_flags(&log, 1, 4, 0xff);
	see_log(&log, "1/4/5 2/9/5 5/2/5");
	put_flags(&log, 1, 0x80, 0); /* internal: no modseq */
	see_log(&log, "1/84/5 2/9/5 5/2/5");
	put_expunge(&log, 2, 4);
	see_log(&log, "1/84/6 5/2/6");
	NUMBERS(&log, EXPUNGE_GUID | INDEX_RECORD_EXTERNAL, 5, 0, 0, 0, 0, 1, 0, 0, 0, 0);
	NUMBERS(&log, EXPUNGE, 1, 9); /* a request */
	see_log(&log, "");
	put_append(&log, 6, 0);
	put_header_update(&log, 24, 99);
	put_header_update(&log, 28, 3); /* never less */
	assert_int_equal(load(NULL, &log, NULL, &map, &err), 0);
	see(&map, "6/0/8");
	assert_int_equal(map.header.next_uid, 7);
	assert_int_equal(map.header.uid_validity, 99);
	assert_int_equal(map.header.messages_count, 1);
	assert_int_equal(map.header.indexid, INDEXID);
	assert_int_equal(map.log_offset, log.len);
}

static void test_keywords(void **state)
{
	autobuf struct buf log = three_mails();
	char name[16];

	(void)state;
	put_keyword(&log, INDEX_RECORD_ADD, "$Work", 1, 2);
	put_keyword(&log, INDEX_RECORD_ADD, "b", 2, UINT32_MAX);
	put_keyword(&log, INDEX_RECORD_REMOVE, "$WORK", 1, 1);
	see_log(&log, "1/0/5 2/8/5[$Work][b] 5/0/5[b]");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "k%d", i);
		put_keyword(&log, INDEX_RECORD_ADD, name, 1, 1);
		put_keyword(&log, INDEX_RECORD_REMOVE, name, 1, i == 19 ? 2 : 1);
	}
	put_keyword(&log, INDEX_RECORD_ADD, "k19", 5, 5);
	see_log(&log, "1/0/46 2/8/46[$Work][b] 5/0/46[b][k19]");
	put_expunge(&log, 1, 1);
	NUMBERS(&log, INDEX_RECORD_KEYWORD_RESET, 2, 2);
	see_log(&log, "2/8/48 5/0/48[b][k19]");
}

static void test_modseqs(void **state)
{
	autobuf struct buf log = three_mails();

	(void)state;
	put_modseqs(&log);
	see_log(&log, "1/0/7 2/8/7 5/0/7");
	NUMBERS(&log, INDEX_RECORD_MODSEQ_UPDATE, 2, 20, 0, 3, 1, 0, 0, 21, 0);
	put_append(&log, 6, 0);
	put_keyword(&log, INDEX_RECORD_ADD, "x", 1, 1);
	NUMBERS(&log, INDEX_RECORD_FLAG_UPDATE, 5, 5, 1 << 16);
	put_flags(&log, 6, 0x40, 0);
	see_log(&log, "1/0/23[x] 2/8/20 5/0/24 6/40/22");
}

static void test_exts(void **state)
{
	autobuf struct buf log = three_mails();
	autoindexmap struct index_map map = { 0 };
	const struct index_ext *ext;
	struct err err;

	(void)state;
	put_intro(&log, 0, "a", 0, 4, 2);
	put_ext_rec(&log, 2, "XY", 2);
	put_ext_rec(&log, 3, "ZZ", 2);
	put_ext_hdr(&log, 1, "hdr", 3);
	put_keyword(&log, INDEX_RECORD_ADD, "k", 1, 1); /* an extension of its own: number 1 */
	put_intro(&log, 0, "c", 0, 0, 4);
	NUMBERS(&log, INDEX_RECORD_EXT_ATOMIC_INC, 1, 5, 5, 300);
	NUMBERS(&log, INDEX_RECORD_EXT_ATOMIC_INC, 5, (uint32_t)-299);
	put_intro(&log, 0, NULL, 0, 4, 4); /* grows */
	put_ext_rec(&log, 5, "LONG", 4);
	put_intro(&log, 2, NULL, 9, 0, 4); /* of another reset: what follows is passed over */
	put_ext_rec(&log, 5, "late", 4);
	put_expunge(&log, 1, 1);
	assert_int_equal(load(NULL, &log, NULL, &map, &err), 0);
	assert_int_equal(map.exts.count, 3);
	ext = &map.exts.items[0];
	assert_string_equal(ext->name, "a");
	assert_memory_equal(ext->data.data, "\0hdr", 4);
	assert_int_equal(ext->record_size, 4);
	assert_memory_equal(index_map_record(ext, 0), "XY\0\0LONG", 8);
	assert_string_equal(map.exts.items[1].name, "keywords");
	assert_memory_equal(index_map_record(&map.exts.items[2], 0), "\0\0\0\0\1\0\0\0", 8);
	index_map_free(&map);
	put_intro(&log, 0, NULL, 0, 4, 4);
	NUMBERS(&log, INDEX_RECORD_EXT_RESET, 3, 0);
	assert_int_equal(load(NULL, &log, NULL, &map, &err), 0);
	assert_int_equal(map.exts.items[0].reset_id, 3);
	assert_memory_equal(index_map_record(&map.exts.items[0], 0), "\0\0\0\0\0\0\0\0", 8);
}

/* ---- on top of dovecot.index ---- */

static void put_index_exts(struct buf *exts)
{
	const uint64_t modseq[2] = { 40, 0 };
	autobuf struct buf keywords = { 0 };

	put_u32(&keywords, 2);
	put_u64(&keywords, 0);
	put_u64(&keywords, (uint64_t)6 << 32);
	buf_append(&keywords, "first\0second", 13);
	put_ext(exts, "keywords", keywords.data, keywords.len, 8, 1, 1);
	put_ext(exts, "modseq", modseq, sizeof modseq, 16, 8, 8);
}

static void test_index(void **state)
{
	static const uint32_t mails[] = { 1, 8, 3, 0, 4, 1 };
	autobuf struct buf index = { 0 }, log = { 0 }, exts = { 0 }, next = { 0 };
	struct base base = { .log_seq = 3, .next_uid = 9, .uids = mails, .mails = 3 };
	autoindexmap struct index_map map = { 0 };
	struct err err;

	(void)state;
	put_index_exts(&exts);
	put_log_header(&log, 3, 2, 1000);
	put_flags(&log, 3, 31, 0); /* already in the index */
	base.log_offset = (uint32_t)log.len;
	base.exts = &exts;
	base.record_size = 24;
	put_index(&index, &base);
	assert_int_equal(load(&index, &log, NULL, &map, &err), 0);
	assert_int_equal(map.header.uid_validity, 4711);
	assert_int_equal(map.highest_modseq, 2);
	/* Each record is filled with its number: the keywords' bits, and the modseq. */
	assert_int_equal(index_map_modseq(&map, 2), 0x0303030303030303);
	assert_true(index_map_has_keyword(&map, 0, 0) && !index_map_has_keyword(&map, 0, 1));
	assert_true(index_map_has_keyword(&map, 1, 1) && !index_map_has_keyword(&map, 1, 0));
	assert_string_equal(map.keywords.items[1], "second");
	index_map_free(&map);

	put_append(&log, 9, 0);
	put_keyword(&log, INDEX_RECORD_ADD, "second", 9, 9);
	put_expunge(&log, 1, 4);
	assert_int_equal(load(&index, &log, NULL, &map, &err), 0);
	see(&map, "9/0/4[second]");
	index_map_free(&map);

	/* The same with the log rotated since. */
	put_log_header(&next, 4, 3, (uint32_t)log.len);
	put_flags(&next, 9, 2, 0);
	assert_int_equal(load(&index, &next, &log, &map, &err), 0);
	see(&map, "9/2/4[second]");
	assert_int_equal(map.log_file_seq, 4);
	index_map_free(&map);
	/* Rotated again: what was in between is lost. */
	set_u32(&next, 8, 5);
	assert_int_equal(load(&index, &next, &log, &map, &err), 0);
	index_map_free(&map);
	refused(&index, &next, "the log does not reach back to the index");
	/* A log that begins anew takes nothing from an older index. */
	set_u32(&next, 12, 0);
	assert_int_equal(load(&index, &next, NULL, &map, &err), 0);
	see(&map, "");
	index_map_free(&map);
	/* But it cannot be older than the index. */
	set_u32(&index, 60, 6);
	refused(&index, &next, "the log does not reach back to the index");
	set_u32(&index, 60, 3);
	/* No log at all. */
	assert_int_equal(load(&index, NULL, NULL, &map, &err), 0);
	assert_int_equal(map.mails.count, 3);
	assert_int_equal(map.highest_modseq, 40);
	index_map_free(&map);
	assert_int_equal(load(NULL, NULL, NULL, &map, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
}

/* ---- refused ---- */

static void bad_append(struct buf *log)
{
	put_append(log, 5, 0);
}
static void bad_append_last(struct buf *log)
{
	put_append(log, UINT32_MAX, 0);
}
static void bad_header(struct buf *log)
{
	put_header_update(log, 117, 0);
}
static void bad_no_intro(struct buf *log)
{
	put_ext_rec(log, 1, "x", 1);
}
static void bad_ext_id(struct buf *log)
{
	put_intro(log, 0, NULL, 0, 4, 4);
}
static void bad_ext_keywords(struct buf *log)
{
	put_intro(log, 0, "keywords", 0, 4, 4);
}
static void bad_ext_name(struct buf *log)
{
	put_intro(log, 0, "a\1", 0, 4, 4);
}
static void bad_ext_nothing(struct buf *log)
{
	put_intro(log, 0, "a", 0, 0, 0);
}
static void bad_ext_large(struct buf *log)
{
	put_intro(log, 0, "a", 0, 1 << 24, 0);
}
static void bad_ext_record(struct buf *log)
{
	put_intro(log, 0, "a", 0, 0, 40000);
}
static void bad_ext_hdr(struct buf *log)
{
	put_intro(log, 0, "a", 0, 4, 0);
	put_ext_hdr(log, 1, "1234", 4);
}
static void bad_ext_uid(struct buf *log)
{
	put_intro(log, 0, "a", 0, 0, 4);
	put_ext_rec(log, 6, "1234", 4);
}
static void bad_ext_cut(struct buf *log)
{
	put_intro(log, 0, "a", 0, 0, 8);
	put_ext_rec(log, 1, "1234", 4);
}
static void bad_inc(struct buf *log)
{
	put_intro(log, 0, "a", 0, 0, 1);
	NUMBERS(log, INDEX_RECORD_EXT_ATOMIC_INC, 1, 255, 1, 1);
}
static void bad_dec(struct buf *log)
{
	put_intro(log, 0, "a", 0, 0, 8);
	NUMBERS(log, INDEX_RECORD_EXT_ATOMIC_INC, 1, (uint32_t)-1);
}
static void bad_inc_size(struct buf *log)
{
	put_intro(log, 0, "a", 0, 0, 3);
	NUMBERS(log, INDEX_RECORD_EXT_ATOMIC_INC, 1, 1);
}
static void bad_modseq(struct buf *log)
{
	NUMBERS(log, INDEX_RECORD_MODSEQ_UPDATE, 1, 1, 1);
}
static void bad_memory(struct buf *log)
{
	char name[16];

	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof name, "e%d", i);
		put_intro(log, 0, name, 0, (1 << 24) - 1, 0);
	}
	put_intro(log, 0, "last", 0, (1 << 24) - 1, 0);
}

static void test_refused(void **state)
{
	static const struct {
		void (*add)(struct buf *log);
		const char *message;
	} rows[] = {
		{ bad_append, "UID 5 is appended where 6 is next" },
		{ bad_append_last, "UID 4294967295 is appended where 6 is next" },
		{ bad_header, "an update is outside of the index header" },
		{ bad_no_intro, "an extension is updated without introduction" },
		{ bad_ext_id, "extension number 0 is not known" },
		{ bad_ext_keywords, "the keywords extension is introduced" },
		{ bad_ext_name, "an extension named \"a\\x01\"" },
		{ bad_ext_nothing, "extension \"a\" has impossible sizes" },
		{ bad_ext_large, "extension \"a\" has impossible sizes" },
		{ bad_ext_record, "extension \"a\" has impossible sizes" },
		{ bad_ext_hdr, "an update is outside of the header of extension \"a\"" },
		{ bad_ext_uid, "an extension's record for UID 6" },
		{ bad_ext_cut, "8 bytes hold no whole records of extension \"a\"" },
		{ bad_inc, "a number of extension \"a\" leaves its range" },
		{ bad_dec, "a number of extension \"a\" leaves its range" },
		{ bad_inc_size, "no number of 3 bytes can be added to" },
		{ bad_modseq, "a modseq before there were any" },
		{ bad_memory, "the mails would need more than 256 MiB" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autobuf struct buf log = three_mails();
		autoindexmap struct index_map map = { 0 };
		struct err err;

		rows[i].add(&log);
		assert_int_equal(load(NULL, &log, NULL, &map, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		if (!strstr(err.msg, rows[i].message) || !strstr(err.msg, "log 1: corrupt at"))
			fail_msg("%s is not %s", err.msg, rows[i].message);
	}
}

static void test_refused_index(void **state)
{
	static const uint32_t mails[] = { 1, 8, 3, 0, 3, 1 };
	static const struct {
		size_t at;
		uint32_t value;
		const char *message;
	} rows[] = {
		{ 0, 8 | 3 << 8 | 120 << 16, "an index of version 8.3" },
		{ 0, 7 | 3 << 8 | 119 << 16, "index header sizes of 119 and 184 bytes" },
		{ 4, 100000, "index header sizes of 120 and 100000 bytes" },
		{ 8, 7, "index records of 7 bytes" },
		{ 12, 0, "an index of another byte order" },
		{ 16, 5, "the index has id 5, its log 305419896" },
		{ 28, 3, "mail 1 has UID 3 after 1" },
		{ 32, 3, "mail 2 has UID 3 after 3" },
		{ 32, 4, "the index has no room for its 4 mails" },
		{ 32, UINT32_MAX, "the index has no room for its 4294967295 mails" },
		{ 60, 2, "the log does not reach back to the index" },
		{ 68, 4000, "log 3 ends before the index" },
		{ 120, UINT32_MAX, "an extension goes beyond the header" },
		{ 128, 20 | 8 << 16, "extension \"keywords\" is outside of the record" },
		{ 132, 1 | 200 << 16, "an extension goes beyond the header" },
		{ 144, 2000, "2000 keywords in a header of 33 bytes" },
		{ 152, 100, "keyword 0 has no name" },
	};
	autobuf struct buf index = { 0 }, log = { 0 }, exts = { 0 }, keywords = { 0 };
	struct base base = { .log_seq = 3, .next_uid = 9, .uids = mails, .mails = 2 };

	(void)state;
	put_u32(&keywords, 2);
	put_u64(&keywords, 0);
	put_u64(&keywords, (uint64_t)6 << 32);
	buf_append(&keywords, "first\0second", 13);
	put_ext(&exts, "keywords", keywords.data, keywords.len, 8, 1, 1);
	put_log_header(&log, 3, 2, 1000);
	base.log_offset = (uint32_t)log.len;
	base.exts = &exts;
	base.record_size = 16;
	put_index(&index, &base);
	/* A third mail that the header does not count. */
	put_u32(&index, 3);
	while (index.len % 16 != 8)
		buf_putc(&index, '\0');
	assert_int_equal(exts.len, 64);
	for (size_t i = 0; i < ROWS(rows); i++) {
		uint32_t was;

		memcpy(&was, index.data + rows[i].at, sizeof was);
		set_u32(&index, rows[i].at, rows[i].value);
		refused(&index, &log, rows[i].message);
		set_u32(&index, rows[i].at, was);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay),        cmocka_unit_test(test_keywords),
		cmocka_unit_test(test_modseqs),       cmocka_unit_test(test_exts),
		cmocka_unit_test(test_index),         cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
