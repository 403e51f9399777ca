#include "../trap.h"
#include "fixture.h"

#include <signal.h>

#include "metacache/trash.h"

static struct metacache_root root_of(const struct scratch *scratch)
{
	return (struct metacache_root){ .path = scratch->path, .fd = scratch->fd };
}

static void test_new_and_free(void **state)
{
	const struct metacache_root root = root_of(*state);
	autotrash struct trash one = TRASH_NONE, two = TRASH_NONE;
	struct err err = { 0 };

	assert_int_equal(trash_sweep(&root, test_rules(), &err), 0); /* there is none yet */
	assert_false(has(root.fd, ".trash"));
	assert_int_equal(trash_new(&root, &one, &err), 0);
	assert_int_equal(trash_new(&root, &two, &err), 0);
	assert_string_not_equal(one.name, two.name);
	assert_int_equal(count_entries(root.fd, ".trash"), 2);
	put(one.fd, "tree/deep/file", "");
	trash_free(&one);
	assert_int_equal(count_entries(root.fd, ".trash"), 1);
	assert_int_equal(one.fd, -1);
	trash_free(&one);
	trash_free(&two);
	assert_int_equal(count_entries(root.fd, ".trash"), 0);
}

static int leave_an_entry(const struct child_side *side, void *arg)
{
	const struct metacache_root root = root_of(arg);
	struct trash trash;
	int fd;

	if (trash_new(&root, &trash, NULL) < 0)
		return 1;
	fd = openat(trash.fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return 2;
	child_ready(side);
	child_pause(side);
	return 0;
}

static void test_sweep(void **state)
{
	const struct metacache_root root = root_of(*state);
	autotrash struct trash held = TRASH_NONE;
	struct err err = { 0 };
	struct child child;

	put(root.fd, "precious/file", "precious");
	assert_int_equal(trash_new(&root, &held, &err), 0);
	put(held.fd, "file", "");
	put(root.fd, ".trash/kept-x/file", "kept");
	put(root.fd, ".trash/leftover/deep/file", "");
	put(root.fd, ".trash/file", "");
	put_link(root.fd, ".trash/link", "../precious");
	put_link(root.fd, ".trash/leftover/link", "../../precious");
	child = child_start(leave_an_entry, *state);
	child_await(&child);
	assert_int_equal(count_entries(root.fd, ".trash"), 6);
	if (trash_sweep(&root, test_rules(), &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(count_entries(root.fd, ".trash"), 3); /* held, kept, the child's */
	assert_true(has(held.fd, "file"));
	assert_text(root.fd, ".trash/kept-x/file", "kept");
	kill(child.pid, SIGKILL);
	assert_int_equal(child_end(&child), -1);
	assert_int_equal(trash_sweep(&root, test_rules(), &err), 0);
	assert_int_equal(count_entries(root.fd, ".trash"), 2);
	assert_text(root.fd, "precious/file", "precious");
}

static void test_keep(void **state)
{
	const struct metacache_root root = root_of(*state);
	autotrash struct trash trash = TRASH_NONE;
	autofree char *expected = NULL;
	char path[4096];
	struct err err = { 0 };

	assert_int_equal(trash_new(&root, &trash, &err), 0);
	put(trash.fd, "file", "kept");
	expected = xasprintf("%s/.trash/kept-%s", root.path, trash.name);
	assert_int_equal(trash_keep(&trash, &root, path, &err), 0);
	assert_string_equal(path, expected);
	assert_int_equal(trash.fd, -1);
	trash_free(&trash);
	assert_int_equal(trash_sweep(&root, test_rules(), &err), 0);
	autofd int kept = open_dir(AT_FDCWD, path);
	assert_text(kept, "file", "kept");
}

/* A name that is no link, and none that leads out. */
static void test_hostile(void **state)
{
	const struct metacache_root root = root_of(*state);
	struct err err = { 0 };
	struct trash trash;

	put(root.fd, "precious/file", "precious");
	put_link(root.fd, ".trash", "precious");
	assert_int_equal(trash_new(&root, &trash, &err), -1);
	assert_message(&err, ".trash");
	assert_int_equal(trash.fd, -1);
	trash_free(&trash);
	assert_int_equal(trash_sweep(&root, test_rules(), &err), -1);
	assert_text(root.fd, "precious/file", "precious");
	assert_int_equal(unlinkat(root.fd, ".trash", 0), 0);
	put(root.fd, ".trash", "a file");
	assert_int_equal(trash_new(&root, &trash, &err), -1);
	assert_int_equal(trash_sweep(&root, test_rules(), &err), -1);
	assert_text(root.fd, ".trash", "a file");
}

/* What is kept for a full disk is not made where a link leads. */
static void test_prepare(void **state)
{
	const struct metacache_root root = root_of(*state);

	put(root.fd, "outside/file", "");
	put_link(root.fd, ".trash", "outside");
	trash_prepare(&root);
	assert_int_equal(count_entries(root.fd, "outside"), 1);
	assert_int_equal(unlinkat(root.fd, ".trash", 0), 0);
	trash_prepare(&root);
	assert_true(has(root.fd, ".trash/spare/empty"));
	assert_true(trash_release(&root));
	assert_true(fsx_remove_tree(root.fd, ".trash/spare", NULL) == 0);
	put_link(root.fd, ".trash/spare", "../outside");
	trash_prepare(&root);
	assert_int_equal(count_entries(root.fd, "outside"), 1);
}

static int make_and_free(const struct child_side *side, void *arg)
{
	const struct metacache_root root = root_of(arg);

	child_pause(side);
	for (int i = 0; i < 50; i++) {
		struct trash trash;
		int fd;

		if (trash_new(&root, &trash, NULL) < 0)
			return 1;
		/* Nobody takes it away from its maker. */
		fd = openat(trash.fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || faccessat(trash.trash_fd, trash.name, F_OK, 0) < 0)
			return 2;
		close(fd);
		trash_free(&trash);
	}
	return 0;
}

/* Sweeps while entries come and go: neither side fails. */
static void test_sweep_while_used(void **state)
{
	const struct metacache_root root = root_of(*state);
	struct child children[3];
	int running = ROWS(children), failed = 0, status;

	for (size_t i = 0; i < ROWS(children); i++)
		children[i] = child_start(make_and_free, *state);
	for (size_t i = 0; i < ROWS(children); i++)
		child_go(&children[i]);
	while (running > 0) {
		struct err err = { 0 };

		if (trash_sweep(&root, test_rules(), &err) < 0)
			fail_msg("%s", err.msg);
		while (running > 0 && waitpid(-1, &status, WNOHANG) > 0) {
			running--;
			failed += status != 0;
		}
	}
	assert_int_equal(failed, 0);
	for (size_t i = 0; i < ROWS(children); i++) {
		close(children[i].to);
		close(children[i].from);
	}
}

/* Swept between its making and its locking. */
static void remove_first(long fd, long operation)
{
	static bool done;
	char link[64], path[PATH_MAX] = { 0 };

	(void)operation;
	snprintf(link, sizeof link, "/proc/self/fd/%ld", fd);
	if (!done && readlink(link, path, sizeof path - 1) > 0)
		rmdir(path);
	done = true;
}

static int make_while_swept(const struct child_side *side, void *arg)
{
	const struct metacache_root root = root_of(arg);
	struct trash trash;

	(void)side;
	if (!trap_call(SYS_flock, remove_first))
		return TRAP_SKIPS;
	if (trash_new(&root, &trash, NULL) < 0)
		return 1;
	return faccessat(trash.trash_fd, trash.name, F_OK, 0) < 0 ? 2 : 0;
}

static void test_swept_before_locked(void **state)
{
	struct child child = child_start(make_while_swept, *state);
	int code = child_end(&child);

	if (code == TRAP_SKIPS)
		skip();
	assert_int_equal(code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_new_and_free),
		scratch_test(test_sweep),
		scratch_test(test_keep),
		scratch_test(test_hostile),
		scratch_test(test_prepare),
		scratch_test(test_sweep_while_used),
		scratch_test(test_swept_before_locked),
	};

	return cmocka_run_group_tests_name("trash", tests, NULL, NULL);
}
