/* Classes of a unit's changes where no log decides; what logs say is tested in
 * tests/unit/index and on a real Dovecot. */
#include "fixture.h"

#include "metacache/changes.h"

#define FOLDER "mailboxes/" GUID_A

static void look(int dirfd, const char *path, struct unit *unit_r)
{
	assert_int_equal(unit_rescan(dirfd, path, test_rules(), unit_r, NULL), 0);
}

/* As after an upload with a log that was read. */
static void settle(const struct unit *unit, struct state *state)
{
	state_init(state, "u", unit->path);
	state->base = xstrdup(BASE_1);
	state->log = (struct index_position){ .indexid = 1, .file_seq = 2, .offset = 40 };
	state_set_files(state, &unit->files);
}

static void assert_class(int dirfd, const char *path, const struct state *state,
			 enum registry_changes class, const char *reason)
{
	autounit struct unit unit = { 0 };
	struct changes_found found;

	look(dirfd, path, &unit);
	changes_find(dirfd, &unit, state, &found);
	if (found.class != class || !strstr(found.reason, reason))
		fail_msg("%s, \"%s\"", registry_changes_name(found.class), found.reason);
}

static void test_without_logs(void **state)
{
	const struct scratch *scratch = *state;
	static const struct {
		const char *path, *file;
		enum registry_changes class;
		const char *reason;
	} rows[] = {
		{ FOLDER, "dovecot.index.log", CHANGES_IMPORTANT, "" }, /* not a log at all */
		{ FOLDER, "dovecot-uidlist", CHANGES_IMPORTANT, "no log tells" },
		{ "", "subscriptions", CHANGES_IMPORTANT, "no log tells" },
		{ "", "dovecot.mailbox.log", CHANGES_IMPORTANT, "no log tells" },
		{ "fts-flatcurve", "index.1", CHANGES_UNIMPORTANT, "search" },
	};

	for (size_t i = 0; i < ROWS(rows); i++) {
		autofree char *name = xasprintf("unit%zu", i);
		autofree char *file = xasprintf("%s/%s", name, rows[i].file);
		autounit struct unit before = { 0 };
		autostate struct state known = { 0 };
		autofd int dirfd = -1;

		put(scratch->fd, file, "one");
		dirfd = open_dir(scratch->fd, name);
		look(dirfd, rows[i].path, &before);
		settle(&before, &known);
		assert_class(dirfd, rows[i].path, &known, CHANGES_NONE, "");
		put(scratch->fd, file, "more than one");
		assert_class(dirfd, rows[i].path, &known, rows[i].class, rows[i].reason);
		assert_class(dirfd, rows[i].path, NULL, rows[i].class, "");
		assert_int_equal(unlinkat(scratch->fd, file, 0), 0);
		assert_class(dirfd, rows[i].path, &known, rows[i].class,
			     rows[i].class == CHANGES_IMPORTANT ? "" : "search");
	}
}

static void test_no_position(void **state)
{
	const struct scratch *scratch = *state;
	autounit struct unit before = { 0 };
	autostate struct state known = { 0 };
	autofd int dirfd = -1;

	put(scratch->fd, "unit/dovecot.index.log", "one");
	dirfd = open_dir(scratch->fd, "unit");
	look(dirfd, FOLDER, &before);
	settle(&before, &known);
	known.log.indexid = 0;
	put(scratch->fd, "unit/dovecot.index.cache", "new");
	assert_class(dirfd, FOLDER, &known, CHANGES_IMPORTANT, "no log at the upload");
}

static void test_folders(void **state)
{
	const struct scratch *scratch = *state;
	autostate struct state root = { 0 };
	autohome struct home home = { 0 };

	put(scratch->fd, "dovecot.list.index.log", "");
	put(scratch->fd, FOLDER "/dovecot.index.log", "");
	scan_home(scratch->fd, &home);
	state_init(&root, "u", "");
	assert_true(changes_in_folders(scratch->fd, "u", &home, &root)); /* came */
	add_name(&root.folders, FOLDER);
	assert_false(changes_in_folders(scratch->fd, "u", &home, &root));
	add_name(&root.folders, "mailboxes/" GUID_B);
	assert_true(changes_in_folders(scratch->fd, "u", &home, &root)); /* went */
}

/* A folder of the root's list of those that are gone is here, made of this base. */
static bool is_left_over(const struct scratch *scratch, const char *base,
			 const struct bundle_gone_vec *gone)
{
	autostate struct state root = { 0 }, folder = { 0 };
	autohome struct home home = { 0 };
	autofd int dirfd = open_dir(scratch->fd, FOLDER);
	bool left_over;

	state_init(&folder, "u", FOLDER);
	folder.base = base ? xstrdup(base) : NULL;
	assert_int_equal(state_write(dirfd, &folder, NULL, NULL), 0);
	scan_home(scratch->fd, &home);
	state_init(&root, "u", "");
	bundle_gone_copy(&root.gone, gone);
	left_over = changes_is_left_over(scratch->fd, "u", unit_find(&home, FOLDER),
					 &root.gone.items[0]);
	/* One that is not is here, and not on the root's list. */
	assert_int_equal(changes_in_folders(scratch->fd, "u", &home, &root), !left_over);
	return left_over;
}

static void test_left_over(void **state)
{
	const struct scratch *scratch = *state;
	struct bundle_gone_vec gone = { 0 };
	struct str_vec names = { 0 };

	put(scratch->fd, "dovecot.list.index.log", "");
	put(scratch->fd, FOLDER "/dovecot.index.log", "");
	bundle_gone_add(&gone, GUID_A, NULL); /* an older program did not note the names */
	assert_true(is_left_over(scratch, BASE_4, &gone));
	assert_false(is_left_over(scratch, NULL, &gone)); /* never uploaded */
	bundle_gone_free(&gone);
	add_name(&names, BASE_2);
	bundle_gone_add(&gone, GUID_A, &names);
	assert_true(is_left_over(scratch, BASE_2, &gone));
	assert_true(is_left_over(scratch, BASE_1, &gone)); /* it was obsolete even then */
	assert_false(is_left_over(scratch, BASE_3, &gone));
	str_vec_free(&names);
	bundle_gone_free(&gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_without_logs),
		scratch_test(test_no_position),
		scratch_test(test_folders),
		scratch_test(test_left_over),
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
