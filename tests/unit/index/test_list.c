/* Folders of the mailbox list index. */
#include "index/index_list.h"
#include "writer.h"

struct row {
	uint32_t uid, name_id, parent;
	unsigned guid; /* repeated 16 times; 0: none */
	unsigned flags;
};

static void put_names(struct buf *log, const void *names, size_t len)
{
	autobuf struct buf header = { 0 };

	buf_putc(&header, '\0');
	buf_append(&header, names, len);
	put_intro(log, 0, "list", 0, (uint32_t)header.len, 28);
	put_ext_hdr(log, 0, header.data, header.len);
}

static void put_row(struct buf *log, const struct row *row)
{
	autobuf struct buf record = { 0 };

	put_append(log, row->uid, row->flags);
	put_u32(&record, row->name_id);
	put_u32(&record, row->parent);
	for (int i = 0; i < 16; i++)
		buf_putc(&record, (char)row->guid);
	put_u32(&record, 4711);
	put_ext_rec(log, row->uid, record.data, record.len);
}

static int load(const void *names, size_t names_len, const struct row *rows, size_t count,
		struct index_list *list, struct err *err)
{
	autobuf struct buf log = { 0 };
	autoindexmap struct index_map map = { 0 };
	struct index_files files = { .is_list = true, .index = -1, .log2 = -1 };

	put_log_header(&log, 1, 0, 0);
	put_names(&log, names, names_len);
	for (size_t i = 0; i < count; i++)
		put_row(&log, &rows[i]);
	files.log = file_of(&log);
	files.log_bytes = log.len;
	assert_int_equal(index_map_load(&files, &map, err), 0);
	index_files_close(&files);
	return index_list_load(&map, '/', list, err);
}

static const char names[] = "\1\0\0\0INBOX\0\2\0\0\0a\0\7\0\0\0b.c\0\0\0\0\0\0";

static void test_folders(void **state)
{
	static const struct row rows[] = {
		{ 1, 1, 0, 0xab },
		{ 2, 2, 4, 0x01 },
		{ 4, 7, 0, 0, INDEX_LIST_NOSELECT },
		{ 5, 7, 2, 0x02 },
	};
	autoindexlist struct index_list list = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(load(names, sizeof names - 1, rows, ROWS(rows), &list, &err), 0);
	assert_int_equal(list.count, 4);
	assert_string_equal(list.items[0].guid, "abababababababababababababababab");
	assert_string_equal(list.items[0].name, "INBOX");
	assert_int_equal(list.items[0].uid_validity, 4711);
	assert_string_equal(list.items[1].name, "b.c/a");
	assert_string_equal(list.items[2].name, "b.c");
	assert_string_equal(list.items[2].guid, "");
	assert_int_equal(list.items[2].flags, INDEX_LIST_NOSELECT);
	assert_string_equal(list.items[3].name, "b.c/a/b.c");
	assert_string_equal(index_list_name(&list, "abababababababababababababababab"), "INBOX");
	assert_null(index_list_name(&list, "ffffffffffffffffffffffffffffffff"));
	assert_null(index_list_name(&list, ""));
}

static void test_refused(void **state)
{
	static const struct {
		const char *names;
		size_t len;
		struct row rows[2];
		const char *message;
	} bad[] = {
		{ names, sizeof names - 1, { { 1, 3, 0, 1 } }, "folder 1 has no name" },
		{ names, sizeof names - 1, { { 1, 1, 9, 1 } }, "no folder 9, which is a parent" },
		{ names, sizeof names - 1, { { 1, 1, 1, 1 } }, "folder 1 lies too deep" },
		{ names,
		  sizeof names - 1,
		  { { 1, 1, 2, 1 }, { 2, 2, 1, 2 } },
		  "folder 1 lies too deep" },
		{ "\2\0\0\0a\0\2\0\0\0b", 12, { { 1, 2, 0, 1 } }, "name 2 follows name 2" },
		{ "\2\0\0\0abc", 7, { { 1, 2, 0, 1 } }, "name 2 follows name 0" },
		{ "\2\0\0", 3, { { 1, 2, 0, 1 } }, "the list of names is cut" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(bad); i++) {
		autoindexlist struct index_list list = { 0 };
		struct err err = { 0 };

		assert_int_equal(load(bad[i].names, bad[i].len, bad[i].rows,
				      bad[i].rows[1].uid ? 2 : 1, &list, &err),
				 -1);
		assert_string_equal(err.msg, bad[i].message);
		assert_int_equal(err.code, ERR_DATA);
	}
}

static void test_no_list(void **state)
{
	autobuf struct buf log = { 0 };
	autoindexmap struct index_map map = { 0 };
	autoindexlist struct index_list list = { 0 };
	struct index_files files = { .index = -1, .log2 = -1 };
	struct err err = { 0 };

	(void)state;
	put_log_header(&log, 1, 0, 0);
	put_append(&log, 1, 0);
	files.log = file_of(&log);
	files.log_bytes = log.len;
	assert_int_equal(index_map_load(&files, &map, &err), 0);
	index_files_close(&files);
	assert_int_equal(index_list_load(&map, '/', &list, &err), -1);
	assert_string_equal(err.msg, "no mailbox list index");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
