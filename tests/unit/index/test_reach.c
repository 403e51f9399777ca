/* How far back logs reach, and whether today's index is what they lead to. */
#include "index/index_files.h"
#include "index/index_header.h"
#include "writer.h"

/* In the logs, where an index stands. */
struct place {
	uint32_t seq, offset;
};

/* A dovecot.index without mails. */
static void put_index(struct buf *out, uint32_t log_seq, uint32_t log_offset)
{
	buf_append(out, "\7\3\170\0", 4);
	put_u32(out, 120);
	put_u32(out, 8);
	put_u32(out, 1);
	put_u32(out, INDEXID);
	while (out->len < 60)
		buf_putc(out, '\0');
	put_u32(out, log_seq);
	put_u32(out, log_offset);
	put_u32(out, log_offset);
	while (out->len < 120)
		buf_putc(out, '\0');
}

static void test_reach(void **state)
{
	autobuf struct buf log = { 0 }, log2 = { 0 }, index = { 0 };
	struct index_files files = { .index = -1 };
	uint64_t record;

	(void)state;
	put_log_header(&log2, 3, 2, 1000);
	put_append(&log2, 1, 0);
	record = log2.len;
	put_append(&log2, 2, 0);
	put_log_header(&log, 4, 3, (uint32_t)log2.len);
	put_append(&log, 3, 0);
	files.log = file_of(&log);
	files.log_bytes = log.len;
	files.log2 = file_of(&log2);
	files.log2_bytes = log2.len;
	assert_true(index_files_reach(&files, INDEXID, 3, record));
	assert_true(index_files_reach(&files, INDEXID, 3, LOG_HEADER));
	assert_true(index_files_reach(&files, INDEXID, 3, log2.len));
	assert_true(index_files_reach(&files, INDEXID, 4, LOG_HEADER));
	assert_true(index_files_reach(&files, INDEXID, 4, log.len));
	assert_false(index_files_reach(&files, INDEXID + 1, 3, record));
	assert_false(index_files_reach(&files, INDEXID, 2, 1000));
	assert_false(index_files_reach(&files, INDEXID, 3, record + 4)); /* within a record */
	assert_false(index_files_reach(&files, INDEXID, 3, log2.len + 4));
	assert_false(index_files_reach(&files, INDEXID, 4, log.len + 4));
	assert_false(index_files_reach(&files, INDEXID, 4, 0));
	assert_false(index_files_reach(&files, INDEXID, 0, 0));
	close(files.log);
	set_u32(&log, 12, 2); /* another log was before it */
	files.log = file_of(&log);
	assert_false(index_files_reach(&files, INDEXID, 3, record));
	close(files.log);
	set_u32(&log, 12, 3);
	files.log = file_of(&log);
	assert_true(index_files_reach(&files, INDEXID, 3, record));
	files.log2_bytes -= 4; /* cut */
	assert_false(index_files_reach(&files, INDEXID, 3, record));
	files.log2_bytes += 4;
	put_index(&index, 4, LOG_HEADER);
	files.index = file_of(&index);
	files.index_bytes = index.len;
	assert_true(index_files_reach(&files, INDEXID, 3, record));
	close(files.index);
	set_u32(&index, 20, INDEX_HEADER_FSCKD);
	files.index = file_of(&index);
	assert_false(index_files_reach(&files, INDEXID, 3, record));
	index_files_close(&files);
	assert_false(index_files_reach(&files, INDEXID, 4, LOG_HEADER));
}

/* `log` follows `log2`, and the index of today stands at this place. */
static bool reaches(const struct buf *log2, const struct buf *log, struct place today,
		    struct place from)
{
	autobuf struct buf index = { 0 };
	autoindexfiles struct index_files files = { .index = -1, .log = -1, .log2 = -1 };

	put_index(&index, today.seq, today.offset);
	files.index = file_of(&index);
	files.index_bytes = index.len;
	files.log = file_of(log);
	files.log_bytes = log->len;
	files.log2 = file_of(log2);
	files.log2_bytes = log2->len;
	return index_files_reach(&files, INDEXID, from.seq, from.offset);
}

static void test_reach_today(void **state)
{
	autobuf struct buf log = { 0 }, log2 = { 0 };
	uint32_t record, second;

	(void)state;
	put_log_header(&log2, 3, 2, 1000);
	put_append(&log2, 1, 0);
	record = (uint32_t)log2.len;
	put_append(&log2, 2, 0);
	put_log_header(&log, 4, 3, (uint32_t)log2.len);
	put_append(&log, 3, 0);
	second = (uint32_t)log.len;
	put_append(&log, 4, 0);
	const struct {
		struct place today;
		bool reaches; /* from `record` of the older log */
	} rows[] = {
		{ { 3, LOG_HEADER },
		  true }, /* older than the one that is asked about, but in there */
		{ { 3, record }, true },
		{ { 3, (uint32_t)log2.len }, true },
		{ { 3, record + 4 }, false },
		{ { 3, (uint32_t)log2.len + 8 }, false },
		{ { 4, LOG_HEADER }, true },
		{ { 4, second }, true },
		{ { 4, (uint32_t)log.len }, true },
		{ { 4, second + 4 }, false },
		{ { 4, (uint32_t)log.len + 4 }, false }, /* ahead of the log */
		{ { 4, 0 }, false },
		{ { 2, 1000 }, false },
		{ { 2, 999 }, false },
		{ { 5, LOG_HEADER }, false },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (reaches(&log2, &log, rows[i].today, (struct place){ 3, record }) !=
		    rows[i].reaches)
			fail_msg("row %zu", i);
	}
	/* Behind the rotation, and the index of today still before it. */
	assert_false(
		reaches(&log2, &log, (struct place){ 3, record }, (struct place){ 4, second }));
}

static void put_header_bytes(struct buf *out, unsigned offset, unsigned size)
{
	autobuf struct buf data = { 0 };

	put_u16(&data, offset);
	put_u16(&data, size);
	while (size-- > 0)
		buf_putc(&data, '\0');
	put_pad(&data, 4);
	put_record(out, INDEX_RECORD_HEADER_UPDATE, data.data, data.len);
}

/* Dovecot repaired the index, and took the mark off it later. */
static void test_reach_repaired(void **state)
{
	static const struct {
		uint16_t offset, size;
		bool repaired;
	} rows[] = {
		{ 20, 4, true },  { 16, 8, true },  { 20, 1, true },  { 23, 1, true },
		{ 16, 4, false }, { 24, 4, false }, { 48, 4, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		autobuf struct buf log = { 0 }, log2 = { 0 };
		struct place before, after, end;

		put_log_header(&log2, 3, 2, 1000);
		put_append(&log2, 1, 0);
		put_log_header(&log, 4, 3, (uint32_t)log2.len);
		put_append(&log, 2, 0);
		before = (struct place){ 4, (uint32_t)log.len };
		put_header_bytes(&log, rows[i].offset, rows[i].size);
		after = (struct place){ 4, (uint32_t)log.len };
		put_append(&log, 3, 0);
		end = (struct place){ 4, (uint32_t)log.len };
		assert_int_equal(reaches(&log2, &log, end, (struct place){ 3, LOG_HEADER }),
				 !rows[i].repaired);
		assert_int_equal(reaches(&log2, &log, end, before), !rows[i].repaired);
		assert_true(reaches(&log2, &log, end, after));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_reach_today),
		cmocka_unit_test(test_reach_repaired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
