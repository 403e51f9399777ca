#include "fixture.h"

/* Each unit as "path kind id priority bytes files"; an FTS unit in the same way. */
static void describe(const struct home *home, struct buf *out)
{
	for (size_t i = 0; i < home->units.count; i++) {
		const struct unit *unit = &home->units.items[i];

		buf_printf(out, "[%s] %s %u %s%s:", unit->path,
			   (const char *[]){ "root", "fts", "folder" }[unit->kind], unit->priority,
			   unit->has_state ? "state " : "", unit->has_subdirs ? "dirs" : "leaf");
		for (size_t k = 0; k < unit->files.count; k++)
			buf_printf(out, " %s", unit->files.items[k].name);
		buf_putc(out, '\n');
	}
	if (home->foreign)
		buf_printf(out, "foreign %s\n", home->foreign);
}

struct tree {
	const char *name;
	const char *files[20]; /* "/" at the end: a directory; "@": a link; "|": a FIFO */
	const char *expected;
};

static const struct tree trees[] = {
	{ "empty", { NULL }, "" },
	{ "only directories", { "mailboxes/", "a/b/" }, "" },
	{ "LAYOUT=index",
	  { "dovecot.list.index", "dovecot.list.index.log", "subscriptions",
	    "mailboxes/" GUID_B "/dovecot.index.log", "mailboxes/" GUID_A "/dovecot.index",
	    "mailboxes/" GUID_A "/dovecot.index.log", "mailboxes/" GUID_A "/dovecot.index.log.2",
	    "mailboxes/" GUID_A "/dovecot.index.cache", "mailboxes/" GUID_A "/.state" },
	  "[] root 0 dirs: dovecot.list.index dovecot.list.index.log subscriptions\n"
	  "[mailboxes/" GUID_A "] folder 3 state leaf: dovecot.index dovecot.index.cache "
	  "dovecot.index.log dovecot.index.log.2\n"
	  "[mailboxes/" GUID_B "] folder 3 leaf: dovecot.index.log\n" },
	{ "fs layout, folders in folders",
	  { "mailboxes/INBOX/dbox-Mails/dovecot.index.log",
	    "mailboxes/Work/dbox-Mails/dovecot.index.log",
	    "mailboxes/Work/Deep/dbox-Mails/dovecot.index.log",
	    "mailboxes/Junk/dbox-Mails/dovecot.index.log", "dovecot.list.index.log" },
	  "[] root 0 dirs: dovecot.list.index.log\n"
	  "[mailboxes/INBOX/dbox-Mails] folder 2 leaf: dovecot.index.log\n"
	  "[mailboxes/Junk/dbox-Mails] folder 2 leaf: dovecot.index.log\n"
	  "[mailboxes/Work/Deep/dbox-Mails] folder 3 leaf: dovecot.index.log\n"
	  "[mailboxes/Work/dbox-Mails] folder 3 leaf: dovecot.index.log\n" },
	{ "Maildir++",
	  { ".INBOX/dovecot.index.log", ".Spam/dovecot.index.log", ".Work.Deep/dovecot.index.log",
	    "dovecot-uidlist" },
	  "[] root 0 dirs: dovecot-uidlist\n"
	  "[.INBOX] folder 2 leaf: dovecot.index.log\n"
	  "[.Spam] folder 2 leaf: dovecot.index.log\n"
	  "[.Work.Deep] folder 3 leaf: dovecot.index.log\n" },
	{ "a folder with folders in it",
	  { "a/dovecot.index.log", "a/b/dovecot.index.log" },
	  "[a] folder 3 dirs: dovecot.index.log\n[a/b] folder 3 leaf: dovecot.index.log\n" },
	{ "FTS",
	  { "fts-flatcurve/current.1/termlist.glass", "fts-flatcurve/index", "lucene-indexes/x",
	    "fts-flatcurve/.state", "fts-flatcurve/current.1/.state" },
	  "[fts-flatcurve] fts 1 state leaf: current.1/.state current.1/termlist.glass index\n"
	  "[lucene-indexes] fts 1 leaf: x\n" },
	{ "FTS of a folder is made again",
	  { "a/dovecot.index.log", "a/fts-flatcurve/index" },
	  "[a] folder 3 dirs: dovecot.index.log\n" },
	{ "a folder that is called as FTS is",
	  { "mailboxes/fts-flatcurve/dbox-Mails/dovecot.index.log" },
	  "[mailboxes/fts-flatcurve/dbox-Mails] folder 3 leaf: dovecot.index.log\n" },
	{ "empty FTS", { "fts-flatcurve/a/b/" }, "" },
	{ "what is left out",
	  { "a/dovecot.index.log", "a/dovecot.index.backup", "a/dovecot.index.log.lock",
	    "a/dovecot.index.log.newlock", "a/dovecot.index.tmp", "a/.temp.host.1", "a/.state.tmp",
	    "a/.state.blocks", "dovecot.list.index.backup", ".state.tmp", "x.lock",
	    "fts-flatcurve/x.lock", "fts-flatcurve/y.tmp" },
	  "[a] folder 3 leaf: dovecot.index.log\n" },
	{ "names that only look like what is left out",
	  { "a/dovecot.index.log", "a/dovecot.index.backup2", "a/lock", "a/tmp", "a/x.locks" },
	  "[a] folder 3 leaf: dovecot.index.backup2 dovecot.index.log lock tmp x.locks\n" },
	{ "only a state", { ".state" }, "[] root 0 state leaf:\n" },
	{ "foreign file", { "a/something" }, "foreign a/something\n" },
	{ "foreign file below a folder",
	  { "a/dovecot.index.log", "a/b/c/x" },
	  "[a] folder 3 dirs: dovecot.index.log\nforeign a/b/c/x\n" },
	{ "link for a file",
	  { "a/dovecot.index.log", "a/dovecot.index@" },
	  "[a] folder 3 leaf: dovecot.index.log\nforeign a/dovecot.index\n" },
	{ "link for a folder", { "x", "a@" }, "[] root 0 leaf: x\nforeign a\n" },
	{ "link for FTS", { "fts-flatcurve@" }, "foreign fts-flatcurve\n" },
	{ "link in FTS",
	  { "fts-flatcurve/x", "fts-flatcurve/y@" },
	  "[fts-flatcurve] fts 1 leaf: x\nforeign fts-flatcurve/y\n" },
	{ "FIFO",
	  { "a/dovecot.index.log", "a/f|" },
	  "[a] folder 3 leaf: dovecot.index.log\nforeign a/f\n" },
	{ "name with a line break",
	  { "a/dovecot.index.log", "a/x\ny" },
	  "[a] folder 3 leaf: dovecot.index.log\nforeign a/x\ny\n" },
	{ "name that is no UTF-8",
	  { "a/dovecot.index.log", "a/\xff" },
	  "[a] folder 3 leaf: dovecot.index.log\nforeign a/\xff\n" },
	{ "directory that is no UTF-8", { "\xc3/dovecot.index.log" }, "foreign \xc3\n" },
	{ "umlauts",
	  { "mailboxes/\xc3\xa4/dbox-Mails/dovecot.index.log" },
	  "[mailboxes/\xc3\xa4/dbox-Mails] folder 3 leaf: dovecot.index.log\n" },
};

static void make(int home, const char *entry)
{
	char path[PATH_MAX];
	size_t len = strlen(entry);

	snprintf(path, sizeof path, "%.*s", (int)len - 1, entry);
	if (entry[len - 1] == '/')
		put_dir(home, path);
	else if (entry[len - 1] == '@')
		put_link(home, path, "/etc");
	else if (entry[len - 1] == '|')
		assert_int_equal(mkfifoat(home, path, 0600), 0);
	else
		put(home, entry, "text");
}

static void test_trees(void **state)
{
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(trees); i++) {
		autohome struct home home = { 0 };
		autobuf struct buf text = { 0 };
		autofd int fd = -1;

		put_dir(scratch->fd, "home");
		fd = open_dir(scratch->fd, "home");
		for (const char *const *file = trees[i].files; *file; file++)
			make(fd, *file);
		scan_home(fd, &home);
		describe(&home, &text);
		if (strcmp(buf_str(&text), trees[i].expected) != 0)
			fail_msg("%s:\n%s", trees[i].name, buf_str(&text));
		assert_int_equal(fsx_remove_tree(scratch->fd, "home", NULL), 0);
	}
}

/* A unit that is looked at alone is what the scan of the home said. */
static void test_rescan_agrees(void **state)
{
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(trees); i++) {
		autohome struct home home = { 0 };
		autofd int fd = -1;

		put_dir(scratch->fd, "home");
		fd = open_dir(scratch->fd, "home");
		for (const char *const *file = trees[i].files; *file; file++)
			make(fd, *file);
		scan_home(fd, &home);
		for (size_t k = 0; k < home.units.count; k++) {
			const struct unit *was = &home.units.items[k];
			struct home alone = { 0 }, whole = { 0 };
			autobuf struct buf expected = { 0 }, text = { 0 };
			autofd int unitfd = open_dir(fd, was->path[0] ? was->path : ".");
			autounit struct unit now = { 0 };
			struct err err = { 0 };

			if (unit_rescan(unitfd, was->path, test_rules(), &now, &err) < 0)
				fail_msg("%s: %s", trees[i].name, err.msg);
			whole.units = (struct unit_vec){ &home.units.items[k], 1, 1 };
			alone.units = (struct unit_vec){ &now, 1, 1 };
			describe(&whole, &expected);
			describe(&alone, &text);
			assert_string_equal(buf_str(&text), buf_str(&expected));
			assert_string_equal(now.id, was->id);
			assert_int_equal(now.bytes, was->bytes);
			assert_int_equal(now.newest_ns, was->newest_ns);
		}
		assert_int_equal(fsx_remove_tree(scratch->fd, "home", NULL), 0);
	}
}

static void test_ids(void **state)
{
	static const struct {
		const char *path, *id;
	} rows[] = {
		{ "mailboxes/" GUID_A, GUID_A },
		{ GUID_A, GUID_A },
		{ ".INBOX", "cfdf4046682429cf19166b2019430df5" },
		{ "mailboxes/Foo/dbox-Mails", "580c69367706e3aa9ab67f04ba4f2758" },
		{ "mailboxes/" GUID_A "0", "e3d2419f487fe4d3a2b9f15cdee8e0c7" },
		{ "mailboxes/0123456789ABCDEF0123456789ABCDEF",
		  "6d18e633e3501542a73e0fc2078229e2" },
		{ "mailboxes/0123456789abcdef0123456789abcdeg",
		  "ad1eecec80defa6c72e25b3f9191cb86" },
		{ "mailboxes/0123456789abcdef0123456789abcde", "440e5a7daa9afb8a97b2d9cb7c6fd924" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char id[33];

		unit_folder_id(rows[i].path, id);
		assert_string_equal(id, rows[i].id);
	}
}

static void test_classify(void **state)
{
	static const struct {
		const char *path;
		enum unit_kind kind;
		unsigned priority;
		const char *id; /* NULL: 32 hex */
	} rows[] = {
		{ "", UNIT_ROOT, 0, "" },
		{ "fts-flatcurve", UNIT_FTS, 1, "fts" },
		{ "lucene-indexes", UNIT_FTS, 1, "fts.lucene-indexes" },
		{ "a/fts-flatcurve", UNIT_FOLDER, 3, NULL },
		{ "INBOX", UNIT_FOLDER, 2, NULL },
		{ "inbox", UNIT_FOLDER, 2, NULL },
		{ ".INBOX", UNIT_FOLDER, 2, NULL },
		{ ".Junk", UNIT_FOLDER, 2, NULL },
		{ "mailboxes/SPAM/dbox-Mails", UNIT_FOLDER, 2, NULL },
		{ "mailboxes/INBOX/Sub/dbox-Mails", UNIT_FOLDER, 3, NULL },
		{ "mailboxes/NotINBOX/dbox-Mails", UNIT_FOLDER, 3, NULL },
		{ ".INBOX.Sub", UNIT_FOLDER, 3, NULL },
		{ ".INBO", UNIT_FOLDER, 3, NULL },
		{ ".INBOXX", UNIT_FOLDER, 3, NULL },
		{ "mailboxes/", UNIT_FOLDER, 3, NULL },
		{ "/dbox-Mails", UNIT_FOLDER, 3, NULL },
		{ ".", UNIT_FOLDER, 3, NULL },
		{ "mailboxes/" GUID_A, UNIT_FOLDER, 3, GUID_A },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autounit struct unit unit = { 0 };

		unit_classify(rows[i].path, test_rules(), &unit);
		if (unit.kind != rows[i].kind || unit.priority != rows[i].priority)
			fail_msg("\"%s\": kind %d, priority %u", rows[i].path, (int)unit.kind,
				 unit.priority);
		assert_string_equal(unit.path, rows[i].path);
		if (rows[i].id)
			assert_string_equal(unit.id, rows[i].id);
		else
			assert_int_equal(strlen(unit.id), 32);
		assert_int_equal(unit_name_depth(unit.kind), unit.kind == UNIT_FTS ? 16 : 1);
		assert_string_equal(unit_title(&unit),
				    unit.kind == UNIT_ROOT ? "root indexes" : unit.path);
	}
}

static void test_find(void **state)
{
	const struct scratch *scratch = *state;
	autohome struct home home = { 0 };

	put(scratch->fd, "x", "12345");
	put(scratch->fd, "mailboxes/" GUID_A "/dovecot.index.log", "123");
	put(scratch->fd, "mailboxes/" GUID_A "/dovecot.index", "4567");
	put(scratch->fd, "mailboxes/" GUID_A "/.state", "not counted");
	scan_home(scratch->fd, &home);
	assert_int_equal(unit_find(&home, "")->bytes, 5);
	assert_int_equal(unit_find(&home, "mailboxes/" GUID_A)->bytes, 7);
	assert_ptr_equal(unit_find_id(&home, GUID_A), unit_find(&home, "mailboxes/" GUID_A));
	assert_ptr_equal(unit_find_id(&home, ""), unit_find(&home, ""));
	assert_null(unit_find(&home, "mailboxes"));
	assert_null(unit_find_id(&home, GUID_B));
}

/* ---- fingerprints ---- */

static const char log_a[] = "mailboxes/" GUID_A "/dovecot.index.log";
static const char log_b[] = "mailboxes/" GUID_B "/dovecot.index.log";

static void set_mtime(int home, const char *path, long ns)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { 1700000000, ns } };

	assert_int_equal(utimensat(home, path, times, 0), 0);
}

static void grow(int home)
{
	put(home, log_a, "longer");
	set_mtime(home, log_a, 0);
}

static void touch_ns(int home)
{
	set_mtime(home, log_a, 1);
}

/* The same size and time, another file. */
static void replace_same(int home)
{
	put(home, "new", "log");
	set_mtime(home, "new", 0);
	assert_int_equal(renameat(home, "new", home, log_a), 0);
}

static void swap_files(int home)
{
	assert_int_equal(renameat2(home, log_a, home, log_b, RENAME_EXCHANGE), 0);
}

static void rename_file(int home)
{
	assert_int_equal(renameat(home, "x", home, "y"), 0);
}

static void rename_folder(int home)
{
	assert_int_equal(renameat(home, "mailboxes/" GUID_A, home, "mailboxes/a"), 0);
}

static void remove_file(int home)
{
	assert_int_equal(unlinkat(home, "x", 0), 0);
}

static void add_file(int home)
{
	put(home, "mailboxes/" GUID_A "/new", "");
}

static void write_state(int home)
{
	put(home, "mailboxes/" GUID_A "/.state", "");
}

static void fts_changes(int home)
{
	put(home, "fts-flatcurve/deep/index", "longer");
}

static void nothing(int home)
{
	(void)home;
}

static void read_all(int home)
{
	assert_text(home, log_a, "log");
	assert_text(home, "x", "x");
}

static void left_out(int home)
{
	put(home, "mailboxes/" GUID_A "/dovecot.index.backup", "");
	put(home, "mailboxes/" GUID_A "/dovecot.index.log.lock", "");
	put(home, ".state.tmp", "");
}

static void directories(int home)
{
	put_dir(home, "mailboxes/new");
}

static void test_fingerprint(void **state)
{
	static const struct {
		void (*change)(int home);
		bool changes;
	} rows[] = {
		{ grow, true },        { touch_ns, true },     { replace_same, true },
		{ swap_files, true },  { rename_file, true },  { rename_folder, true },
		{ remove_file, true }, { add_file, true },     { write_state, true },
		{ fts_changes, true }, { nothing, false },     { read_all, false },
		{ left_out, false },   { directories, false },
	};
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		autohome struct home before = { 0 }, after = { 0 };
		unsigned char was[HASH_CONTENT_SIZE], is[HASH_CONTENT_SIZE];
		autofd int fd = -1;

		put_dir(scratch->fd, "home");
		fd = open_dir(scratch->fd, "home");
		put(fd, log_a, "log");
		put(fd, log_b, "log");
		put(fd, "x", "x");
		put(fd, "fts-flatcurve/deep/index", "fts");
		set_mtime(fd, log_a, 0);
		set_mtime(fd, log_b, 0);
		scan_home(fd, &before);
		rows[i].change(fd);
		scan_home(fd, &after);
		unit_fingerprint(&before, was);
		unit_fingerprint(&after, is);
		if ((memcmp(was, is, sizeof was) != 0) != rows[i].changes)
			fail_msg("row %zu", i);
		assert_int_equal(fsx_remove_tree(scratch->fd, "home", NULL), 0);
	}
}

/* ---- too deep, gone, swapped ---- */

static void put_deep(int home, const char *top, int depth, const char *name)
{
	autobuf struct buf path = { 0 };

	buf_puts(&path, top);
	for (int i = 0; i < depth; i++)
		buf_puts(&path, "/d");
	buf_printf(&path, "/%s", name);
	put(home, buf_str(&path), "");
}

static void test_deep(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };
	struct home home;

	put_deep(scratch->fd, "a", 40, "dovecot.index.log");
	scan_home(scratch->fd, &home);
	assert_int_equal(home.units.count, 1);
	unit_home_free(&home);
	put_deep(scratch->fd, "b", 70, "dovecot.index.log");
	assert_int_equal(unit_scan(scratch->fd, test_rules(), &home, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_message(&err, "directories deep");
	assert_int_equal(home.units.count, 0);
}

/* What is deeper than a bundle's names may be is foreign, however one looks. */
static void test_deep_fts(void **state)
{
	const struct scratch *scratch = *state;
	autohome struct home home = { 0 };
	autounit struct unit now = { 0 };
	autofd int unitfd = -1;
	struct err err = { 0 };

	put_deep(scratch->fd, "fts-flatcurve", 15, "sixteen");
	put_deep(scratch->fd, "fts-flatcurve", 16, "seventeen");
	scan_home(scratch->fd, &home);
	assert_int_equal(home.units.items[0].files.count, 1);
	assert_non_null(strstr(home.units.items[0].files.items[0].name, "/sixteen"));
	assert_non_null(home.foreign);
	unitfd = open_dir(scratch->fd, "fts-flatcurve");
	assert_int_equal(unit_rescan(unitfd, "fts-flatcurve", test_rules(), &now, &err), 0);
	assert_int_equal(now.files.count, 1);
}

static void test_home_is_gone(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };
	struct home home;

	put(scratch->fd, "file", "");
	autofd int fd = openat(scratch->fd, "file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(unit_scan(fd, test_rules(), &home, &err), -1);
	assert_message(&err, "home directory");
	assert_int_equal(unit_scan(-1, test_rules(), &home, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_trees),        scratch_test(test_rescan_agrees),
		scratch_test(test_ids),          scratch_test(test_classify),
		scratch_test(test_find),         scratch_test(test_fingerprint),
		scratch_test(test_deep),         scratch_test(test_deep_fts),
		scratch_test(test_home_is_gone),
	};

	return cmocka_run_group_tests_name("unit", tests, NULL, NULL);
}
