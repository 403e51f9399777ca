#include "../scratch.h"

#include "bytes_read.h"

#include "base/lock.h"
#include "fscache/fscache_log.h"
#include "fscache/fscache_rewrite.h"

static void lock(struct fscache_log *log)
{
	struct err err = { 0 };

	if (fscache_log_lock(log, 1000, &err) != 1)
		fail_msg("lock: %s", err.msg);
}

static void append(struct fscache_log *log, enum fscache_record_kind kind, uint64_t bytes,
		   uint64_t cursor, const char *name)
{
	struct fscache_record record = { .kind = kind,
					 .when_s = 1,
					 .bytes = bytes,
					 .inode = 7,
					 .cursor = cursor,
					 .name = name };
	struct err err = { 0 };

	if (fscache_log_append(log, &record, &err) < 0)
		fail_msg("append: %s", err.msg);
}

static void assert_totals(const struct fscache_log *log, uint64_t bytes, uint64_t files,
			  uint64_t cursor)
{
	assert_int_equal(log->totals.bytes, bytes);
	assert_int_equal(log->totals.files, files);
	assert_int_equal(log->totals.cursor, cursor);
}

/* What a new reader makes of the log is what the writer knows. */
static void assert_reads_as(int dirfd, const struct fscache_log *log)
{
	autofscachelog struct fscache_log other;

	fscache_log_init(&other, dirfd);
	assert_int_equal(fscache_log_read(&other, NULL), 1);
	assert_int_equal(other.offset, log->offset);
	assert_int_equal(other.checkpoint, log->checkpoint);
	assert_memory_equal(&other.totals, &log->totals, sizeof log->totals);
}

static void test_text(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log, reader;

	fscache_log_init(&log, scratch->fd);
	fscache_log_init(&reader, scratch->fd);
	assert_int_equal(fscache_log_read(&reader, NULL), 0);
	lock(&log);
	append(&log, FSCACHE_ADDED, 4096, 0, "a");
	append(&log, FSCACHE_ADDED, 8192, 0, "b");
	assert_int_equal(fscache_log_read(&reader, NULL), 1);
	assert_totals(&reader, 12288, 2, 14);
	append(&log, FSCACHE_REMOVED, 4096, 27, "a");
	assert_int_equal(fscache_log_checkpoint(&log, "test", NULL), 0);
	fscache_log_unlock(&log);
	assert_int_equal(fscache_log_read(&reader, NULL), 1);
	assert_totals(&reader, 8192, 1, 27);
	assert_reads_as(scratch->fd, &log);
	char text[256] = "";
	ssize_t n = pread(log.fd, text, sizeof text - 1, 0);
	assert_true(n > 0);
	char *time = strstr(text, "= ");
	assert_non_null(time);
	*time = '\0';
	assert_string_equal(text, "fscache.log 1\n+ 1 4096 7 a\n+ 1 8192 7 b\n- 1 4096 7 27 a\n");
	assert_non_null(strstr(time + 1, " 56 8192 1 27 0 2 0 1 test\n"));
}

static void test_lock_excludes(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log a, b;

	fscache_log_init(&a, scratch->fd);
	fscache_log_init(&b, scratch->fd);
	lock(&a);
	assert_int_equal(fscache_log_lock(&b, 0, NULL), 0);
	assert_int_equal(fscache_log_lock(&b, 20, NULL), 0);
	append(&a, FSCACHE_ADDED, 4096, 0, "a");
	fscache_log_unlock(&a);
	lock(&b);
	assert_totals(&b, 4096, 1, 14);
	append(&b, FSCACHE_ADDED, 4096, 0, "b");
	assert_int_equal(fscache_log_hold(&b, NULL), 1);
	fscache_log_unlock(&b);
	lock(&a);
	assert_totals(&a, 8192, 2, 14);
	assert_int_equal(fscache_log_hold(&a, NULL), 0);
	fscache_log_close(&b);
	assert_int_equal(fscache_log_hold(&a, NULL), 1);
}

static void test_torn_tail(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log, reader;

	put(scratch->fd, FSCACHE_LOG_FILE, "fscache.log 1\n+ 1 4096 7 a\n~ 1 4096 7 27 ");
	fscache_log_init(&log, scratch->fd);
	fscache_log_init(&reader, scratch->fd);
	assert_int_equal(fscache_log_read(&reader, NULL), 1);
	assert_totals(&reader, 4096, 1, 14);
	assert_int_equal(reader.damaged, 0);
	lock(&log);
	assert_totals(&log, 4096, 1, 14);
	append(&log, FSCACHE_ADDED, 4096, 0, "b");
	assert_text(scratch->fd, FSCACHE_LOG_FILE, "fscache.log 1\n+ 1 4096 7 a\n+ 1 4096 7 b\n");
}

static void test_damaged_lines(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;

	put(scratch->fd, FSCACHE_LOG_FILE,
	    "fscache.log 1\n+ 1 4096 7 a\nrubbish\n- 1 4096 7 9999 a\n+ 1 4096 7 b\n"
	    "= 1 9999 1 1 14 0 0 0 0 beyond\n= 1 20 1 1 30 0 0 0 0 cursor\n");
	fscache_log_init(&log, scratch->fd);
	lock(&log);
	assert_totals(&log, 8192, 2, 14);
	assert_int_equal(log.damaged, 2);
}

static void test_not_ours(void **state)
{
	static const char *const rows[] = {
		"fscache.log 2\n+ 1 4096 7 a\n",
		"fscache.log 10\n",
		"junk",
		"\n",
		"fscache.log 1 \n",
	};
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		autofscachelog struct fscache_log log;
		struct err err = { 0 };

		put(scratch->fd, FSCACHE_LOG_FILE, rows[i]);
		fscache_log_init(&log, scratch->fd);
		assert_int_equal(fscache_log_read(&log, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		err_clear(&err);
		assert_int_equal(fscache_log_lock(&log, 0, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		assert_true(err.hint[0]);
		assert_text(scratch->fd, FSCACHE_LOG_FILE, rows[i]);
	}
	assert_int_equal(unlinkat(scratch->fd, FSCACHE_LOG_FILE, 0), 0);
	for (int i = 0; i < 3; i++) {
		autofscachelog struct fscache_log log;
		struct err err = { 0 };

		if (i == 0)
			put_dir(scratch->fd, FSCACHE_LOG_FILE);
		else if (i == 1)
			put_link(scratch->fd, FSCACHE_LOG_FILE, "elsewhere");
		else
			assert_int_equal(mkfifoat(scratch->fd, FSCACHE_LOG_FILE, 0600), 0);
		fscache_log_init(&log, scratch->fd);
		assert_int_equal(fscache_log_lock(&log, 0, &err), -1);
		assert_int_equal(fscache_log_read(&log, &err), -1);
		assert_int_equal(unlinkat(scratch->fd, FSCACHE_LOG_FILE, i == 0 ? AT_REMOVEDIR : 0),
				 0);
	}
	assert_false(has(scratch->fd, "elsewhere"));
}

/* A first line that was never completed. */
static void test_torn_header(void **state)
{
	const struct scratch *scratch = *state;

	for (size_t len = 0; len < FSCACHE_LOG_START; len++) {
		autofscachelog struct fscache_log log;

		put_bytes(scratch->fd, FSCACHE_LOG_FILE, FSCACHE_LOG_HEADER, len);
		fscache_log_init(&log, scratch->fd);
		assert_int_equal(fscache_log_read(&log, NULL), 0);
		lock(&log);
		append(&log, FSCACHE_ADDED, 1, 0, "a");
		assert_text(scratch->fd, FSCACHE_LOG_FILE, "fscache.log 1\n+ 1 1 7 a\n");
	}
}

static void add_many(struct fscache_log *log, int count)
{
	char name[32];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof name, "name-%06d", i);
		append(log, FSCACHE_ADDED, 4096, 0, name);
		fscache_log_tidy(log);
	}
}

static void test_checkpoints(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;

	fscache_log_init(&log, scratch->fd);
	lock(&log);
	add_many(&log, 10000);
	assert_true(log.checkpoint > 3L * FSCACHE_LOG_CHECKPOINT_BYTES);
	assert_true(log.offset - log.checkpoint <= FSCACHE_LOG_CHECKPOINT_BYTES);
	assert_totals(&log, 10000 * 4096, 10000, 14);
	assert_reads_as(scratch->fd, &log);
	fscache_log_unlock(&log);

	/* Cut anywhere, what stands there counts. */
	for (int i = 0; i < 20; i++) {
		autofscachelog struct fscache_log again;
		uint64_t size = log.offset;

		assert_int_equal(ftruncate(log.fd, (off_t)(size - 9973)), 0);
		fscache_log_init(&again, scratch->fd);
		assert_int_equal(fscache_log_read(&again, NULL), 1);
		lock(&log);
		assert_true(log.offset <= size - 9973 && log.offset > size - 9973 - 100);
		assert_int_equal(log.totals.bytes, again.totals.bytes);
		assert_int_equal(log.totals.bytes, log.totals.files * 4096);
		fscache_log_unlock(&log);
	}
}

/* The checkpoint is believed: what stands before it is not read again. */
static void test_checkpoint_counts(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;

	put(scratch->fd, FSCACHE_LOG_FILE,
	    "fscache.log 1\n+ 1 4096 7 a\n= 1 27 5000 5 14 1 2 3 4 test\n+ 1 10 7 b\n");
	fscache_log_init(&log, scratch->fd);
	assert_int_equal(fscache_log_read(&log, NULL), 1);
	assert_totals(&log, 5010, 6, 14);
	assert_int_equal(log.totals.hits, 1);
	assert_int_equal(log.totals.misses, 3);
	assert_int_equal(log.totals.passed, 3);
	assert_int_equal(log.totals.evictions, 4);
}

static void test_replaced(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;

	fscache_log_init(&log, scratch->fd);
	lock(&log);
	append(&log, FSCACHE_ADDED, 4096, 0, "a");
	fscache_log_unlock(&log);

	assert_int_equal(unlinkat(scratch->fd, FSCACHE_LOG_FILE, 0), 0);
	lock(&log);
	assert_totals(&log, 0, 0, 14);
	append(&log, FSCACHE_ADDED, 1, 0, "b");
	fscache_log_unlock(&log);
	assert_text(scratch->fd, FSCACHE_LOG_FILE, "fscache.log 1\n+ 1 1 7 b\n");

	assert_int_equal(ftruncate(log.fd, 0), 0);
	lock(&log);
	append(&log, FSCACHE_ADDED, 2, 0, "c");
	fscache_log_unlock(&log);
	assert_text(scratch->fd, FSCACHE_LOG_FILE, "fscache.log 1\n+ 1 2 7 c\n");

	/* Cut, and grown again before we look. */
	put(scratch->fd, FSCACHE_LOG_FILE,
	    "fscache.log 1\n+ 1 100 7 aaaaaaaaaaaaaaaaa\n+ 1 200 7 bbbbbbbbbbbbbbb\n");
	lock(&log);
	assert_totals(&log, 300, 2, 14);
	assert_int_equal(log.damaged, 0);
	fscache_log_unlock(&log);

	/* Grown to the same size. */
	put(scratch->fd, FSCACHE_LOG_FILE,
	    "fscache.log 1\n+ 1 100 7 aaaaaaaaaaaaaaaaa\n+ 1 700 7 ccccccccccccccc\n");
	lock(&log);
	assert_totals(&log, 800, 2, 14);
}

/* By a program of another version, while we have the file open. */
static void test_written_over(void **state)
{
	static const char *const rows[] = {
		"fscache.log 2\nsomething\n",
		"fscache.log 2\n+ 1 4096 7 a\n+ 1 4096 7 b\n+ 1 4096 7 another\n",
	};
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		autofscachelog struct fscache_log log, reader;
		struct err err = { 0 };

		put(scratch->fd, FSCACHE_LOG_FILE, FSCACHE_LOG_HEADER);
		fscache_log_init(&log, scratch->fd);
		fscache_log_init(&reader, scratch->fd);
		lock(&log);
		append(&log, FSCACHE_ADDED, 4096, 0, "a");
		append(&log, FSCACHE_ADDED, 4096, 0, "b");
		fscache_log_unlock(&log);
		assert_int_equal(fscache_log_read(&reader, NULL), 1);
		put(scratch->fd, FSCACHE_LOG_FILE, rows[i]);
		assert_int_equal(fscache_log_read(&reader, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		err_clear(&err);
		assert_int_equal(fscache_log_lock(&log, 1000, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		assert_text(scratch->fd, FSCACHE_LOG_FILE, rows[i]);
	}
}

static void test_take_back(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log, before;

	fscache_log_init(&log, scratch->fd);
	fscache_log_init(&before, scratch->fd);
	lock(&log);
	append(&log, FSCACHE_ADDED, 4096, 0, "a");
	before = log;
	append(&log, FSCACHE_ADDED, 8192, 0, "b");
	fscache_log_take_back(&log, &before);
	before.fd = -1;
	assert_totals(&log, 4096, 1, 14);
	append(&log, FSCACHE_ADDED, 1, 0, "c");
	assert_text(scratch->fd, FSCACHE_LOG_FILE, "fscache.log 1\n+ 1 4096 7 a\n+ 1 1 7 c\n");
	fscache_log_unlock(&log);
	lock(&log);
	assert_totals(&log, 4097, 2, 14);
	assert_reads_as(scratch->fd, &log);
}

/* Damage without a newline is read once or twice, however long it is. */
static void test_no_newlines(void **state)
{
	const struct scratch *scratch = *state;
	const uint64_t size = 64 << 20;
	autofscachelog struct fscache_log log, reader;
	uint64_t before;

	put(scratch->fd, FSCACHE_LOG_FILE, "fscache.log 1\n+ 1 4096 7 a\n");
	autofd int fd = openat(scratch->fd, FSCACHE_LOG_FILE, O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	fscache_log_init(&log, scratch->fd);
	fscache_log_init(&reader, scratch->fd);
	before = bytes_read();
	assert_int_equal(fscache_log_read(&reader, NULL), 1);
	assert_true(bytes_read() - before < 3 * size);
	assert_totals(&reader, 4096, 1, 14);
	before = bytes_read();
	lock(&log);
	assert_true(bytes_read() - before < 3 * size);
	append(&log, FSCACHE_ADDED, 1, 0, "b");
	assert_text(scratch->fd, FSCACHE_LOG_FILE, "fscache.log 1\n+ 1 4096 7 a\n+ 1 1 7 b\n");
}

static void test_compaction(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log, other;
	uint64_t cursor, inode;

	fscache_log_init(&log, scratch->fd);
	fscache_log_init(&other, scratch->fd);
	put(scratch->fd, FSCACHE_LOG_NEW, "a leftover");
	lock(&log);
	add_many(&log, 30000);
	assert_true(log.offset > FSCACHE_LOG_COMPACT_BYTES / 2);
	assert_int_equal(fscache_log_read(&other, NULL), 1);
	cursor = FSCACHE_LOG_START;
	inode = log.inode;
	while (log.inode == inode && log.totals.files > 0) {
		cursor = log.totals.cursor + strlen("+ 1 4096 7 name-000000\n");
		append(&log, FSCACHE_REMOVED, 4096, cursor, "x");
		fscache_log_tidy(&log);
	}
	assert_true(log.totals.files > 0);
	assert_false(has(scratch->fd, FSCACHE_LOG_NEW));
	assert_int_equal(log.totals.cursor, FSCACHE_LOG_START);
	assert_int_equal(log.totals.misses, 30000);
	assert_true(log.totals.evictions > 0);
	/* The lock is that of the new log. */
	assert_int_equal(fscache_log_lock(&other, 0, NULL), 0);
	append(&log, FSCACHE_ADDED, 1, 0, "last");
	fscache_log_unlock(&log);
	assert_reads_as(scratch->fd, &log);
	lock(&other);
	assert_int_equal(other.inode, log.inode);
	assert_memory_equal(&other.totals, &log.totals, sizeof log.totals);
}

static void test_hold_stops_compaction(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log, rescan;
	uint64_t inode;

	fscache_log_init(&log, scratch->fd);
	fscache_log_init(&rescan, scratch->fd);
	lock(&rescan);
	assert_int_equal(fscache_log_hold(&rescan, NULL), 1);
	inode = rescan.inode;
	fscache_log_unlock(&rescan);
	lock(&log);
	add_many(&log, 50000);
	append(&log, FSCACHE_REMOVED, 4096, log.offset, "x");
	add_many(&log, 3000);
	assert_int_equal(log.inode, inode);
	fscache_log_close(&rescan);
	add_many(&log, 3000);
	assert_int_not_equal(log.inode, inode);
}

static void test_rewrite(void **state)
{
	const struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;
	struct fscache_record entry = { .when_s = 5, .bytes = 10, .inode = 3, .name = "n" };
	struct fscache_rewrite rewrite;

	fscache_log_init(&log, scratch->fd);
	lock(&log);
	append(&log, FSCACHE_ADDED, 4096, 0, "a");
	append(&log, FSCACHE_COUNTED, 0, 0, NULL);
	for (int commit = 0; commit < 2; commit++) {
		assert_int_equal(fscache_rewrite_begin(&rewrite, &log, NULL), 0);
		assert_int_equal(fscache_rewrite_add(&rewrite, &entry, NULL), 0);
		entry.kind = FSCACHE_SPARED;
		assert_int_equal(fscache_rewrite_add(&rewrite, &entry, NULL), 0);
		if (commit)
			assert_int_equal(fscache_rewrite_commit(&rewrite, "repaired", NULL), 0);
		fscache_rewrite_end(&rewrite);
		fscache_rewrite_end(&rewrite);
		assert_false(has(scratch->fd, FSCACHE_LOG_NEW));
		assert_totals(&log, commit ? 20 : 4096, commit ? 2 : 1, 14);
		assert_int_equal(log.totals.misses, 1);
		assert_reads_as(scratch->fd, &log);
	}
}

static void test_full_disk(void **state)
{
	struct scratch *scratch = *state;
	autofscachelog struct fscache_log log;
	struct fscache_record record = { .kind = FSCACHE_ADDED, .bytes = 1, .name = "name" };
	struct err err = { 0 };
	char filler[65536] = "";
	uint64_t offset;

	mount_small(scratch, "disk", "size=64k");
	autofd int disk = openat(scratch->fd, "disk", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fscache_log_init(&log, disk);
	lock(&log);
	autofd int fd = openat(disk, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, filler, sizeof filler) > 0)
		;
	while (write(fd, filler, 1) > 0)
		;
	while (fscache_log_append(&log, &record, &err) == 0)
		;
	assert_int_equal(err.code, ERR_CANTCREATE);
	assert_int_equal(fscache_log_checkpoint(&log, "size", NULL), -1);
	offset = log.offset;
	assert_true(offset > 4000 && offset <= 4096);
	fscache_log_unlock(&log);
	assert_reads_as(disk, &log);
	assert_int_equal(unlinkat(disk, "filler", 0), 0);
	close(steal_fd(&fd));
	lock(&log);
	assert_int_equal(log.offset, offset);
	assert_int_equal(fscache_log_append(&log, &record, &err), 0);
	fscache_log_close(&log);
	close(steal_fd(&disk));
	unmount_small(scratch, "disk");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_text),        scratch_test(test_lock_excludes),
		scratch_test(test_torn_tail),   scratch_test(test_damaged_lines),
		scratch_test(test_not_ours),    scratch_test(test_torn_header),
		scratch_test(test_checkpoints), scratch_test(test_checkpoint_counts),
		scratch_test(test_replaced),    scratch_test(test_written_over),
		scratch_test(test_take_back),   scratch_test(test_no_newlines),
		scratch_test(test_compaction),  scratch_test(test_hold_stops_compaction),
		scratch_test(test_rewrite),     scratch_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
