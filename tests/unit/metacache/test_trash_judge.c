/* What is taken away is only deleted when it has been looked at where it then is:
 * by who took it, or, if that was killed, by the next sweep. */
#include "fixture.h"

#include "metacache/trash.h"

#define FOLDER "u/mailboxes/" GUID_A

static struct metacache_root root_of(const struct scratch *scratch)
{
	return (struct metacache_root){ .path = scratch->path, .fd = scratch->fd };
}

/* The directory `path` of unit `unit`, as after an upload. */
static void settle(int rootfd, const char *path, const char *unit)
{
	autofd int fd = open_dir(rootfd, path);
	autounit struct unit now = { 0 };
	autostate struct state state = { 0 };

	assert_int_equal(unit_rescan(fd, unit, test_rules(), &now, NULL), 0);
	state_init(&state, "u", unit);
	state.base = xstrdup(BASE_1);
	state_set_files(&state, &now.files);
	assert_int_equal(state_write(fd, &state, NULL, NULL), 0);
}

static void make_home(int rootfd)
{
	put(rootfd, "u/dovecot.list.index.log", "list");
	put(rootfd, FOLDER "/dovecot.index.log", "log");
	settle(rootfd, "u", "");
	settle(rootfd, FOLDER, "mailboxes/" GUID_A);
}

/* The first entry of .trash with this start. */
static void entry_of(int rootfd, const char *start, char path_r[300])
{
	autofd int fd = open_dir(rootfd, ".trash");
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;

	path_r[0] = '\0';
	fsx_dir_open(&dir, steal_fd(&fd));
	while (fsx_dir_next(&dir, &entry) > 0) {
		if (strncmp(entry.name, start, strlen(start)) == 0)
			snprintf(path_r, 300, ".trash/%s", entry.name);
	}
}

/* Taken by a program that is gone before it looked again. */
static void take_and_leave(const struct metacache_root *root, const char *path)
{
	struct trash trash;
	struct err err = { 0 };

	assert_int_equal(trash_take(root, path, &trash, &err), 0);
	assert_false(has(root->fd, path));
	trash_free(&trash);
}

static void test_settled_is_deleted(void **state)
{
	const struct metacache_root root = root_of(*state);
	static const char *const paths[] = { FOLDER, "u" };
	struct err err = { 0 };

	for (size_t i = 0; i < ROWS(paths); i++) {
		make_home(root.fd);
		take_and_leave(&root, paths[i]);
		assert_int_equal(count_entries(root.fd, ".trash"), 1);
		if (trash_sweep(&root, test_rules(), &err) < 0)
			fail_msg("%s", err.msg);
		assert_int_equal(count_entries(root.fd, ".trash"), 0);
	}
}

static void add_to_log(int fd)
{
	put(fd, "dovecot.index.log", "log and a flag");
}
static void add_foreign(int fd)
{
	put_link(fd, "link", "/etc");
}
static void tear_state(int fd)
{
	put(fd, ".state", "{");
}
static void lose_state(int fd)
{
	assert_int_equal(unlinkat(fd, ".state", 0), 0);
}
static void add_folder(int fd)
{
	put(fd, "Sub/dovecot.index.log", "new");
}

static void test_changed_is_kept(void **state)
{
	const struct metacache_root root = root_of(*state);
	static void (*const changes[])(int) = { add_to_log, add_foreign, tear_state, lose_state,
						add_folder };

	for (size_t i = 0; i < ROWS(changes); i++) {
		struct err err = { 0 };
		char taken[300], kept[300], file[350];
		autofd int fd = -1;

		make_home(root.fd);
		take_and_leave(&root, FOLDER);
		entry_of(root.fd, TRASH_TAKEN, taken);
		fd = open_dir(root.fd, taken);
		changes[i](fd);
		assert_int_equal(trash_sweep(&root, test_rules(), &err), -1);
		entry_of(root.fd, TRASH_KEPT, kept);
		assert_message(&err, kept);
		assert_false(has(root.fd, taken));
		snprintf(file, sizeof file, "%s/dovecot.index.log", kept);
		assert_true(has(root.fd, file));
		assert_int_equal(trash_sweep(&root, test_rules(), &err), 0);
		assert_int_equal(fsx_remove_tree(root.fd, kept, NULL), 0);
	}
}

/* The home's own files are as they were, a folder's are not. */
static void test_changed_folder_of_home(void **state)
{
	const struct metacache_root root = root_of(*state);
	struct err err = { 0 };
	char kept[300];

	make_home(root.fd);
	put(root.fd, FOLDER "/dovecot.index.log", "log and a flag");
	take_and_leave(&root, "u");
	assert_int_equal(trash_sweep(&root, test_rules(), &err), -1);
	entry_of(root.fd, TRASH_KEPT, kept);
	assert_true(kept[0]);
}

/* Search indexes can be made again. */
static void test_unimportant_is_deleted(void **state)
{
	const struct metacache_root root = root_of(*state);
	struct err err = { 0 };

	make_home(root.fd);
	put(root.fd, "u/fts-flatcurve/x", "words");
	settle(root.fd, "u/fts-flatcurve", "fts-flatcurve");
	put(root.fd, "u/fts-flatcurve/x", "more words");
	take_and_leave(&root, "u");
	assert_int_equal(trash_sweep(&root, test_rules(), &err), 0);
	assert_int_equal(count_entries(root.fd, ".trash"), 0);
}

static int hold_open(const struct child_side *side, void *arg)
{
	const struct scratch *scratch = arg;
	autofd int fd = openat(scratch->fd, FOLDER "/dovecot.index.log", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return 1;
	child_ready(side);
	child_pause(side);
	return 0;
}

static void test_open_is_left(void **state)
{
	const struct metacache_root root = root_of(*state);
	struct err err = { 0 };
	struct child child;

	make_home(root.fd);
	child = child_start(hold_open, *state);
	child_await(&child);
	take_and_leave(&root, FOLDER);
	assert_int_equal(trash_sweep(&root, test_rules(), &err), 0);
	assert_int_equal(count_entries(root.fd, ".trash"), 1);
	child_go(&child);
	assert_int_equal(child_end(&child), 0);
	assert_int_equal(trash_sweep(&root, test_rules(), &err), 0);
	assert_int_equal(count_entries(root.fd, ".trash"), 0);
}

/* Swapped for something new by a refresh that was killed, or could not put it back. */
static void test_swapped(void **state)
{
	const struct metacache_root root = root_of(*state);
	struct trash staging = TRASH_NONE;
	struct err err = { 0 };
	char swapped[350], kept[300];

	for (int changed = 0; changed <= 1; changed++) {
		make_home(root.fd);
		if (changed)
			put(root.fd, FOLDER "/dovecot.index.log", "log and a flag");
		assert_int_equal(trash_new(&root, &staging, &err), 0);
		put(staging.fd, "u1/half", "downloaded");
		assert_int_equal(renameat(root.fd, FOLDER, staging.fd, TRASH_SWAP "u0"), 0);
		snprintf(swapped, sizeof swapped, ".trash/%s/" TRASH_SWAP "u0", staging.name);
		trash_free(&staging);
		assert_true(has(root.fd, swapped));
		assert_int_equal(trash_sweep(&root, test_rules(), &err), changed ? -1 : 0);
		assert_int_equal(count_entries(root.fd, ".trash"), changed);
	}
	entry_of(root.fd, TRASH_KEPT, kept);
	assert_message(&err, kept);
}

static void test_swap_and_vacate(void **state)
{
	const struct metacache_root root = root_of(*state);
	autotrash struct trash trash = TRASH_NONE;
	struct err err = { 0 };
	int ret;

	make_home(root.fd);
	ret = trash_swap(&root, FOLDER, &trash, &err);
	if (ret < 0)
		fail_msg("%s", err.msg);
	if (ret == 0)
		skip();
	assert_int_equal(count_entries(root.fd, FOLDER), 0);
	assert_true(has(trash.fd, "dovecot.index.log"));
	trash_judged(&trash);
	trash_free(&trash);
	assert_int_equal(count_entries(root.fd, ".trash"), 0);
	put(root.fd, FOLDER "/dovecot.index.log", "new");
	trash_vacate(&root, FOLDER);
	assert_text(root.fd, FOLDER "/dovecot.index.log", "new");
	assert_int_equal(unlinkat(root.fd, FOLDER "/dovecot.index.log", 0), 0);
	trash_vacate(&root, FOLDER);
	assert_false(has(root.fd, FOLDER));
}

static void test_swap_put_back(void **state)
{
	const struct metacache_root root = root_of(*state);
	struct trash trash = TRASH_NONE;
	struct err err = { 0 };
	char kept[300];

	make_home(root.fd);
	if (trash_swap(&root, FOLDER, &trash, &err) <= 0)
		skip();
	assert_int_equal(trash_put_back(&trash, &root, FOLDER, &err), 0);
	assert_text(root.fd, FOLDER "/dovecot.index.log", "log");
	assert_int_equal(count_entries(root.fd, ".trash"), 0);
	/* Dovecot began anew in the meantime. */
	assert_int_equal(trash_swap(&root, FOLDER, &trash, &err), 1);
	put(root.fd, FOLDER "/dovecot.index.log", "new");
	assert_int_equal(trash_put_back(&trash, &root, FOLDER, &err), 0);
	assert_text(root.fd, FOLDER "/dovecot.index.log", "log");
	assert_int_equal(trash_sweep(&root, test_rules(), &err), -1);
	entry_of(root.fd, TRASH_KEPT, kept);
	assert_true(kept[0]);
}

/* A full disk has no block for a new directory: the spare one takes the place. */
static void test_swap_on_full_disk(void **state)
{
	struct scratch *scratch = *state;
	autofd int disk = -1, fill = -1;
	autofree char *path = xasprintf("%s/small", scratch->path);
	struct metacache_root root;
	autotrash struct trash trash = TRASH_NONE;
	struct err err = { 0 };
	char page[4096] = { 0 };
	int ret;

	mount_small(scratch, "small", "size=1m,nr_inodes=16");
	disk = open_dir(scratch->fd, "small");
	root = (struct metacache_root){ .path = path, .fd = disk };
	make_home(root.fd);
	trash_prepare(&root);
	fill = openat(disk, "fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fill, page, sizeof page) > 0)
		continue;
	for (int i = 0; i < 14; i++) {
		char name[16];

		snprintf(name, sizeof name, "no%d", i);
		(void)mkdirat(disk, name, 0700);
	}
	assert_int_equal(mkdirat(disk, "one-more", 0700), -1);
	ret = trash_swap(&root, FOLDER, &trash, &err);
	if (ret <= 0)
		fail_msg("%s", err.msg);
	assert_false(has(root.fd, ".trash/" TRASH_SPARE "/" TRASH_EMPTY));
	trash_judged(&trash);
	trash_free(&trash);
	trash_vacate(&root, FOLDER);
	assert_false(has(root.fd, FOLDER));
	assert_true(has(root.fd, ".trash/" TRASH_SPARE "/" TRASH_EMPTY)); /* for the next one */
	assert_int_equal(trash_sweep(&root, test_rules(), &err), 0);
	assert_true(has(root.fd, ".trash/" TRASH_SPARE "/" TRASH_EMPTY));
	cleanup_fd(&fill);
	cleanup_fd(&disk);
	fill = disk = -1;
	unmount_small(scratch, "small");
}

/* Allocated, out of a sweep, given back just once, made anew also where one was only begun. */
static void test_reserve(void **state)
{
	static const char path[] = ".trash/" TRASH_SPARE "/" TRASH_RESERVE;
	const struct metacache_root root = root_of(*state);
	struct err err = { 0 };
	struct stat st;

	assert_false(trash_release(&root));
	put(root.fd, path, "begun");
	trash_prepare(&root);
	assert_int_equal(trash_sweep(&root, test_rules(), &err), 0);
	assert_int_equal(fstatat(root.fd, path, &st, 0), 0);
	assert_int_equal(st.st_size, TRASH_RESERVE_BYTES);
	assert_true(st.st_blocks * 512 >= TRASH_RESERVE_BYTES);
	assert_true(trash_release(&root));
	assert_false(has(root.fd, path));
	assert_false(trash_release(&root));
	trash_prepare(&root);
	assert_true(has(root.fd, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_settled_is_deleted),
		scratch_test(test_changed_is_kept),
		scratch_test(test_changed_folder_of_home),
		scratch_test(test_unimportant_is_deleted),
		scratch_test(test_open_is_left),
		scratch_test(test_swapped),
		scratch_test(test_swap_and_vacate),
		scratch_test(test_swap_put_back),
		scratch_test(test_reserve),
		scratch_test(test_swap_on_full_disk),
	};

	return cmocka_run_group_tests_name("trash_judge", tests, NULL, NULL);
}
