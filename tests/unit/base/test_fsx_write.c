#include "../scratch.h"
#include "../trap.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/fsx.h"

static int replace(int dirfd, const char *name, const char *text, struct err *err)
{
	return fsx_replace(dirfd, name, text, strlen(text), 0640, false, NULL, err);
}

static void test_replace(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };
	struct fsx_stat st, now;

	umask(022);
	for (int durable = 0; durable < 2; durable++) {
		for (int i = 0; i < 2; i++) {
			assert_int_equal(fsx_replace(scratch->fd, "file", "content", 7, 0640,
						     durable, &st, &err),
					 0);
			assert_text(scratch->fd, "file", "content");
		}
	}
	assert_int_equal(fsx_stat(scratch->fd, "file", &now), 1);
	assert_int_equal(now.ino, st.ino);
	assert_int_equal(now.mtime_ns, st.mtime_ns);
	assert_int_equal(now.size_bytes, 7);
	assert_int_equal(now.mode & 07777, 0640);
	assert_int_equal(fsx_replace(scratch->fd, "file", NULL, 0, 0600, false, NULL, &err), 0);
	assert_text(scratch->fd, "file", "");
	assert_int_equal(count_entries(scratch->fd, "."), 1);
}

/* What stands in the way by the file's or the temporary's name. */
static void test_replace_hostile(void **state)
{
	static const char *const names[] = { "d/file", "d/.file.tmp" };
	const struct scratch *scratch = *state;

	put(scratch->fd, "precious", "precious");
	for (size_t i = 0; i < ROWS(names); i++) {
		for (int kind = 0; kind < 4; kind++) {
			struct err err = { 0 };
			int dirfd;

			if (kind == 0)
				put_link(scratch->fd, names[i], "../precious");
			else if (kind == 1)
				put_link(scratch->fd, names[i], "../new");
			else if (kind == 2)
				assert_int_equal(
					linkat(scratch->fd, "precious", scratch->fd, names[i], 0),
					0);
			else
				assert_int_equal(mkfifoat(scratch->fd, names[i], 0600), 0);
			dirfd = openat(scratch->fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (replace(dirfd, "file", "content", &err) < 0)
				fail_msg("%s, %d: %s", names[i], kind, err.msg);
			close(dirfd);
			assert_text(scratch->fd, "d/file", "content");
			assert_text(scratch->fd, "precious", "precious");
			assert_int_equal(count_entries(scratch->fd, "d"), 1);
			assert_int_equal(count_entries(scratch->fd, "."), 2);
			assert_int_equal(unlinkat(scratch->fd, "d/file", 0), 0);
		}
	}
}

static void test_replace_fails_clean(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };
	char long_name[NAME_MAX + 1];

	put(scratch->fd, "d/inside", "");
	assert_int_equal(replace(scratch->fd, "d", "content", &err), -1);
	assert_non_null(strstr(err.msg, "write d"));
	assert_int_equal(count_entries(scratch->fd, "."), 1);
	memset(long_name, 'x', NAME_MAX);
	long_name[NAME_MAX] = '\0';
	assert_int_equal(replace(scratch->fd, long_name, "content", &err), -1);
	assert_string_not_equal(err.msg, "");
	put(scratch->fd, ".file.tmp/inside", "");
	assert_int_equal(replace(scratch->fd, "file", "content", &err), -1);
	assert_false(has(scratch->fd, "file"));
	assert_true(has(scratch->fd, ".file.tmp/inside"));
}

static void test_replace_disk_full(void **state)
{
	struct scratch *scratch = *state;
	static char data[200000];
	struct err err = { 0 };
	int dirfd;

	mount_small(scratch, "small", "size=64k");
	dirfd = openat(scratch->fd, "small", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(replace(dirfd, "file", "old", &err), 0);
	assert_int_equal(fsx_replace(dirfd, "file", data, sizeof data, 0600, true, NULL, &err), -1);
	assert_int_equal(err.code, ERR_CANTCREATE);
	assert_int_equal(err.sys, ENOSPC);
	assert_string_not_equal(err.hint, "");
	assert_text(dirfd, "file", "old");
	assert_int_equal(count_entries(dirfd, "."), 1);
	close(dirfd);
	unmount_small(scratch, "small");
}

static void test_is_temporary(void **state)
{
	static const struct {
		const char *name;
		bool is;
	} rows[] = {
		{ ".state.tmp", true }, { ".x.tmp", true },     { ".tmp", false },
		{ "..tmp", false },     { "state.tmp", false }, { ".state.tmp.x", false },
		{ ".state", false },    { "", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		assert_int_equal(fsx_is_temporary(rows[i].name), rows[i].is);
}

/* ---- removing ---- */

static void test_remove_kinds(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };

	put(scratch->fd, "outside/precious", "precious");
	put(scratch->fd, "t/a/b/file", "");
	put(scratch->fd, "t/file", "");
	put_dir(scratch->fd, "t/empty");
	put_link(scratch->fd, "t/link", "../outside");
	put_link(scratch->fd, "t/a/link", "../../outside/precious");
	put_link(scratch->fd, "t/a/b/dangling", "nowhere");
	assert_int_equal(mkfifoat(scratch->fd, "t/fifo", 0600), 0);
	assert_int_equal(linkat(scratch->fd, "outside/precious", scratch->fd, "t/hard", 0), 0);
	put_link(scratch->fd, "link", "outside");
	put(scratch->fd, "file", "");
	assert_int_equal(fsx_remove_tree(scratch->fd, "t", &err), 0);
	assert_int_equal(fsx_remove_tree(scratch->fd, "link", &err), 0);
	assert_int_equal(fsx_remove_tree(scratch->fd, "file", &err), 0);
	assert_int_equal(fsx_remove_tree(scratch->fd, "missing", &err), 0);
	assert_int_equal(count_entries(scratch->fd, "."), 1);
	assert_text(scratch->fd, "outside/precious", "precious");
	assert_int_equal(count_entries(scratch->fd, "outside"), 1);
}

static void make_wide(int dirfd, int count)
{
	char name[64];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof name, "wide/%d/%050d", i % 7, i);
		put(dirfd, name, "");
	}
}

static void test_remove_wide(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };

	make_wide(scratch->fd, 3000);
	assert_int_equal(fsx_remove_tree(scratch->fd, "wide", &err), 0);
	assert_false(has(scratch->fd, "wide"));
}

static int remove_wide(const struct child_side *side, void *arg)
{
	int *dirfd = arg;

	child_pause(side);
	return fsx_remove_tree(*dirfd, "wide", NULL) == 0 ? 0 : 1;
}

/* Files that another process removes meanwhile are removed. */
static void test_remove_by_two(void **state)
{
	const struct scratch *scratch = *state;

	for (int i = 0; i < 5; i++) {
		int dirfd = scratch->fd, results[2];
		struct child children[2];

		make_wide(dirfd, 500);
		for (int k = 0; k < 2; k++)
			children[k] = child_start(remove_wide, &dirfd);
		for (int k = 0; k < 2; k++)
			child_go(&children[k]);
		for (int k = 0; k < 2; k++)
			results[k] = child_end(&children[k]);
		assert_int_equal(results[0], 0);
		assert_int_equal(results[1], 0);
		assert_false(has(dirfd, "wide"));
	}
}

static void put_deep(int dirfd, int depth)
{
	autofd int at = dup(dirfd);

	for (int i = 0; i < depth; i++) {
		int next;

		assert_int_equal(mkdirat(at, "d", 0700), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = next;
	}
	put(at, "bottom", "");
}

static void test_remove_deep(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };

	put_deep(scratch->fd, 200);
	assert_int_equal(fsx_remove_tree(scratch->fd, "d", &err), 0);
	put_deep(scratch->fd, 300);
	assert_int_equal(fsx_remove_tree(scratch->fd, "d", &err), -1);
	assert_int_equal(err.sys, ELOOP);
	assert_true(has(scratch->fd, "d"));
}

/* One entry that can't be removed doesn't save the others. */
static void test_remove_what_can_be(void **state)
{
	struct scratch *scratch = *state;
	struct err err = { 0 };

	put(scratch->fd, "t/a", "");
	put(scratch->fd, "t/z/file", "");
	mount_small(scratch, "t/mounted", "size=64k");
	assert_int_equal(fsx_remove_tree(scratch->fd, "t", &err), -1);
	assert_int_equal(err.sys, EBUSY);
	assert_non_null(strstr(err.msg, "remove t"));
	assert_int_equal(count_entries(scratch->fd, "t"), 1);
	unmount_small(scratch, "t/mounted");
}

/* ---- a directory that is swapped for a link, again and again ---- */

struct swapper {
	int dirfd;
	atomic_bool stop;
	atomic_long swaps;
};

static void *swap(void *arg)
{
	struct swapper *swapper = arg;

	while (!atomic_load(&swapper->stop)) {
		if (renameat2(swapper->dirfd, "t/victim", swapper->dirfd, "link",
			      RENAME_EXCHANGE) == 0)
			atomic_fetch_add(&swapper->swaps, 1);
		sched_yield(); /* valgrind runs one thread at a time */
	}
	return NULL;
}

static void test_swapped_for_link(void **state)
{
	const struct scratch *scratch = *state;
	struct swapper swapper = { .dirfd = scratch->fd };
	int64_t until = clock_mono_ms() + 30000;
	int opened = 0, refused = 0;
	pthread_t thread;
	char outside[128];

	snprintf(outside, sizeof outside, "%s/outside", scratch->path);
	put(scratch->fd, "outside/file", "precious");
	put_link(scratch->fd, "link", outside);
	put(scratch->fd, "t/victim/file", "text");
	assert_int_equal(pthread_create(&thread, NULL, swap, &swapper), 0);
	while (clock_mono_ms() < until && (opened < 50 || refused < 50)) {
		autobuf struct buf out = { 0 };
		int ret = fsx_read(scratch->fd, "t/victim/file", 100, &out, NULL);

		opened += ret > 0;
		refused += ret < 0;
		if (ret > 0)
			assert_string_equal(buf_str(&out), "text");
		fsx_mkdirs(scratch->fd, "t/victim/made", 0700, NULL);
	}
	for (int i = 0; i < 100; i++) {
		fsx_remove_tree(scratch->fd, "t", NULL);
		/* Whichever of the two is gone comes back. */
		unlinkat(scratch->fd, "link", AT_REMOVEDIR);
		if (symlinkat(outside, scratch->fd, "link") < 0)
			assert_int_equal(errno, EEXIST);
		mkdirat(scratch->fd, "t", 0700);
		mkdirat(scratch->fd, "t/victim", 0700);
	}
	atomic_store(&swapper.stop, true);
	pthread_join(thread, NULL);
	assert_true(opened > 0);
	assert_true(refused > 0);
	assert_true(atomic_load(&swapper.swaps) > 0);
	assert_text(scratch->fd, "outside/file", "precious");
	assert_false(has(scratch->fd, "outside/made"));
}

/* Between the look at a directory and its opening. */
static int swap_dirfd;

static void swap_victim(long dirfd, long name)
{
	(void)dirfd;
	if (strcmp((const char *)name, "victim") == 0)
		renameat2(swap_dirfd, "t/victim", swap_dirfd, "link", RENAME_EXCHANGE);
}

static int remove_while_swapped(const struct child_side *side, void *arg)
{
	(void)side;
	swap_dirfd = *(int *)arg;
	if (!trap_call(SYS_openat, swap_victim))
		return TRAP_SKIPS;
	return fsx_remove_tree(swap_dirfd, "t", NULL) < 0 ? 0 : 1;
}

static void test_swapped_before_opening(void **state)
{
	const struct scratch *scratch = *state;
	int dirfd = scratch->fd, code;
	struct child child;

	put(scratch->fd, "outside/file", "precious");
	put(scratch->fd, "t/victim/file", "text");
	put_link(scratch->fd, "link", "../outside"); /* once it is in t */
	child = child_start(remove_while_swapped, &dirfd);
	code = child_end(&child);
	if (code == TRAP_SKIPS)
		skip();
	assert_text(scratch->fd, "outside/file", "precious");
	assert_text(scratch->fd, "link/file", "text"); /* the directory is there now */
	assert_int_equal(code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_replace),
		scratch_test(test_replace_hostile),
		scratch_test(test_replace_fails_clean),
		scratch_test(test_replace_disk_full),
		scratch_test(test_is_temporary),
		scratch_test(test_remove_kinds),
		scratch_test(test_remove_wide),
		scratch_test(test_remove_by_two),
		scratch_test(test_remove_deep),
		scratch_test(test_remove_what_can_be),
		scratch_test(test_swapped_for_link),
		scratch_test(test_swapped_before_opening),
	};

	return cmocka_run_group_tests_name("fsx_write", tests, NULL, NULL);
}
