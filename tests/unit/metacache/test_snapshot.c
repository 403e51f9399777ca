#include "fixture.h"

#include "base/clock.h"
#include "metacache/snapshot.h"

#define LOG "dovecot.index.log"
#define CACHE "dovecot.index.cache"

static void make_unit(const struct scratch *scratch, struct unit *unit_r)
{
	struct err err = { 0 };

	put(scratch->fd, "dovecot.index", "index");
	put(scratch->fd, LOG, "log");
	put(scratch->fd, CACHE, "cache");
	put(scratch->fd, "dovecot.index.backup", "left out");
	put(scratch->fd, ".state", "ours");
	if (unit_rescan(scratch->fd, ".Foo", test_rules(), unit_r, &err) < 0)
		fail_msg("%s", err.msg);
}

static int take(const struct scratch *scratch, const struct unit *unit, int64_t timeout_ms,
		struct snapshot *snapshot_r, struct err *err)
{
	return snapshot_take(scratch->fd, unit, test_rules(), timeout_ms, snapshot_r, err);
}

static const struct bundle_source *source(const struct snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->source_count; i++) {
		assert_string_equal(snapshot->sources[i].name, snapshot->files.items[i].name);
		if (strcmp(snapshot->sources[i].name, name) == 0)
			return &snapshot->sources[i];
	}
	fail_msg("no %s", name);
	return NULL;
}

static void assert_source(const struct snapshot *snapshot, const char *name, const char *expected)
{
	const struct bundle_source *found = source(snapshot, name);
	char text[256] = { 0 };

	assert_int_equal(found->size_bytes, strlen(expected));
	assert_int_equal(pread(found->fd, text, found->size_bytes, 0), strlen(expected));
	assert_string_equal(text, expected);
}

static size_t open_handles(void)
{
	return count_entries(AT_FDCWD, "/proc/self/fd");
}

/* What is written after the snapshot is not in it. */
static void test_stays_as_it_was(void **state)
{
	const struct scratch *scratch = *state;
	size_t handles = open_handles();
	autounit struct unit unit = { 0 };
	struct snapshot snapshot;
	struct err err = { 0 };

	make_unit(scratch, &unit);
	if (take(scratch, &unit, 0, &snapshot, &err) < 0)
		fail_msg("%s", err.msg);
	assert_files(&snapshot.files, "dovecot.index," CACHE "," LOG);
	put(scratch->fd, LOG, "log and more");
	put(scratch->fd, "new", "index, newer");
	assert_int_equal(renameat(scratch->fd, "new", scratch->fd, "dovecot.index"), 0);
	assert_source(&snapshot, "dovecot.index", "index");
	assert_source(&snapshot, LOG, "log");
	assert_source(&snapshot, CACHE, "cache");
	assert_int_equal(snapshot.files.items[2].size_bytes, 3);
	snapshot_free(&snapshot);
	assert_int_equal(open_handles(), handles);
	snapshot_free(&snapshot);
}

static void test_no_files(void **state)
{
	const struct scratch *scratch = *state;
	autounit struct unit unit = { 0 };
	autosnapshot struct snapshot snapshot = { 0 };

	unit_classify("", test_rules(), &unit);
	assert_int_equal(take(scratch, &unit, 0, &snapshot, NULL), 0);
	assert_int_equal(snapshot.source_count, 0);
}

/* ---- Dovecot has the lock ---- */

static int lock_as_dovecot(int fd, short type, int command)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(fd, command, &lock);
}

struct writer {
	const struct scratch *scratch;
	const char *name;
	enum { APPEND, REPLACE, ROTATE, HOLD } what;
};

/* A commit: it has the lock when the snapshot starts, and is not done yet. */
static int write_as_dovecot(const struct child_side *side, void *arg)
{
	const struct writer *writer = arg;
	int dirfd = writer->scratch->fd;
	int fd = openat(dirfd, writer->name, O_RDWR | O_APPEND | O_CLOEXEC), new_fd;

	if (fd < 0 || lock_as_dovecot(fd, F_WRLCK, F_SETLK) < 0)
		return 1;
	child_ready(side);
	if (writer->what == HOLD) {
		child_pause(side);
		return 0;
	}
	for (int i = 0; i < 10; i++) {
		clock_sleep_ms(10);
		if (writer->what == APPEND && write(fd, "+", 1) != 1)
			return 2;
	}
	if (writer->what == REPLACE && renameat(dirfd, "aside/index", dirfd, "dovecot.index") < 0)
		return 3;
	if (writer->what == ROTATE) {
		if (renameat(dirfd, LOG, dirfd, LOG ".2") < 0)
			return 4;
		new_fd = openat(dirfd, LOG, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (new_fd < 0 || write(new_fd, "rotated", 7) != 7)
			return 5;
	}
	return lock_as_dovecot(fd, F_UNLCK, F_SETLK) < 0 ? 6 : 0;
}

static struct child start_writer(struct writer *writer)
{
	struct child child = child_start(write_as_dovecot, writer);

	child_await(&child);
	return child;
}

static void test_waits_for_a_commit(void **state)
{
	const struct scratch *scratch = *state;
	struct writer writer = { scratch, LOG, APPEND };
	autounit struct unit unit = { 0 };
	autosnapshot struct snapshot snapshot = { 0 };
	struct err err = { 0 };
	struct child child;

	make_unit(scratch, &unit);
	child = start_writer(&writer);
	if (take(scratch, &unit, 30000, &snapshot, &err) < 0)
		fail_msg("%s", err.msg);
	assert_source(&snapshot, LOG, "log++++++++++");
	assert_int_equal(snapshot.files.items[2].size_bytes, 13);
	assert_int_equal(child_end(&child), 0);
}

/* The same names, but one of them is another file than the one that was opened. */
static void test_index_replaced_meanwhile(void **state)
{
	const struct scratch *scratch = *state;
	struct writer writer = { scratch, LOG, REPLACE };
	autounit struct unit unit = { 0 };
	autosnapshot struct snapshot snapshot = { 0 };
	struct err err = { 0 };
	struct child child;

	make_unit(scratch, &unit);
	put(scratch->fd, "aside/index", "index, written anew");
	child = start_writer(&writer);
	if (take(scratch, &unit, 30000, &snapshot, &err) < 0)
		fail_msg("%s", err.msg);
	assert_source(&snapshot, "dovecot.index", "index, written anew");
	assert_int_equal(child_end(&child), 0);
}

static void test_log_rotates_meanwhile(void **state)
{
	const struct scratch *scratch = *state;
	struct writer writer = { scratch, LOG, ROTATE };
	autounit struct unit unit = { 0 };
	autosnapshot struct snapshot snapshot = { 0 };
	struct err err = { 0 };
	struct child child;

	make_unit(scratch, &unit);
	child = start_writer(&writer);
	if (take(scratch, &unit, 30000, &snapshot, &err) < 0)
		fail_msg("%s", err.msg);
	assert_files(&snapshot.files, "dovecot.index," CACHE "," LOG "," LOG ".2");
	assert_source(&snapshot, LOG, "rotated");
	assert_source(&snapshot, LOG ".2", "log");
	assert_int_equal(child_end(&child), 0);
}

static void test_locked_for_too_long(void **state)
{
	static const char *const names[] = { LOG, CACHE };
	const struct scratch *scratch = *state;
	autounit struct unit unit = { 0 };

	make_unit(scratch, &unit);
	for (size_t i = 0; i < ROWS(names); i++) {
		struct writer writer = { scratch, names[i], HOLD };
		struct child child = start_writer(&writer);
		size_t handles = open_handles();
		struct snapshot snapshot;
		struct err err = { 0 };
		int64_t start = clock_mono_ms();

		assert_int_equal(take(scratch, &unit, 60, &snapshot, &err), -1);
		assert_true(clock_mono_ms() - start >= 60);
		assert_int_equal(err.code, ERR_BUSY);
		assert_true(err.again);
		assert_message(&err, names[i]);
		assert_message(&err, "locked by Dovecot");
		assert_int_equal(open_handles(), handles);
		assert_int_equal(child_end(&child), 0);
	}
}

/* Commits go on while the snapshot is open; the cache is not written to. */
static int try_locks(const struct child_side *side, void *arg)
{
	const struct scratch *scratch = arg;
	int log = openat(scratch->fd, LOG, O_RDWR | O_CLOEXEC);
	int cache = openat(scratch->fd, CACHE, O_RDWR | O_CLOEXEC);

	child_pause(side);
	if (lock_as_dovecot(log, F_WRLCK, F_SETLK) < 0)
		return 1;
	if (lock_as_dovecot(cache, F_WRLCK, F_SETLK) == 0)
		return 2;
	child_ready(side);
	child_pause(side);
	return lock_as_dovecot(cache, F_WRLCK, F_SETLK) < 0 ? 3 : 0;
}

static void test_what_stays_locked(void **state)
{
	struct scratch *scratch = *state;
	autounit struct unit unit = { 0 };
	struct snapshot snapshot;
	struct child child;

	make_unit(scratch, &unit);
	/* Before the snapshot: handles that a child inherits would keep the lock. */
	child = child_start(try_locks, scratch);
	assert_int_equal(take(scratch, &unit, 0, &snapshot, NULL), 0);
	child_go(&child);
	child_await(&child);
	snapshot_free(&snapshot);
	child_go(&child);
	assert_int_equal(child_end(&child), 0);
}

/* ---- files are not what they were when the unit was looked at ---- */

static void test_gone_and_new(void **state)
{
	const struct scratch *scratch = *state;
	autounit struct unit unit = { 0 };
	autosnapshot struct snapshot snapshot = { 0 };

	make_unit(scratch, &unit);
	assert_int_equal(unlinkat(scratch->fd, "dovecot.index", 0), 0);
	put(scratch->fd, "dovecot.index.log.2", "older");
	put(scratch->fd, CACHE, "cache, longer");
	assert_int_equal(take(scratch, &unit, 0, &snapshot, NULL), 0);
	assert_files(&snapshot.files, CACHE "," LOG "," LOG ".2");
	assert_source(&snapshot, CACHE, "cache, longer");
}

static void test_swapped(void **state)
{
	const struct scratch *scratch = *state;

	put(scratch->fd, "outside/precious", "precious");
	for (int kind = 0; kind < 3; kind++) {
		autounit struct unit unit = { 0 };
		size_t handles = open_handles();
		struct snapshot snapshot;
		struct err err = { 0 };

		make_unit(scratch, &unit);
		assert_int_equal(unlinkat(scratch->fd, LOG, 0), 0);
		if (kind == 0)
			put_link(scratch->fd, LOG, "outside/precious");
		else if (kind == 1)
			assert_int_equal(mkfifoat(scratch->fd, LOG, 0600), 0);
		else
			put_dir(scratch->fd, LOG);
		assert_int_equal(take(scratch, &unit, 0, &snapshot, &err), -1);
		assert_message(&err, LOG);
		assert_int_equal(open_handles(), handles);
		assert_int_equal(fsx_remove_tree(scratch->fd, LOG, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_stays_as_it_was),
		scratch_test(test_no_files),
		scratch_test(test_waits_for_a_commit),
		scratch_test(test_index_replaced_meanwhile),
		scratch_test(test_log_rotates_meanwhile),
		scratch_test(test_locked_for_too_long),
		scratch_test(test_what_stays_locked),
		scratch_test(test_gone_and_new),
		scratch_test(test_swapped),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
