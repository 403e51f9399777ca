#include "../trap.h"
#include "fixture.h"

#include <fcntl.h>

#include "metacache/install.h"
#include "metacache/trash.h"

/* staging/new is what is to be installed; home/ is where. */
struct setting {
	int staging, home;
	struct state state;
};

static void begin(const struct scratch *scratch, const char *path, const char *const *files,
		  struct setting *setting_r)
{
	struct unit_file_vec names = { 0 };
	autofd int new_fd = -1;

	put_dir(scratch->fd, "staging");
	put_dir(scratch->fd, "staging/new");
	if (!has(scratch->fd, "home"))
		put_dir(scratch->fd, "home");
	setting_r->staging = open_dir(scratch->fd, "staging");
	setting_r->home = open_dir(scratch->fd, "home");
	new_fd = open_dir(setting_r->staging, "new");
	state_init(&setting_r->state, "u", path);
	setting_r->state.base = xstrdup(BASE_1);
	for (; *files; files++) {
		struct unit_file file = { .name = xstrdup(*files), .size_bytes = 3 };

		put(new_fd, *files, "new");
		vec_push(&names, file);
	}
	state_set_files(&setting_r->state, &names);
	unit_files_free(&names);
	assert_int_equal(state_write(new_fd, &setting_r->state, NULL, NULL), 0);
}

static int install_judged(const struct setting *setting, const struct unit_file_vec *judged,
			  struct err *err)
{
	return install_unit(setting->staging, "new", setting->home, &setting->state, judged,
			    test_rules(), err);
}

/* Over what is there now. */
static int install(const struct setting *setting, struct err *err)
{
	const char *path = setting->state.unit;
	autounit struct unit now = { 0 };
	autofd int fd = fsx_opendir(setting->home, path);

	if (fd >= 0)
		assert_int_equal(unit_rescan(fd, path, test_rules(), &now, NULL), 0);
	return install_judged(setting, &now.files, err);
}

static void end(const struct scratch *scratch, struct setting *setting)
{
	close(setting->staging);
	close(setting->home);
	state_free(&setting->state);
	assert_int_equal(fsx_remove_tree(scratch->fd, "staging", NULL), 0);
	assert_int_equal(fsx_remove_tree(scratch->fd, "home", NULL), 0);
}

static void assert_state(int home, const char *path, const char *installing)
{
	autostate struct state s = { 0 };
	autofd int fd = open_dir(home, path[0] ? path : ".");

	assert_int_equal(state_read(fd, &s, NULL), 1);
	assert_string_equal(s.base, BASE_1);
	if (installing)
		assert_string_equal(s.installing, installing);
	else
		assert_null(s.installing);
}

static const char *const folder_files[] = { "dovecot.index", "dovecot.index.log", NULL };

static void install_well(const struct setting *setting)
{
	struct err err = { 0 };

	if (install(setting, &err) < 0)
		fail_msg("%s: %s", setting->state.unit, err.msg);
}

static void test_nothing_there(void **state)
{
	static const char *const paths[] = { ".Foo", "mailboxes/" GUID_A, "a/b/c/dbox-Mails",
					     "fts-flatcurve" };
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(paths); i++) {
		autofree char *file = xasprintf("%s/dovecot.index", paths[i]);
		struct setting setting;

		begin(scratch, paths[i], folder_files, &setting);
		install_well(&setting);
		assert_text(setting.home, file, "new");
		assert_state(setting.home, paths[i], NULL);
		assert_int_equal(count_entries(setting.staging, "."), 0);
		end(scratch, &setting);
	}
}

/* A leaf is swapped in one step: the old one is in staging, whole. */
static void test_leaf(void **state)
{
	const struct scratch *scratch = *state;
	struct setting setting;

	put(scratch->fd, "home/a/.Foo/dovecot.index", "old");
	put(scratch->fd, "home/a/.Foo/dovecot.index.log.2", "old");
	put(scratch->fd, "home/a/other", "stays");
	begin(scratch, "a/.Foo", folder_files, &setting);
	install_well(&setting);
	assert_text(setting.home, "a/.Foo/dovecot.index", "new");
	assert_false(has(setting.home, "a/.Foo/dovecot.index.log.2"));
	assert_text(setting.home, "a/other", "stays");
	assert_text(setting.staging, "new/dovecot.index", "old");
	assert_text(setting.staging, "new/dovecot.index.log.2", "old");
	assert_state(setting.home, "a/.Foo", NULL);
	end(scratch, &setting);
}

static void test_fts_is_a_leaf(void **state)
{
	static const char *const files[] = { "deep/index", NULL };
	const struct scratch *scratch = *state;
	struct setting setting;

	put(scratch->fd, "home/fts-flatcurve/deep/old", "old");
	put(scratch->fd, "home/fts-flatcurve/deeper/still/old", "old");
	begin(scratch, "fts-flatcurve", files, &setting);
	install_well(&setting);
	assert_text(setting.home, "fts-flatcurve/deep/index", "new");
	assert_false(has(setting.home, "fts-flatcurve/deep/old"));
	assert_text(setting.staging, "new/deeper/still/old", "old");
	end(scratch, &setting);
}

/* File by file: what is below stays, what the bundle has not goes. */
static void test_with_folders_in_it(void **state)
{
	static const char *const paths[] = { "", "Foo", "a/Foo" };
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(paths); i++) {
		struct setting setting;
		autofd int unitfd = -1;

		begin(scratch, paths[i], folder_files, &setting);
		if (paths[i][0])
			put_dir(setting.home, paths[i]);
		unitfd = open_dir(setting.home, paths[i][0] ? paths[i] : ".");
		put(unitfd, "dovecot.index", "old");
		put(unitfd, "dovecot.index.log.2", "old");
		put(unitfd, "Sub/dovecot.index.log", "stays");
		put(unitfd, "mailboxes/" GUID_A "/dovecot.index.log", "stays");
		put_link(unitfd, "link", "/etc");
		install_well(&setting);
		assert_text(unitfd, "dovecot.index", "new");
		assert_text(unitfd, "dovecot.index.log", "new");
		assert_false(has(unitfd, "dovecot.index.log.2"));
		assert_text(unitfd, "Sub/dovecot.index.log", "stays");
		assert_text(unitfd, "mailboxes/" GUID_A "/dovecot.index.log", "stays");
		assert_true(has(unitfd, "link"));
		assert_state(setting.home, paths[i], NULL);
		end(scratch, &setting);
	}
}

static void test_empty_home(void **state)
{
	const struct scratch *scratch = *state;
	struct setting setting;

	begin(scratch, "", folder_files, &setting);
	install_well(&setting);
	assert_int_equal(count_entries(setting.home, "."), 3);
	assert_state(setting.home, "", NULL);
	end(scratch, &setting);
}

/* Ended halfway, .state says so, and a second run finishes it. */
static void test_halfway(void **state)
{
	const struct scratch *scratch = *state;
	struct setting setting;
	struct err err = { 0 };

	begin(scratch, "", folder_files, &setting);
	put(setting.home, "dovecot.index", "old");
	put(setting.home, "dovecot.index.log", "older");
	put(setting.home, "dovecot.index.log.2", "old");
	assert_int_equal(unlinkat(setting.staging, "new/dovecot.index", 0), 0);
	assert_int_equal(install(&setting, &err), -1);
	assert_message(&err, "dovecot.index");
	assert_state(setting.home, "", BASE_1);
	/* The logs come first, and nothing is removed before all is there. */
	assert_text(setting.home, "dovecot.index.log", "new");
	assert_text(setting.home, "dovecot.index", "old");
	assert_text(setting.home, "dovecot.index.log.2", "old");
	/* What had come out by then is there for a sweep to judge. */
	assert_false(has(setting.staging, "new"));
	assert_text(setting.staging, TRASH_SWAP "new/dovecot.index.log", "older");
	assert_state(setting.staging, TRASH_SWAP "new", BASE_1);
	assert_int_equal(renameat(setting.staging, TRASH_SWAP "new", setting.staging, "new"), 0);
	put(setting.staging, "new/dovecot.index", "new");
	put(setting.staging, "new/dovecot.index.log", "new");
	install_well(&setting);
	assert_text(setting.home, "dovecot.index", "new");
	assert_false(has(setting.home, "dovecot.index.log.2"));
	assert_state(setting.home, "", NULL);
	end(scratch, &setting);
}

/* ---- something else is in the way ---- */

static void test_in_the_way(void **state)
{
	static const struct {
		const char *path, *link, *file;
	} rows[] = {
		{ ".Foo", ".Foo", NULL },
		{ "a/b/.Foo", "a", NULL },
		{ "a/b/.Foo", "a/b", NULL },
		{ "a/b/.Foo", "a/b/.Foo", NULL },
		{ ".Foo", NULL, ".Foo" },
		{ "a/.Foo", NULL, "a" },
		{ "../outside/x", NULL, NULL },
		{ "../outside", NULL, NULL },
		{ "a/../../outside/x", NULL, NULL },
	};
	const struct scratch *scratch = *state;
	autofree char *outside = xasprintf("%s/outside", scratch->path);

	put(scratch->fd, "outside/precious", "precious");
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct setting setting;
		struct err err = { 0 };

		begin(scratch, rows[i].path, folder_files, &setting);
		if (rows[i].link)
			put_link(setting.home, rows[i].link, outside);
		if (rows[i].file)
			put(setting.home, rows[i].file, "a file");
		if (install(&setting, &err) == 0)
			fail_msg("row %zu: installed", i);
		assert_string_not_equal(err.msg, "");
		if (rows[i].file)
			assert_text(setting.home, rows[i].file, "a file");
		assert_text(setting.staging, "new/dovecot.index", "new");
		assert_int_equal(count_entries(scratch->fd, "outside"), 1);
		assert_text(scratch->fd, "outside/precious", "precious");
		end(scratch, &setting);
	}
}

/* What came while the new files were downloaded is not thrown away: it is left, or
 * put back, as it is. */
static void test_changed_meanwhile(void **state)
{
	static const char *const paths[] = { "mailboxes/" GUID_A, "" };
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < 2; i++) {
		const char *dir = paths[i][0] ? "home/mailboxes/" GUID_A : "home";
		autofree char *log = xasprintf("%s/dovecot.index.log", dir);
		autounit struct unit judged = { 0 };
		struct setting setting;
		struct err err = { 0 };
		autofd int fd = -1;

		put_dir(scratch->fd, "home");
		if (paths[i][0]) {
			put_dir(scratch->fd, "home/mailboxes");
			put_dir(scratch->fd, dir);
		}
		put(scratch->fd, log, "old");
		fd = open_dir(scratch->fd, dir);
		assert_int_equal(unit_rescan(fd, paths[i], test_rules(), &judged, NULL), 0);
		begin(scratch, paths[i], (const char *const[]){ "dovecot.index.log", NULL },
		      &setting);
		put(scratch->fd, log, "old and a flag");
		assert_int_equal(install_judged(&setting, &judged.files, &err), -1);
		assert_int_equal(err.code, ERR_BUSY);
		assert_text(scratch->fd, log, "old and a flag");
		/* Nothing was there when it was judged: the same. */
		assert_int_equal(install_judged(&setting, NULL, &err), -1);
		assert_text(scratch->fd, log, "old and a flag");
		end(scratch, &setting);
	}
}

/* Dovecot writes after the last look at the old files, just before they are replaced. */
static int home_fd;

static void write_flag(long first, long second)
{
	static bool done;
	int fd;

	(void)first, (void)second;
	if (done)
		return;
	fd = openat(home_fd, "dovecot.index.log", O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0 || write(fd, " and a flag", 11) != 11)
		_exit(9);
	close(fd);
	done = true;
}

static int install_while_written(const struct child_side *side, void *arg)
{
	const struct setting *setting = arg;
	autounit struct unit judged = { 0 };
	struct err err = { 0 };

	(void)side;
	if (unit_rescan(setting->home, "", test_rules(), &judged, NULL) < 0)
		return 1;
	home_fd = setting->home;
	if (!trap_call(SYS_renameat2, write_flag))
		return TRAP_SKIPS;
	if (install_judged(setting, &judged.files, &err) == 0)
		return 2;
	return err.code == ERR_CONFLICT && strstr(err.msg, TRASH_KEPT) ? 0 : 3;
}

static void test_written_while_replaced(void **state)
{
	const struct scratch *scratch = *state;
	struct setting setting;
	struct child child;
	autofd int parent = -1;
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int code, kept = 0;

	begin(scratch, "", folder_files, &setting);
	put(setting.home, "dovecot.index.log", "old");
	child = child_start(install_while_written, &setting);
	code = child_end(&child);
	if (code == TRAP_SKIPS) {
		end(scratch, &setting);
		skip();
	}
	assert_int_equal(code, 0);
	assert_text(setting.home, "dovecot.index.log", "new");
	parent = open_dir(scratch->fd, ".");
	fsx_dir_open(&dir, dup(parent));
	while (fsx_dir_next(&dir, &entry) > 0) {
		autofree char *log = xasprintf("%s/dovecot.index.log", entry.name);

		if (strncmp(entry.name, TRASH_KEPT, sizeof TRASH_KEPT - 1) != 0)
			continue;
		assert_text(parent, log, "old and a flag");
		kept++;
	}
	assert_int_equal(kept, 1);
	end(scratch, &setting);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_changed_meanwhile), scratch_test(test_written_while_replaced),
		scratch_test(test_nothing_there),     scratch_test(test_leaf),
		scratch_test(test_fts_is_a_leaf),     scratch_test(test_with_folders_in_it),
		scratch_test(test_empty_home),        scratch_test(test_halfway),
		scratch_test(test_in_the_way),
	};

	return cmocka_run_group_tests_name("install", tests, NULL, NULL);
}
