#include "bytes_read.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "fscache/fscache_name.h"
#include "fscache/fscache_queue.h"
#include "fscache/fscache_record.h"

#define PIECE ((uint64_t)4 << 20)

/* Add `count` lines to a file, and to `*size_r`. */
static void put_lines(int fd, unsigned count, uint64_t *size_r)
{
	autobuf struct buf lines = { 0 };

	for (unsigned i = 0; i < count; i++) {
		struct fscache_record record = { .kind = FSCACHE_ADDED, .when_s = 1, .bytes = 1 };
		char key[32];
		struct fscache_name name;

		snprintf(key, sizeof key, "%" PRIu64 "-%u", *size_r, i);
		assert_true(fscache_name_of_key(key, &name));
		record.name = fscache_name_file(&name);
		fscache_record_format(&lines, &record);
	}
	assert_int_equal(pwrite(fd, lines.data, lines.len, (off_t)*size_r), (ssize_t)lines.len);
	*size_r += lines.len;
}

static void put_newline(int fd, uint64_t at)
{
	assert_int_equal(pwrite(fd, "\n", 1, (off_t)at), 1);
}

static void assert_queue(int fd, uint64_t from, uint64_t to, uint64_t files, uint64_t damaged)
{
	autofscachetable struct fscache_table *table = fscache_table_new(0);
	struct err err = { 0 };
	uint64_t n;

	if (fscache_queue_read(fd, from, to, table, &n, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(fscache_table_sum(table, FSCACHE_TABLE_ABSENT).files, files);
	assert_int_equal(n, damaged);
}

/* Every line of a queue of several pieces is read by one thread. */
static void test_pieces(void **state)
{
	const struct scratch *scratch = *state;
	autofd int fd = openat(scratch->fd, "log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t size = 14;

	assert_queue(fd, size, size, 0, 0);
	put_lines(fd, 300000, &size);
	assert_true(size > PIECE);
	assert_queue(fd, 14, size, 300000, 0);
}

/* Damage without a newline, over many pieces, some of them in the midst of it: each of it
 * counts once, and is read about once. */
static void test_no_newlines(void **state)
{
	/* The second ends where a piece does. */
	static const uint64_t rows[] = { 40 * PIECE / 4, 20 * PIECE, 1000, 600, 511, PIECE };
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		autofd int fd =
			openat(scratch->fd, "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		uint64_t size = 14, before;

		put_lines(fd, 1000, &size);
		size = i == 1 ? size + (rows[i] - (size - 14)) : size + rows[i];
		put_newline(fd, size - 1);
		put_lines(fd, 1000, &size);
		size += 8 * PIECE;
		put_newline(fd, size - 1);
		before = bytes_read();
		assert_queue(fd, 14, size, 2000, 2);
		assert_true(bytes_read() - before < 3 * size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_pieces),
		scratch_test(test_no_newlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
