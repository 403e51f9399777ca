#include "fixture.h"

#include "metacache/session.h"

struct opener {
	const struct scratch *scratch;
	const char *path;
	int flags;
};

static int keep_open(const struct child_side *side, void *arg)
{
	const struct opener *opener = arg;
	int fd = openat(opener->scratch->fd, opener->path, opener->flags | O_CLOEXEC);

	if (fd < 0)
		return 1;
	child_ready(side);
	child_pause(side);
	close(fd);
	child_ready(side);
	child_pause(side);
	return 0;
}

static void make_home(int home)
{
	put(home, "dovecot.list.index.log", "list");
	put(home, "mailboxes/" GUID_A "/dovecot.index", "index");
	put(home, "mailboxes/" GUID_A "/dovecot.index.log", "log");
	put(home, "mailboxes/" GUID_B "/dovecot.index.log", "log");
	put(home, "fts-flatcurve/deep/index", "fts");
}

static void assert_in_use(const struct scratch *scratch, const struct home *home, int expected)
{
	struct err err = { 0 };
	int ret = session_home_in_use(scratch->fd, home, &err);

	if (ret != expected)
		fail_msg("%d instead of %d: %s", ret, expected, err.msg);
}

static void test_open_by_another(void **state)
{
	static const struct opener rows[] = {
		{ NULL, "dovecot.list.index.log", O_RDONLY },
		{ NULL, "mailboxes/" GUID_A "/dovecot.index", O_RDONLY },
		{ NULL, "mailboxes/" GUID_A "/dovecot.index.log", O_RDWR | O_APPEND },
		{ NULL, "mailboxes/" GUID_B "/dovecot.index.log", O_WRONLY },
		{ NULL, "fts-flatcurve/deep/index", O_RDONLY },
	};
	const struct scratch *scratch = *state;
	autohome struct home home = { 0 };

	make_home(scratch->fd);
	scan_home(scratch->fd, &home);
	assert_in_use(scratch, &home, 0);
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct opener opener = { scratch, rows[i].path, rows[i].flags };
		struct child child = child_start(keep_open, &opener);

		child_await(&child);
		assert_in_use(scratch, &home, 1);
		child_go(&child);
		child_await(&child);
		assert_in_use(scratch, &home, 0);
		assert_int_equal(child_end(&child), 0);
	}
}

/* The lease is given back: whoever opens the file afterwards does not wait. */
static void test_lease_is_given_back(void **state)
{
	const struct scratch *scratch = *state;
	autohome struct home home = { 0 };

	make_home(scratch->fd);
	scan_home(scratch->fd, &home);
	assert_in_use(scratch, &home, 0);
	for (int i = 0; i < 2; i++) {
		autofd int fd = openat(scratch->fd, "mailboxes/" GUID_A "/dovecot.index",
				       O_RDWR | O_NONBLOCK | O_CLOEXEC);
		assert_true(fd >= 0); /* EWOULDBLOCK while a lease is held */
	}
	assert_in_use(scratch, &home, 0);
}

static void test_only_this_unit(void **state)
{
	const struct scratch *scratch = *state;
	struct opener opener = { scratch, "mailboxes/" GUID_A "/dovecot.index", O_RDONLY };
	struct child child;

	make_home(scratch->fd);
	child = child_start(keep_open, &opener);
	child_await(&child);
	for (int i = 0; i < 2; i++) {
		const char *path = i ? "mailboxes/" GUID_A : "mailboxes/" GUID_B;
		autofd int unitfd = open_dir(scratch->fd, path);
		autounit struct unit unit = { 0 };
		struct err err = { 0 };

		assert_int_equal(unit_rescan(unitfd, path, test_rules(), &unit, &err), 0);
		assert_int_equal(session_unit_in_use(unitfd, &unit, &err), i);
	}
	child_end(&child);
}

static void test_gone(void **state)
{
	const struct scratch *scratch = *state;
	autohome struct home home = { 0 };

	make_home(scratch->fd);
	scan_home(scratch->fd, &home);
	assert_int_equal(unlinkat(scratch->fd, "mailboxes/" GUID_A "/dovecot.index", 0), 0);
	assert_int_equal(fsx_remove_tree(scratch->fd, "fts-flatcurve", NULL), 0);
	assert_in_use(scratch, &home, 0);
}

/* What can't be told is not "nobody". */
static void test_unknown(void **state)
{
	const struct scratch *scratch = *state;

	for (int kind = 0; kind < 3; kind++) {
		autohome struct home home = { 0 };
		const char *what = kind < 2 ? "dovecot.list.index.log" : "fts-flatcurve";

		make_home(scratch->fd);
		scan_home(scratch->fd, &home);
		assert_int_equal(fsx_remove_tree(scratch->fd, what, NULL), 0);
		if (kind == 1)
			assert_int_equal(mkfifoat(scratch->fd, what, 0600), 0);
		else
			put_link(scratch->fd, what, "mailboxes");
		assert_in_use(scratch, &home, -1);
		assert_int_equal(unlinkat(scratch->fd, what, 0), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_open_by_another), scratch_test(test_lease_is_given_back),
		scratch_test(test_only_this_unit),  scratch_test(test_gone),
		scratch_test(test_unknown),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
