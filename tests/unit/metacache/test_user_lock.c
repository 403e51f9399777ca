#include "fixture.h"

#include <signal.h>

#include "metacache/user_lock.h"

static int prepare(const struct scratch *scratch)
{
	struct err err = { 0 };
	int fd = -1;

	if (user_lock_prepare(scratch->fd, &fd, &err) < 0)
		fail_msg("%s", err.msg);
	return fd;
}

static void test_prepare(void **state)
{
	const struct scratch *scratch = *state;
	autofd int fd = prepare(scratch);
	struct err err = { 0 };
	struct stat st;

	assert_int_equal(count_entries(scratch->fd, "locks"), 256);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(fd, "ff", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* A killed first run: some are missing, the last among them. */
	for (int i = 0x80; i < 0x100; i++) {
		char name[3];

		snprintf(name, sizeof name, "%02x", (unsigned)i & 0xff);
		assert_int_equal(unlinkat(fd, name, 0), 0);
	}
	close(prepare(scratch));
	assert_int_equal(count_entries(scratch->fd, "locks"), 256);
	assert_int_equal(fsx_remove_tree(scratch->fd, "locks", &err), 0);
	put_link(scratch->fd, "locks", "/tmp");
	assert_int_equal(user_lock_prepare(scratch->fd, &fd, &err), -1);
	assert_int_equal(access("/tmp/ff", F_OK), -1);
}

#define S USER_LOCK_SESSION
#define U USER_LOCK_UPLOAD
#define W USER_LOCK_WHOLE

static void test_matrix(void **state)
{
	static const struct {
		enum user_lock_kind held, asked;
		bool free;
	} rows[] = {
		{ S, S, true },  { S, U, true },  { S, W, false }, { U, S, true },  { U, U, false },
		{ U, W, false }, { W, S, false }, { W, U, false }, { W, W, false },
	};
	static const char *const users[] = { "user@example.com", "", "\xff\n", "0" };
	autofd int locks = prepare(*state);

	for (size_t i = 0; i < ROWS(rows) * ROWS(users); i++) {
		const char *user = users[i % ROWS(users)];
		struct err err = { 0 };
		int held = user_lock(locks, user, rows[i / ROWS(users)].held, 0, &err);
		int asked = user_lock(locks, user, rows[i / ROWS(users)].asked, 0, &err);

		assert_true(held >= 0);
		if ((asked >= 0) != rows[i / ROWS(users)].free)
			fail_msg("row %zu", i / ROWS(users));
		if (asked < 0) {
			assert_int_equal(err.code, ERR_BUSY);
			assert_true(err.again);
			assert_null(strchr(err.msg, '\n'));
			assert_string_not_equal(err.hint, "");
		}
		close(held);
		if (asked < 0)
			asked = user_lock(locks, user, rows[i / ROWS(users)].asked, 0, &err);
		assert_true(asked >= 0);
		close(asked);
	}
}

/* Users do not wait for each other, those in the same file neither. */
static void test_users_are_apart(void **state)
{
	enum { USERS = 600 };
	autofd int locks = prepare(*state);
	int held[USERS];

	for (int i = 0; i < USERS; i++) {
		char user[32];

		snprintf(user, sizeof user, "user%d@example.com", i);
		held[i] = user_lock(locks, user, USER_LOCK_WHOLE, 0, NULL);
		assert_true(held[i] >= 0);
	}
	for (int i = 0; i < USERS; i++)
		close(held[i]);
	assert_int_equal(count_entries(((const struct scratch *)*state)->fd, "locks"), 256);
}

static int hold_upload(const struct child_side *side, void *arg)
{
	if (user_lock(*(int *)arg, "u", USER_LOCK_UPLOAD, 0, NULL) < 0)
		return 1;
	child_ready(side);
	child_pause(side);
	return 0;
}

static void test_other_process(void **state)
{
	for (int killed = 0; killed < 2; killed++) {
		autofd int locks = prepare(*state), got = -1;
		struct child child = child_start(hold_upload, &locks);
		struct err err = { 0 };

		child_await(&child);
		assert_int_equal(user_lock(locks, "u", USER_LOCK_WHOLE, 0, &err), -1);
		assert_int_equal(err.code, ERR_BUSY);
		assert_int_equal(user_lock(locks, "u", USER_LOCK_WHOLE, 40, &err), -1);
		got = user_lock(locks, "u", USER_LOCK_SESSION, 0, &err);
		assert_true(got >= 0); /* an upload does not make a login wait */
		close(steal_fd(&got));
		if (killed)
			kill(child.pid, SIGKILL);
		else
			child_go(&child);
		got = user_lock(locks, "u", USER_LOCK_WHOLE, 30000, &err);
		assert_true(got >= 0);
		assert_int_equal(child_end(&child), killed ? -1 : 0);
	}
}

static void test_full_disk(void **state)
{
	struct scratch *scratch = *state;
	static char data[4096];
	struct err err = { 0 };

	mount_small(scratch, "small", "size=64k");
	autofd int dirfd = open_dir(scratch->fd, "small"), locks = -1, got = -1;
	assert_int_equal(user_lock_prepare(dirfd, &locks, &err), 0);
	autofd int filler = openat(dirfd, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(filler, data, sizeof data) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	got = user_lock(locks, "anybody", USER_LOCK_WHOLE, 0, &err);
	assert_true(got >= 0);
	unmount_small(scratch, "small");
}

static void test_file_is_missing(void **state)
{
	const struct scratch *scratch = *state;
	autofd int locks = prepare(scratch), bad = -1;
	struct err err = { 0 };

	for (unsigned i = 0; i < 256; i++) {
		char name[3];

		snprintf(name, sizeof name, "%02x", i & 0xff);
		assert_int_equal(unlinkat(locks, name, 0), 0);
		if (i % 2)
			put_link(locks, name, "/dev/null");
	}
	for (int i = 0; i < 20; i++) {
		char user[16];

		snprintf(user, sizeof user, "%d", i);
		bad = user_lock(locks, user, USER_LOCK_WHOLE, 0, &err);
		assert_int_equal(bad, -1);
		assert_message(&err, "locks/");
		assert_int_not_equal(err.code, ERR_BUSY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_prepare),         scratch_test(test_matrix),
		scratch_test(test_users_are_apart), scratch_test(test_other_process),
		scratch_test(test_full_disk),       scratch_test(test_file_is_missing),
	};

	return cmocka_run_group_tests_name("user_lock", tests, NULL, NULL);
}
