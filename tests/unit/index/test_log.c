/* Transaction logs: what is read, where reading ends, what is refused. */
#include "index/index_log.h"
#include "writer.h"

struct seen {
	char text[512];
	size_t stop_after;
	size_t count;
};

static int note(void *ctx, const struct index_record *record, struct err *err)
{
	struct seen *seen = ctx;

	(void)err;
	snprintf(seen->text + strlen(seen->text), sizeof seen->text - strlen(seen->text), "%s%s@%d",
		 seen->count ? " " : "", index_record_type_name(record->type), (int)record->offset);
	return ++seen->count == seen->stop_after ? 1 : 0;
}

static struct buf new_log(void)
{
	struct buf log = { 0 };

	put_log_header(&log, 1, 0, 0);
	return log;
}

/* What is read of it, as text, and the end. */
static int read_all(const struct buf *log, struct seen *seen, uint64_t *end, struct err *err)
{
	int fd = file_of(log);
	int ret = index_log_read(fd, log->len, LOG_HEADER, note, seen, end, err);

	close(fd);
	return ret;
}

static void test_header(void **state)
{
	static const struct {
		const char *what;
		size_t at;
		unsigned char byte;
		const char *error;
	} bad[] = {
		{ "major", 0, 2, "a transaction log of version 2.3" },
		{ "hdr_size", 2, 20, "a log header of 20 bytes" },
		{ "hdr_size", 2, 41, "a log header of 41 bytes" },
		{ "hdr_size", 3, 255, "a log header of 65320 bytes" },
		{ "byte order", 32, 0, "a log of another byte order" },
	};
	autobuf struct buf log = new_log();
	struct index_log_header header;
	struct err err;
	int fd;

	(void)state;
	fd = file_of(&log);
	assert_int_equal(index_log_header(fd, log.len, &header, &err), 0);
	assert_int_equal(header.indexid, INDEXID);
	assert_int_equal(header.file_seq, 1);
	assert_int_equal(header.create_stamp, 1700000000);
	assert_int_equal(header.initial_modseq, 1);
	assert_int_equal(index_log_header(fd, 23, &header, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	close(fd);
	for (size_t i = 0; i < ROWS(bad); i++) {
		char was = log.data[bad[i].at];

		log.data[bad[i].at] = (char)bad[i].byte;
		fd = file_of(&log);
		assert_int_equal(index_log_header(fd, log.len, &header, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		assert_string_equal(err.msg, bad[i].error);
		close(fd);
		log.data[bad[i].at] = was;
	}
	set_u32(&log, 4, 0);
	fd = file_of(&log);
	assert_int_equal(index_log_header(fd, log.len, &header, &err), -1);
	assert_string_equal(err.msg, "Dovecot has marked the log as corrupt");
	close(fd);
}

/* Version 1.0 had 24 bytes: what it lacks is 0, and its records begin there. */
static void test_old_header(void **state)
{
	autobuf struct buf log = new_log();
	struct index_log_header header;
	struct err err;
	int fd;

	(void)state;
	log.data[1] = 0;
	log.data[2] = 24;
	fd = file_of(&log);
	assert_int_equal(index_log_header(fd, log.len, &header, &err), 0);
	assert_int_equal(header.initial_modseq, 0);
	assert_int_equal(header.compat_flags, 0);
	close(fd);
}

static void test_records(void **state)
{
	autobuf struct buf log = new_log(), group = { 0 };
	struct seen seen = { 0 };
	struct err err;
	uint64_t end;

	(void)state;
	put_append(&log, 1, 0);
	put_flags(&group, 1, INDEX_FLAG_SEEN, 0);
	put_expunge(&group, 1, 1);
	put_group(&log, &group);
	put_keyword(&log, INDEX_RECORD_ADD, "$Work", 1, 4);
	assert_int_equal(read_all(&log, &seen, &end, &err), 0);
	assert_string_equal(seen.text, "append@40 boundary@56 flag-update@68 expunge@88 "
				       "keyword-update@104");
	assert_int_equal(end, log.len);
	seen = (struct seen){ .stop_after = 2 };
	assert_int_equal(read_all(&log, &seen, &end, &err), 0);
	assert_string_equal(seen.text, "append@40 boundary@56");
	assert_int_equal(end, 68);
}

/* At each length a log that is cut ends with the last whole group. */
static void test_every_cut(void **state)
{
	autobuf struct buf log = new_log(), group = { 0 };
	size_t group_at, group_end;

	(void)state;
	put_append(&log, 1, 0);
	group_at = log.len;
	put_flags(&group, 1, INDEX_FLAG_SEEN, 0);
	put_flags(&group, 1, INDEX_FLAG_DRAFT, 0);
	put_group(&log, &group);
	group_end = log.len;
	put_append(&log, 2, 0);
	for (size_t len = LOG_HEADER; len <= log.len; len++) {
		struct buf cut = { .data = log.data, .len = len };
		struct seen seen = { 0 };
		struct err err = { 0 };
		uint64_t end, whole = len == log.len     ? log.len
				      : len >= group_end ? group_end
				      : len >= group_at  ? group_at
							 : LOG_HEADER;

		assert_int_equal(read_all(&cut, &seen, &end, &err), 0);
		assert_int_equal(end, whole);
	}
}

/* Zeros behind the last record are one that is being written. */
static void test_unwritten_tail(void **state)
{
	autobuf struct buf log = new_log();
	struct seen seen = { 0 };
	struct err err;
	uint64_t end;

	(void)state;
	put_append(&log, 1, 0);
	for (int i = 0; i < 64; i++)
		buf_putc(&log, '\0');
	assert_int_equal(read_all(&log, &seen, &end, &err), 0);
	assert_string_equal(seen.text, "append@40");
	assert_int_equal(end, 56);
}

/* A log that is shorter than it was said to be is the end, not a failure. */
static void test_shrunk(void **state)
{
	autobuf struct buf log = new_log();
	struct seen seen = { 0 };
	struct err err;
	uint64_t end;
	int fd;

	(void)state;
	put_append(&log, 1, 0);
	fd = file_of(&log);
	assert_int_equal(index_log_read(fd, 1 << 20, LOG_HEADER, note, &seen, &end, &err), 0);
	assert_int_equal(end, log.len);
	close(fd);
}

static void test_corrupt(void **state)
{
	static const struct {
		uint32_t type;
		uint32_t n[8];
		size_t count;
		const char *error;
	} bad[] = {
		{ 0, { 1 }, 1, "unknown type 0x0" },
		{ 0x8, { 1 }, 1, "unknown type 0x8" },
		{ 0x6, { 1, 0 }, 2, "unknown type 0x6" },
		{ INDEX_RECORD_APPEND, { 0 }, 0, "an empty record" },
		{ INDEX_RECORD_APPEND, { 1 }, 1, "4 bytes hold no whole items" },
		{ INDEX_RECORD_APPEND, { 0, 0 }, 2, "a mail with UID 0" },
		{ INDEX_RECORD_EXPUNGE, { 1, 1 }, 2, "an expunge without its protection bits" },
		{ INDEX_RECORD_EXPUNGE_GUID,
		  { 1, 1 },
		  2,
		  "an expunge without its protection bits" },
		{ EXPUNGE, { 2, 1 }, 2, "UIDs 2 to 1 after 0" },
		{ EXPUNGE, { 0, 1 }, 2, "UIDs 0 to 1 after 0" },
		{ EXPUNGE, { 1, 3, 3, 4 }, 4, "UIDs 3 to 4 after 3" },
		{ EXPUNGE, { 1 }, 1, "4 bytes hold no whole UID ranges" },
		{ EXPUNGE_GUID, { 0, 1, 2, 3, 4 }, 5, "a mail with UID 0" },
		{ INDEX_RECORD_FLAG_UPDATE, { 1, 1 }, 2, "8 bytes hold no whole UID ranges" },
		{ INDEX_RECORD_KEYWORD_UPDATE,
		  { 100 << 16, 1, 1 },
		  3,
		  "a keyword's name goes beyond the record" },
		{ INDEX_RECORD_KEYWORD_UPDATE, { 0, 1, 1 }, 3, "a keyword without a name" },
		{ INDEX_RECORD_KEYWORD_UPDATE,
		  { 4 << 16, 0x61006161, 1, 1 },
		  4,
		  "a keyword without a name" },
		{ INDEX_RECORD_KEYWORD_UPDATE,
		  { 2 | 1 << 16, 0x61, 1, 1 },
		  4,
		  "a keyword is neither added nor removed" },
		{ INDEX_RECORD_KEYWORD_UPDATE,
		  { 1 << 16, 0x61 },
		  2,
		  "0 bytes hold no whole UID ranges" },
		{ INDEX_RECORD_HEADER_UPDATE,
		  { 0 | 8 << 16, 1 },
		  2,
		  "an item goes beyond the record" },
		{ INDEX_RECORD_EXT_HDR_UPDATE32,
		  { 0, 0xffffffff, 1 },
		  3,
		  "an item goes beyond the record" },
		{ INDEX_RECORD_EXT_INTRO,
		  { 0, 0, 0, 0, 8 << 16 },
		  5,
		  "an item goes beyond the record" },
		{ INDEX_RECORD_ATTRIBUTE_UPDATE, { 0x0061702b }, 1, "attribute names do not end" },
		{ INDEX_RECORD_ATTRIBUTE_UPDATE,
		  { 0x0061782b, 0 },
		  2,
		  "an attribute without prefix or name" },
		{ INDEX_RECORD_ATTRIBUTE_UPDATE, { 0 }, 1, "attribute names do not end" },
		{ INDEX_RECORD_BOUNDARY, { 4 }, 1, "a group of 4 bytes ends within a record" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(bad); i++) {
		autobuf struct buf log = new_log();
		struct seen seen = { 0 };
		struct err err = { 0 };
		char expected[256];
		uint64_t end;

		put_append(&log, 1, 0);
		put_numbers(&log, bad[i].type, bad[i].n, bad[i].count);
		put_append(&log, 2, 0);
		assert_int_equal(read_all(&log, &seen, &end, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		snprintf(expected, sizeof expected, "corrupt at offset 56: %s", bad[i].error);
		assert_string_equal(err.msg, expected);
		assert_string_equal(seen.text, "append@40");
		assert_int_equal(end, 56);
	}
}

static void test_corrupt_size(void **state)
{
	static const uint32_t sizes[] = { 0x80808080, 0x00000001, 0x81808080 & 0x7fffffff };

	(void)state;
	for (size_t i = 0; i < ROWS(sizes); i++) {
		autobuf struct buf log = new_log();
		struct seen seen = { 0 };
		struct err err = { 0 };
		uint64_t end;

		put_u32(&log, sizes[i]);
		put_u32(&log, INDEX_RECORD_APPEND);
		put_u64(&log, 1);
		assert_int_equal(read_all(&log, &seen, &end, &err), -1);
		assert_string_equal(err.msg, "corrupt at offset 40: no size of a record");
	}
}

static void test_group_in_group(void **state)
{
	autobuf struct buf log = new_log(), inner = { 0 }, outer = { 0 };
	struct seen seen = { 0 };
	struct err err;
	uint64_t end;

	(void)state;
	put_append(&inner, 1, 0);
	put_group(&outer, &inner);
	put_group(&log, &outer);
	assert_int_equal(read_all(&log, &seen, &end, &err), -1);
	assert_string_equal(err.msg, "corrupt at offset 52: a group within a group");
}

/* A record larger than what is read at once, and a group of such. */
static void test_large(void **state)
{
	autobuf struct buf log = new_log(), group = { 0 }, data = { 0 };
	struct seen seen = { 0 };
	struct err err;
	uint64_t end;

	(void)state;
	for (uint32_t i = 1; i <= 100000; i++) {
		put_u32(&data, i);
		put_u32(&data, 0);
	}
	put_record(&group, INDEX_RECORD_APPEND, data.data, data.len);
	put_expunge(&group, 1, 1);
	put_record(&group, INDEX_RECORD_EXT_RESET, data.data, data.len);
	put_group(&log, &group);
	assert_int_equal(read_all(&log, &seen, &end, &err), 0);
	assert_string_equal(seen.text, "boundary@40 append@52 expunge@800060 ext-reset@800076");
	assert_int_equal(end, log.len);
}

static int refuse(void *ctx, const struct index_record *record, struct err *err)
{
	(void)ctx;
	(void)record;
	return err_set(err, ERR_TEMP, "no more");
}

static void test_callback_fails(void **state)
{
	autobuf struct buf log = new_log();
	struct err err;
	uint64_t end;
	int fd;

	(void)state;
	put_append(&log, 1, 0);
	fd = file_of(&log);
	assert_int_equal(index_log_read(fd, log.len, LOG_HEADER, refuse, NULL, &end, &err), -1);
	assert_int_equal(err.code, ERR_TEMP);
	assert_int_equal(end, LOG_HEADER);
	close(fd);
	assert_int_equal(index_log_read(-1, log.len, LOG_HEADER, refuse, NULL, &end, &err), -1);
	assert_int_equal(err.code, ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),         cmocka_unit_test(test_old_header),
		cmocka_unit_test(test_records),        cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_unwritten_tail), cmocka_unit_test(test_shrunk),
		cmocka_unit_test(test_corrupt),        cmocka_unit_test(test_corrupt_size),
		cmocka_unit_test(test_group_in_group), cmocka_unit_test(test_large),
		cmocka_unit_test(test_callback_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
