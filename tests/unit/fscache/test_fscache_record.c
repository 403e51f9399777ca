#include "../scratch.h"

#include <sys/random.h>

#include "fscache/fscache_reader.h"
#include "fscache/fscache_record.h"

static const char *const lines[] = {
	"+ 1700000000 4096 42 a%2Fb\n",
	"- 1700000001 4096 42 14 a%2Fb\n",
	"~ 0 0 0 0 x\n",
	"! 1700000002 18446744073709551615 3\n",
	"= 1700000003 1 2 3 4 5 6 7 8 size\n",
};

static void test_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(lines); i++) {
		autofree char *line = strdup(lines[i]);
		struct fscache_record record;
		autobuf struct buf out = { 0 };

		line[strlen(line) - 1] = '\0';
		assert_true(fscache_record_parse(line, strlen(line), &record));
		fscache_record_format(&out, &record);
		assert_string_equal(buf_str(&out), lines[i]);
	}
}

static void test_no_record(void **state)
{
	static const char *const rows[] = {
		"",
		"+",
		"+ ",
		"+ 1 2 3",
		"+ 1 2 3 ",
		"+  1 2 3 a",
		"+ 1 2 3 a b",
		"+ 1 2 3 a\t",
		"+ 1 2 -3 a",
		"+ 1 2 18446744073709551616 a",
		"+ 9223372036854775808 2 3 a",
		"+ 1 2 3 \xc3\xa4",
		"- 1 2 3 a",
		"- 1 2 3 4",
		"* 1 2 3 a",
		"! 1 2",
		"! 1 2 3 4",
		"= 1 1 2 3 4 5 6 7 8",
		"= 1 1 2 3 4 5 6 7 size",
		"fscache.log 1",
		"+1 2 3 a",
		" + 1 2 3 a",
		"+ 1 0x2 3 a",
		"+ 1 2 3\ta",
	};
	struct fscache_record record;
	char name[600];

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		if (fscache_record_parse(rows[i], strlen(rows[i]), &record))
			fail_msg("\"%s\" is a record", rows[i]);
	}
	assert_false(fscache_record_parse("+ 1 2 3 a\0b", 11, &record));
	snprintf(name, sizeof name, "+ 1 2 3 %0255d", 0);
	assert_true(fscache_record_parse(name, strlen(name), &record));
	snprintf(name, sizeof name, "+ 1 2 3 %0256d", 0);
	assert_false(fscache_record_parse(name, strlen(name), &record));
}

static void apply(struct fscache_totals *totals, uint64_t start, const char *line, bool expected)
{
	struct fscache_record record;

	assert_true(fscache_record_parse(line, strlen(line), &record));
	assert_int_equal(fscache_record_apply(totals, &record, start), expected);
}

static void test_apply(void **state)
{
	struct fscache_totals totals = { .cursor = 14 };

	(void)state;
	apply(&totals, 14, "+ 1 4096 1 a", true);
	apply(&totals, 27, "+ 1 8192 2 b", true);
	apply(&totals, 40, "! 1 5 2", true);
	apply(&totals, 48, "~ 1 4096 1 27 a", true);
	assert_int_equal(totals.bytes, 12288);
	assert_int_equal(totals.files, 2);
	assert_int_equal(totals.cursor, 27);
	apply(&totals, 64, "- 1 8192 2 27 b", false); /* consumed before */
	apply(&totals, 64, "- 1 8192 2 65 b", false); /* not yet there */
	assert_int_equal(totals.bytes, 12288);
	apply(&totals, 64, "- 1 8192 2 40 b", true);
	apply(&totals, 80, "= 1 80 0 0 14 0 0 0 0 size", true);
	assert_int_equal(totals.bytes, 4096);
	assert_int_equal(totals.files, 1);
	assert_int_equal(totals.cursor, 40);
	assert_int_equal(totals.evictions, 1);
	assert_int_equal(totals.hits, 5);
	assert_int_equal(totals.passed, 2);
	assert_int_equal(totals.misses, 2);
}

/* Damage never makes a total jump around. */
static void test_apply_limits(void **state)
{
	struct fscache_totals totals = { .cursor = 14, .bytes = 10, .files = 0 };

	(void)state;
	apply(&totals, 100, "- 1 11 1 20 a", true);
	assert_int_equal(totals.bytes, 0);
	assert_int_equal(totals.files, 0);
	apply(&totals, 200, "+ 1 18446744073709551615 1 a", true);
	apply(&totals, 300, "+ 1 18446744073709551615 1 a", true);
	assert_true(totals.bytes == UINT64_MAX);
}

struct seen {
	char names[256];
	uint64_t offset, damaged, start;
};

static struct seen read_all(int fd, uint64_t offset, uint64_t end)
{
	struct fscache_reader reader;
	struct fscache_record record;
	struct seen seen = { 0 };
	int ret;

	fscache_reader_init(&reader, fd, offset, end);
	while ((ret = fscache_reader_next(&reader, &record, NULL)) > 0) {
		if (strlen(seen.names) + strlen(record.name) < sizeof seen.names)
			strcat(seen.names, record.name);
		seen.start = reader.start;
	}
	assert_int_equal(ret, 0);
	seen.offset = reader.offset;
	seen.damaged = reader.damaged;
	return seen;
}

static void test_reader(void **state)
{
	static const char text[] = "+ 1 2 3 a\njunk\n\n+ 1 2 3 b\n+ 1 2 3 c";
	const struct scratch *scratch = *state;
	struct seen seen;

	put(scratch->fd, "log", text);
	autofd int fd = openat(scratch->fd, "log", O_RDONLY | O_CLOEXEC);
	seen = read_all(fd, 0, sizeof text - 1);
	assert_string_equal(seen.names, "ab");
	assert_int_equal(seen.damaged, 2);
	assert_int_equal(seen.start, 16);
	assert_int_equal(seen.offset, 26);
	seen = read_all(fd, 16, 1000);
	assert_string_equal(seen.names, "b");
	assert_int_equal(seen.offset, 26);
	seen = read_all(fd, 10, 16);
	assert_int_equal(seen.damaged, 2);
	assert_int_equal(seen.offset, 16);
	seen = read_all(fd, 500, 100);
	assert_int_equal(seen.offset, 500);
}

/* Lines across the blocks that are read, and one longer than a block. */
static void test_reader_blocks(void **state)
{
	const struct scratch *scratch = *state;
	autobuf struct buf text = { 0 };
	struct fscache_reader reader;
	struct fscache_record record;
	uint64_t n = 0;

	for (int i = 0; i < 20000; i++) {
		buf_printf(&text, "+ 1 2 %d name%d\n", i, i);
		if (i == 10000) {
			for (int j = 0; j < 200000; j++)
				buf_putc(&text, 'x');
			buf_putc(&text, '\n');
		}
	}
	put_bytes(scratch->fd, "log", text.data, text.len);
	autofd int fd = openat(scratch->fd, "log", O_RDONLY | O_CLOEXEC);
	fscache_reader_init(&reader, fd, 0, text.len);
	while (fscache_reader_next(&reader, &record, NULL) > 0)
		assert_int_equal(record.inode, n++);
	assert_int_equal(n, 20000);
	assert_int_equal(reader.damaged, 1);
	assert_int_equal(reader.offset, text.len);

	/* A long line without an end is no whole line. */
	buf_truncate(&text, 0);
	buf_puts(&text, "+ 1 2 3 a\n");
	for (int j = 0; j < 200000; j++)
		buf_putc(&text, 'x');
	put_bytes(scratch->fd, "log2", text.data, text.len);
	autofd int fd2 = openat(scratch->fd, "log2", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read_all(fd2, 0, text.len).offset, 10);
}

static void test_reader_garbage(void **state)
{
	const struct scratch *scratch = *state;
	unsigned char bytes[200000];
	struct seen seen;

	for (size_t at = 0; at < sizeof bytes; at += 200)
		assert_int_equal(getrandom(bytes + at, 200, 0), 200);
	bytes[sizeof bytes - 1] = '\n';
	put_bytes(scratch->fd, "log", bytes, sizeof bytes);
	autofd int fd = openat(scratch->fd, "log", O_RDONLY | O_CLOEXEC);
	seen = read_all(fd, 0, sizeof bytes);
	assert_int_equal(seen.offset, sizeof bytes);
	assert_true(seen.damaged > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_no_record),
		cmocka_unit_test(test_apply),      cmocka_unit_test(test_apply_limits),
		scratch_test(test_reader),         scratch_test(test_reader_blocks),
		scratch_test(test_reader_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
