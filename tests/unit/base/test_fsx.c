#include "../scratch.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/fsx.h"

/* In the scratch directory: root/ is the root that everything is confined to,
 * outside/ is what no link may lead to. */
static int make_tree(const struct scratch *scratch)
{
	put(scratch->fd, "outside/precious", "precious");
	put(scratch->fd, "root/real/file", "text");
	put(scratch->fd, "root/real/deep/file", "deeper");
	put(scratch->fd, "root/..real", "a name that only looks like it");
	put_link(scratch->fd, "root/real/link-to-file", "file");
	put_link(scratch->fd, "root/link-inside", "real");
	put_link(scratch->fd, "root/link-outside", "../outside");
	put_link(scratch->fd, "root/link-absolute", "/tmp");
	put_link(scratch->fd, "root/link-file", "../outside/precious");
	put_link(scratch->fd, "root/link-dangling", "../outside/new");
	put_link(scratch->fd, "root/link-magic", "/proc/self/cwd");
	put_link(scratch->fd, "root/link-loop", "link-loop");
	assert_int_equal(mkfifoat(scratch->fd, "root/fifo", 0600), 0);
	return openat(scratch->fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void assert_outside_untouched(const struct scratch *scratch)
{
	assert_int_equal(count_entries(scratch->fd, "outside"), 1);
	assert_text(scratch->fd, "outside/precious", "precious");
}

/* ---- opening ---- */

struct open_row {
	const char *path;
	int flags;
	int errnum; /* 0: opens */
};

#define O_DIR (O_RDONLY | O_DIRECTORY)
#define O_NEW (O_WRONLY | O_CREAT)

static const struct open_row open_rows[] = {
	{ "real/file", O_RDONLY, 0 },
	{ "real//deep///file", O_RDONLY, 0 },
	{ "./real/./file", O_RDONLY, 0 },
	{ "..real", O_RDONLY, 0 },
	{ "real", O_DIR, 0 },
	{ ".", O_DIR, 0 },
	{ "real/new", O_NEW, 0 },
	{ "missing", O_RDONLY, ENOENT },
	{ "real/missing/file", O_RDONLY, ENOENT },
	{ "real/file/below", O_RDONLY, ENOTDIR },
	{ "real/file", O_DIR, ENOTDIR },
	{ "..", O_DIR, EXDEV },
	{ "../outside/precious", O_RDONLY, EXDEV },
	{ "real/../../outside/precious", O_RDONLY, EXDEV },
	{ "real/../real/file", O_RDONLY, EXDEV },
	{ "real/..", O_DIR, EXDEV },
	{ "/etc/passwd", O_RDONLY, EXDEV },
	{ "/", O_DIR, EXDEV },
	{ "link-inside", O_DIR, ELOOP },
	{ "link-inside/file", O_RDONLY, ELOOP },
	{ "link-outside/precious", O_RDONLY, ELOOP },
	{ "link-outside/new", O_NEW, ELOOP },
	{ "link-absolute", O_DIR, ELOOP },
	{ "link-absolute/x", O_NEW, ELOOP },
	{ "link-file", O_RDONLY, ELOOP },
	{ "link-file", O_WRONLY | O_TRUNC, ELOOP },
	{ "link-dangling", O_NEW, ELOOP },
	{ "link-magic", O_DIR, ELOOP },
	{ "link-loop", O_RDONLY, ELOOP },
	{ "real/link-to-file", O_RDONLY, ELOOP },
};

/* 0, or the number of the first row that is wrong; a child tells it by its exit code. */
static int first_wrong_row(int root)
{
	for (size_t i = 0; i < ROWS(open_rows); i++) {
		const struct open_row *row = &open_rows[i];
		int fd = fsx_openat(root, row->path, row->flags, 0600);
		bool good = fd >= 0 ? row->errnum == 0 : errno == row->errnum;

		if (fd >= 0 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			good = false;
		if (fd >= 0)
			close(fd);
		if (!good)
			return (int)i + 1;
	}
	return 0;
}

static void test_open(void **state)
{
	int root = make_tree(*state), wrong = first_wrong_row(root);

	if (wrong > 0)
		fail_msg("row %d, \"%s\": not as expected", wrong, open_rows[wrong - 1].path);
	close(root);
	assert_outside_untouched(*state);
}

/* From here on openat2() is what an old kernel says of it. */
static bool forbid_openat2(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the call's number */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ROWS(filter), .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
	       syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno == ENOSYS;
}

static int run_rows_on_old_kernel(const struct child_side *side, void *arg)
{
	(void)side;
	return forbid_openat2() ? first_wrong_row(*(int *)arg) : 99;
}

static void test_open_on_old_kernel(void **state)
{
	int root = make_tree(*state);
	struct child child = child_start(run_rows_on_old_kernel, &root);
	int wrong = child_end(&child);

	close(root);
	if (wrong == 99) {
		print_message("no seccomp here: not tested\n");
		skip();
	}
	if (wrong != 0)
		fail_msg("row %d, \"%s\": not as expected", wrong, open_rows[wrong - 1].path);
	assert_outside_untouched(*state);
}

static void test_open_root(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };
	char path[128];
	int fd;

	put(scratch->fd, "root/file", "");
	put_link(scratch->fd, "link", "root");
	snprintf(path, sizeof path, "%s/link", scratch->path);
	fd = fsx_open_root(path, &err);
	assert_true(fd >= 0);
	close(fd);
	snprintf(path, sizeof path, "%s/missing", scratch->path);
	assert_int_equal(fsx_open_root(path, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_non_null(strstr(err.msg, path));
	snprintf(path, sizeof path, "%s/root/file", scratch->path);
	assert_int_equal(fsx_open_root(path, &err), -1);
	assert_int_equal(err.sys, ENOTDIR);
}

static void test_opendir(void **state)
{
	int root = make_tree(*state);
	int fd;

	for (int i = 0; i < 3; i++) {
		fd = fsx_opendir(root, (const char *[]){ "", ".", "real/deep" }[i]);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(fsx_opendir(root, "link-inside"), -1);
	assert_int_equal(fsx_opendir(root, "fifo"), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(fsx_opendir(root, "missing"), -1);
	assert_int_equal(errno, ENOENT);
	close(root);
}

/* ---- making directories ---- */

static void test_mkdirs(void **state)
{
	static const struct {
		const char *path;
		int ret;
		const char *made; /* is there afterwards */
	} rows[] = {
		{ "a/b/c", 0, "a/b/c" },
		{ "a/b/c", 0, "a/b/c" },
		{ "a//x", 0, "a/x" },
		{ "y/", 0, "y" },
		{ "", 0, NULL },
		{ ".", 0, NULL },
		{ "..", -1, NULL },
		{ "../outside/n", -1, NULL },
		{ "real/../n", -1, NULL },
		{ "/tmp/metacache-unit-never", -1, NULL },
		{ "link-inside", -1, NULL },
		{ "link-inside/n", -1, NULL },
		{ "link-outside/n/m", -1, NULL },
		{ "link-dangling", -1, NULL },
		{ "link-dangling/n", -1, NULL },
		{ "link-loop/n", -1, NULL },
		{ "real/file", -1, NULL },
		{ "real/file/n", -1, NULL },
		{ "fifo/n", -1, NULL },
	};
	int root = make_tree(*state);
	char long_name[NAME_MAX + 8] = "n/";
	struct err err = { 0 };

	for (size_t i = 0; i < ROWS(rows); i++) {
		if (fsx_mkdirs(root, rows[i].path, 0700, &err) != rows[i].ret)
			fail_msg("\"%s\": %s", rows[i].path, err.msg);
		if (rows[i].made)
			assert_true(has(root, rows[i].made));
		if (rows[i].ret < 0)
			assert_non_null(strstr(err.msg, rows[i].path));
	}
	memset(long_name + 2, 'x', NAME_MAX + 1);
	assert_int_equal(fsx_mkdirs(root, long_name, 0700, &err), -1);
	assert_false(has(root, "real/n"));
	assert_int_equal(access("/tmp/metacache-unit-never", F_OK), -1);
	close(root);
	assert_outside_untouched(*state);
}

/* ---- reading ---- */

static void test_read(void **state)
{
	static const struct {
		const char *path;
		size_t max;
		int ret;
		enum err_code code;
		const char *text;
	} rows[] = {
		{ "real/file", 100, 1, 0, "text" },
		{ "real/file", 4, 1, 0, "text" },
		{ "real/file", 3, -1, ERR_DATA, "" },
		{ "real/file", 0, -1, ERR_DATA, "" },
		{ "real/empty", 0, 1, 0, "" },
		{ "missing", 100, 0, 0, "" },
		{ "missing/file", 100, 0, 0, "" },
		{ "real", 100, -1, ERR_DATA, "" },
		{ "fifo", 100, -1, ERR_DATA, "" },
		{ "link-file", 100, -1, ERR_IO, "" },
		{ "link-dangling", 100, -1, ERR_IO, "" },
		{ "link-inside/file", 100, -1, ERR_IO, "" },
		{ "link-outside/precious", 100, -1, ERR_IO, "" },
		{ "../outside/precious", 100, -1, ERR_IO, "" },
	};
	int root = make_tree(*state);

	put(root, "real/empty", "");
	for (size_t i = 0; i < ROWS(rows); i++) {
		autobuf struct buf out = { 0 };
		struct err err = { 0 };

		if (fsx_read(root, rows[i].path, rows[i].max, &out, &err) != rows[i].ret)
			fail_msg("\"%s\": %s", rows[i].path, err.msg);
		assert_int_equal(err.code, rows[i].code);
		if (rows[i].ret >= 0)
			assert_string_equal(buf_str(&out), rows[i].text);
		else
			assert_non_null(strstr(err.msg, rows[i].path));
	}
	close(root);
}

/* The limit is one of the file, whatever the buffer held before. */
static void test_read_appends(void **state)
{
	int root = make_tree(*state);
	autobuf struct buf out = { 0 };
	struct err err = { 0 };

	buf_puts(&out, "before ");
	assert_int_equal(fsx_read(root, "real/file", 4, &out, &err), 1);
	assert_string_equal(buf_str(&out), "before text");
	close(root);
}

static void test_read_large(void **state)
{
	const struct scratch *scratch = *state;
	autobuf struct buf out = { 0 }, expected = { 0 };
	struct err err = { 0 };

	for (int i = 0; i < 30000; i++)
		buf_printf(&expected, "%d\n", i);
	put_bytes(scratch->fd, "large", expected.data, expected.len);
	assert_int_equal(fsx_read(scratch->fd, "large", expected.len, &out, &err), 1);
	assert_int_equal(out.len, expected.len);
	assert_memory_equal(out.data, expected.data, out.len);
	buf_truncate(&out, 0);
	assert_int_equal(fsx_read(scratch->fd, "large", expected.len - 1, &out, &err), -1);
}

static void test_stat(void **state)
{
	int root = make_tree(*state);
	struct fsx_stat st, by_fd;
	struct stat real;
	int fd;

	assert_int_equal(fsx_stat(root, "link-file", &st), 1);
	assert_true(S_ISLNK(st.mode));
	assert_int_equal(fsx_stat(root, "missing", &st), 0);
	assert_int_equal(fsx_stat(root, "..real/x", &st), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(fsx_stat(root, "..real", &st), 1);
	assert_int_equal(fstatat(root, "..real", &real, 0), 0);
	assert_int_equal(st.ino, real.st_ino);
	assert_int_equal(st.size_bytes, real.st_size);
	assert_int_equal(st.mode, real.st_mode);
	assert_int_equal(st.mtime_ns,
			 real.st_mtim.tv_sec * INT64_C(1000000000) + real.st_mtim.tv_nsec);
	fd = openat(root, "..real", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsx_fstat(fd, &by_fd), 0);
	assert_int_equal(st.ino, by_fd.ino);
	assert_int_equal(st.size_bytes, by_fd.size_bytes);
	assert_int_equal(st.mtime_ns, by_fd.mtime_ns);
	assert_int_equal(st.mode, by_fd.mode);
	close(fd);
	assert_int_equal(fsx_fstat(-1, &st), -1);
	close(root);
}

/* The same directory stays itself when it is renamed and written to; one that is made
 * in its place is another. */
static void test_birth(void **state)
{
	const struct scratch *scratch = *state;
	struct fsx_birth births[3];

	for (int i = 0; i < 3; i++) {
		autofd int fd = -1;

		if (i == 0)
			put_dir(scratch->fd, "a");
		else if (i == 1)
			assert_int_equal(renameat(scratch->fd, "a", scratch->fd, "b"), 0);
		else
			put_dir(scratch->fd, "a");
		fd = fsx_opendir(scratch->fd, i == 1 ? "b" : "a");
		if (fsx_birth(fd, &births[i]) == 0) {
			print_message("no birth times here: not tested\n");
			skip();
		}
	}
	assert_memory_equal(&births[0], &births[1], sizeof births[0]);
	assert_memory_not_equal(&births[0], &births[2], sizeof births[0]);
	assert_int_equal(fsx_birth(-1, &births[0]), -1);
	assert_int_equal(errno, EBADF);
}

/* ---- listing ---- */

static void test_dir_lists_each_once(void **state)
{
	enum { COUNT = 3000 };
	const struct scratch *scratch = *state;
	autodir struct fsx_dir dir = { .fd = -1 };
	static char seen[COUNT];
	struct fsx_entry entry;
	int ret, count = 0;

	memset(seen, 0, sizeof seen);
	put_dir(scratch->fd, "dir");
	for (int i = 0; i < COUNT; i++) {
		char name[64];

		snprintf(name, sizeof name, "dir/%040d", i);
		put(scratch->fd, name, "");
	}
	fsx_dir_open(&dir, fsx_opendir(scratch->fd, "dir"));
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		int at = atoi(entry.name);

		assert_in_range(at, 0, COUNT - 1);
		assert_int_equal(seen[at]++, 0);
		assert_int_equal(entry.type, DT_REG);
		count++;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(count, COUNT);
}

static void test_dir_types(void **state)
{
	int root = make_tree(*state);
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int links = 0, dirs = 0, files = 0, fifos = 0;

	fsx_dir_open(&dir, root);
	while (fsx_dir_next(&dir, &entry) > 0) {
		links += entry.type == DT_LNK;
		dirs += entry.type == DT_DIR;
		files += entry.type == DT_REG;
		fifos += entry.type == DT_FIFO;
	}
	assert_int_equal(links, 7);
	assert_int_equal(dirs, 1);
	assert_int_equal(files, 1);
	assert_int_equal(fifos, 1);
}

static void test_dir_errors(void **state)
{
	const struct scratch *scratch = *state;
	struct fsx_entry entry;
	struct fsx_dir dir;

	fsx_dir_open(&dir, -1);
	assert_int_equal(fsx_dir_next(&dir, &entry), -1);
	assert_int_equal(errno, EBADF);
	fsx_dir_close(&dir);
	fsx_dir_close(&dir);
	put(scratch->fd, "file", "");
	fsx_dir_open(&dir, openat(scratch->fd, "file", O_RDONLY | O_CLOEXEC));
	assert_int_equal(fsx_dir_next(&dir, &entry), -1);
	assert_int_equal(errno, ENOTDIR);
	fsx_dir_close(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_open),
		scratch_test(test_open_on_old_kernel),
		scratch_test(test_open_root),
		scratch_test(test_opendir),
		scratch_test(test_mkdirs),
		scratch_test(test_read),
		scratch_test(test_read_appends),
		scratch_test(test_read_large),
		scratch_test(test_stat),
		scratch_test(test_birth),
		scratch_test(test_dir_lists_each_once),
		scratch_test(test_dir_types),
		scratch_test(test_dir_errors),
	};

	return cmocka_run_group_tests_name("fsx", tests, NULL, NULL);
}
