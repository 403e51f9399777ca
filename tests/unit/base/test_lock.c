#include "../scratch.h"

#include <pthread.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lock.h"

static int open_file(const struct scratch *scratch)
{
	int fd = openat(scratch->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void test_matrix(void **state)
{
	static const struct {
		enum lock_mode held;
		int64_t held_start, held_len;
		enum lock_mode asked;
		int64_t start, len;
		int ret;
	} rows[] = {
		{ LOCK_RANGE_READ, 0, 1, LOCK_RANGE_READ, 0, 1, 1 },
		{ LOCK_RANGE_READ, 0, 1, LOCK_RANGE_WRITE, 0, 1, 0 },
		{ LOCK_RANGE_WRITE, 0, 1, LOCK_RANGE_READ, 0, 1, 0 },
		{ LOCK_RANGE_WRITE, 0, 1, LOCK_RANGE_WRITE, 0, 1, 0 },
		{ LOCK_RANGE_WRITE, 0, 1, LOCK_RANGE_WRITE, 1, 1, 1 },
		{ LOCK_RANGE_WRITE, 1, 1, LOCK_RANGE_WRITE, 0, 1, 1 },
		{ LOCK_RANGE_WRITE, 1, 1, LOCK_RANGE_WRITE, 0, 2, 0 },
		{ LOCK_RANGE_WRITE, 0, 2, LOCK_RANGE_READ, 1, 1, 0 },
		{ LOCK_RANGE_WRITE, 0, 0, LOCK_RANGE_READ, INT64_C(1) << 62, 1, 0 },
		{ LOCK_RANGE_WRITE, 100, 0, LOCK_RANGE_WRITE, 0, 100, 1 },
		{ LOCK_RANGE_WRITE, 0, 100, LOCK_RANGE_WRITE, 100, 0, 1 },
		{ LOCK_RANGE_WRITE, INT64_C(1) << 62, 1, LOCK_RANGE_WRITE, INT64_C(1) << 62, 1, 0 },
	};

	for (size_t i = 0; i < ROWS(rows); i++) {
		autofd int a = open_file(*state), b = open_file(*state);
		int ret;

		assert_int_equal(
			lock_range(a, rows[i].held, rows[i].held_start, rows[i].held_len, 0), 1);
		ret = lock_range(b, rows[i].asked, rows[i].start, rows[i].len, 0);
		if (ret != rows[i].ret)
			fail_msg("row %zu: %d", i, ret);
		assert_int_equal(lock_unrange(a, rows[i].held_start, rows[i].held_len), 0);
		assert_int_equal(lock_range(b, rows[i].asked, rows[i].start, rows[i].len, 0), 1);
	}
}

static void test_errors(void **state)
{
	const struct scratch *scratch = *state;
	autofd int fd = open_file(scratch);
	autofd int read_only = openat(scratch->fd, "lock", O_RDONLY | O_CLOEXEC);

	assert_int_equal(lock_range(-1, LOCK_RANGE_READ, 0, 1, 1000), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(lock_range(read_only, LOCK_RANGE_WRITE, 0, 1, 1000), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(lock_range(fd, LOCK_RANGE_READ, -1, 1, 1000), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(lock_range(read_only, LOCK_RANGE_READ, 0, 1, 0), 1);
	assert_int_equal(lock_unrange(-1, 0, 0), -1);
}

/* A POSIX lock would be lost here: any close of the file drops it. */
static void test_belongs_to_the_handle(void **state)
{
	autofd int other = open_file(*state);
	int fd = open_file(*state), third = open_file(*state);

	assert_int_equal(lock_range(fd, LOCK_RANGE_WRITE, 0, 0, 0), 1);
	close(third);
	assert_int_equal(lock_range(other, LOCK_RANGE_READ, 0, 1, 0), 0);
	close(fd);
	assert_int_equal(lock_range(other, LOCK_RANGE_READ, 0, 1, 0), 1);
}

static void test_time_limit(void **state)
{
	autofd int a = open_file(*state), b = open_file(*state);
	int64_t start = clock_mono_ms(), took;

	assert_int_equal(lock_range(a, LOCK_RANGE_WRITE, 0, 1, 0), 1);
	assert_int_equal(lock_range(b, LOCK_RANGE_WRITE, 0, 1, 120), 0);
	took = clock_mono_ms() - start;
	assert_in_range(took, 120, 5000);
	start = clock_mono_ms();
	assert_int_equal(lock_range(b, LOCK_RANGE_WRITE, 0, 1, 0), 0);
	assert_int_equal(lock_range(b, LOCK_RANGE_WRITE, 0, 1, -5), 0);
	assert_in_range(clock_mono_ms() - start, 0, 100);
}

/* ---- two threads, each with its own handle ---- */

enum { THREADS = 4, ROUNDS = 100 };

/* Read, wait a little, write: without the lock, counts would be lost. */
static void *count_up(void *arg)
{
	autofd int fd = open_file(arg);

	for (int i = 0; i < ROUNDS; i++) {
		int64_t count = 0;

		if (lock_range(fd, LOCK_RANGE_WRITE, 1000, 1, 60000) != 1)
			return arg;
		if (pread(fd, &count, sizeof count, 0) < 0)
			return arg;
		sched_yield();
		count++;
		if (pwrite(fd, &count, sizeof count, 0) != sizeof count)
			return arg;
		if (lock_unrange(fd, 1000, 1) < 0)
			return arg;
	}
	return NULL;
}

static void test_threads_exclude_each_other(void **state)
{
	autofd int fd = open_file(*state);
	pthread_t threads[THREADS];
	int64_t count = 0;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, *state), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(pread(fd, &count, sizeof count, 0), sizeof count);
	assert_int_equal(count, THREADS * ROUNDS);
}

/* ---- two processes ---- */

static int hold(const struct child_side *side, void *arg)
{
	const struct scratch *scratch = arg;
	int fd = openat(scratch->fd, "lock", O_RDWR | O_CLOEXEC);

	if (lock_range(fd, LOCK_RANGE_WRITE, 0, 0, 0) != 1)
		return 1;
	child_ready(side);
	child_pause(side);
	return 0; /* no unlock: the end of the process has to do it */
}

static void test_process_holds(void **state)
{
	autofd int fd = open_file(*state);
	struct child child = child_start(hold, *state);

	child_await(&child);
	assert_int_equal(lock_range(fd, LOCK_RANGE_READ, 5, 1, 0), 0);
	assert_int_equal(lock_range(fd, LOCK_RANGE_READ, 5, 1, 30), 0);
	child_go(&child);
	assert_int_equal(lock_range(fd, LOCK_RANGE_READ, 5, 1, 30000), 1);
	assert_int_equal(child_end(&child), 0);
}

static void test_killed_process_holds_nothing(void **state)
{
	autofd int fd = open_file(*state);
	struct child child = child_start(hold, *state);

	child_await(&child);
	assert_int_equal(lock_range(fd, LOCK_RANGE_WRITE, 0, 0, 0), 0);
	kill(child.pid, SIGKILL);
	assert_int_equal(lock_range(fd, LOCK_RANGE_WRITE, 0, 0, 30000), 1);
	assert_int_equal(child_end(&child), -1);
}

/* ---- Dovecot's kind of lock: fcntl(F_SETLK), of the process ---- */

static int posix_lock(int fd, short type, int command)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(fd, command, &lock);
}

static int hold_as_dovecot(const struct child_side *side, void *arg)
{
	const struct scratch *scratch = arg;
	int fd = openat(scratch->fd, "lock", O_RDWR | O_CLOEXEC);

	if (posix_lock(fd, F_WRLCK, F_SETLK) < 0)
		return 1;
	child_ready(side);
	child_pause(side);
	if (posix_lock(fd, F_UNLCK, F_SETLK) < 0)
		return 2;
	child_ready(side);
	child_pause(side);
	return 0;
}

static void test_respects_dovecot(void **state)
{
	autofd int fd = open_file(*state);
	struct child child = child_start(hold_as_dovecot, *state);

	child_await(&child);
	assert_int_equal(lock_range(fd, LOCK_RANGE_READ, 0, 0, 0), 0);
	child_go(&child);
	child_await(&child);
	assert_int_equal(lock_range(fd, LOCK_RANGE_READ, 0, 0, 0), 1);
	assert_int_equal(child_end(&child), 0);
}

static int try_as_dovecot(const struct child_side *side, void *arg)
{
	const struct scratch *scratch = arg;
	int fd = openat(scratch->fd, "lock", O_RDWR | O_CLOEXEC);

	if (posix_lock(fd, F_WRLCK, F_SETLK) == 0 || (errno != EAGAIN && errno != EACCES))
		return 1;
	if (posix_lock(fd, F_RDLCK, F_SETLK) < 0 || posix_lock(fd, F_UNLCK, F_SETLK) < 0)
		return 2;
	child_ready(side);
	return posix_lock(fd, F_WRLCK, F_SETLKW) < 0 ? 3 : 0;
}

static void test_dovecot_waits_for_us(void **state)
{
	autofd int fd = open_file(*state);
	struct child child;

	assert_int_equal(lock_range(fd, LOCK_RANGE_READ, 0, 0, 0), 1);
	child = child_start(try_as_dovecot, *state);
	child_await(&child);
	assert_int_equal(waitpid(child.pid, NULL, WNOHANG), 0);
	assert_int_equal(lock_unrange(fd, 0, 0), 0);
	assert_int_equal(child_end(&child), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_matrix),
		scratch_test(test_errors),
		scratch_test(test_belongs_to_the_handle),
		scratch_test(test_time_limit),
		scratch_test(test_threads_exclude_each_other),
		scratch_test(test_process_holds),
		scratch_test(test_killed_process_holds_nothing),
		scratch_test(test_respects_dovecot),
		scratch_test(test_dovecot_waits_for_us),
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
