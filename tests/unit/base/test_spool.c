#include "../scratch.h"

#include "base/hash.h"
#include "base/spool.h"

enum { TOTAL = 300000 };
static char data[TOTAL];

static int fill(void **state)
{
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 7 + (i >> 8));
	return scratch_setup(state);
}

static void write_in_pieces(struct spool *spool, size_t len, size_t piece)
{
	struct err err = { 0 };

	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;

		if (spool_write(spool, data + at, n, &err) < 0)
			fail_msg("%s", err.msg);
	}
}

static void assert_content(const struct spool *spool, size_t len)
{
	unsigned char expected[32], sha[32];
	char part[1000], byte;
	struct err err = { 0 };

	assert_int_equal(spool_size(spool), len);
	for (size_t at = 0; at < len;) {
		ssize_t n = spool_read(spool, at, part, sizeof part, &err);

		assert_true(n > 0);
		assert_memory_equal(part, data + at, (size_t)n);
		at += (size_t)n;
	}
	assert_int_equal(spool_read(spool, len, part, sizeof part, &err), 0);
	assert_int_equal(spool_read(spool, UINT64_MAX, part, sizeof part, &err), 0);
	assert_int_equal(spool_read(spool, UINT64_MAX - 5, part, sizeof part, &err), 0);
	if (len > 0) {
		assert_int_equal(spool_read(spool, len - 1, part, sizeof part, &err), 1);
		assert_int_equal(spool_read(spool, len / 2, &byte, 1, &err), 1);
		assert_int_equal(byte, data[len / 2]);
	}
	hash_sha256(data, len, expected);
	assert_int_equal(spool_sha256(spool, sha, &err), 0);
	assert_memory_equal(sha, expected, sizeof sha);
}

static void test_memory_and_disk(void **state)
{
	static const struct {
		size_t memory_max, len, piece;
		bool in_memory;
	} rows[] = {
		{ 1000, 0, 1, true },        { 1000, 1, 1, true },
		{ 1000, 999, 10, true },     { 1000, 1000, 7, true },
		{ 1000, 1000, 1000, true },  { 1000, 1001, 1001, false },
		{ 1000, 1001, 1, false },    { 0, 1, 1, false },
		{ 0, 0, 1, true },           { SIZE_MAX, TOTAL, 4096, true },
		{ 5000, TOTAL, 999, false }, { 5000, TOTAL, TOTAL, false },
	};
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		autospool struct spool *spool = spool_new(scratch->path, rows[i].memory_max);

		for (int round = 0; round < 2; round++) {
			write_in_pieces(spool, rows[i].len, rows[i].piece);
			assert_content(spool, rows[i].len);
			if ((spool_memory(spool) != NULL) != rows[i].in_memory)
				fail_msg("row %zu: in memory: %d", i, !rows[i].in_memory);
			if (rows[i].in_memory)
				assert_memory_equal(spool_memory(spool), data, rows[i].len);
			assert_int_equal(count_entries(scratch->fd, "."), 0);
			spool_reset(spool);
			assert_content(spool, 0);
			assert_non_null(spool_memory(spool));
		}
	}
}

static void test_never_to_disk(void **state)
{
	autospool struct spool *spool = spool_new(NULL, 100);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(spool_write(spool, data, 100, &err), 0);
	assert_int_equal(spool_write(spool, data, 0, &err), 0);
	assert_int_equal(spool_write(spool, data, 1, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_non_null(strstr(err.msg, "more than 100 bytes"));
	spool_reset(spool);
	assert_int_equal(spool_write(spool, data, SIZE_MAX, &err), -1);
	assert_int_equal(spool_write(spool, data, 50, &err), 0);
	assert_content(spool, 50);
}

static void test_from(void **state)
{
	struct spool *spool = spool_from(data, 1234);
	struct spool *empty = spool_from(NULL, 0);

	(void)state;
	assert_content(spool, 1234);
	assert_ptr_not_equal(spool_memory(spool), data);
	assert_content(empty, 0);
	spool_free(&spool);
	spool_free(&empty);
	assert_null(spool);
	spool_free(&spool);
}

static void test_bad_directory(void **state)
{
	autospool struct spool *spool = spool_new("/nonexistent/spool", 10);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(spool_write(spool, data, 10, &err), 0);
	assert_int_equal(spool_write(spool, data, 1, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_non_null(strstr(err.msg, "/nonexistent/spool"));
}

static void test_disk_full(void **state)
{
	struct scratch *scratch = *state;
	autospool struct spool *spool = NULL;
	struct err err = { 0 };
	char path[128];

	mount_small(scratch, "small", "size=64k");
	snprintf(path, sizeof path, "%s/small", scratch->path);
	spool = spool_new(path, 1000);
	assert_int_equal(spool_write(spool, data, 900, &err), 0);
	assert_int_equal(spool_write(spool, data, TOTAL - 900, &err), -1);
	assert_int_equal(err.code, ERR_CANTCREATE);
	assert_non_null(strstr(err.msg, path));
	spool_reset(spool);
	write_in_pieces(spool, 20000, 3000);
	assert_content(spool, 20000);
	assert_null(spool_memory(spool));
	spool_free(&spool);
	unmount_small(scratch, "small");
}

#define spool_test(fn) cmocka_unit_test_setup_teardown(fn, fill, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		spool_test(test_memory_and_disk),
		spool_test(test_never_to_disk),
		spool_test(test_from),
		spool_test(test_bad_directory),
		spool_test(test_disk_full),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
