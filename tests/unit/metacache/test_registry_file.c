/* Registries that are not as they should be. */
#include "registry_fixture.h"

#include <stdlib.h>

#include "base/mem.h"

static void refuse_open(const struct scratch *scratch, bool read_only, enum err_code code,
			const char *says)
{
	struct registry *registry = NULL;
	struct err err = { 0 };

	assert_int_equal(registry_open(db_path(scratch), read_only, &registry, &err), -1);
	assert_message(&err, says);
	assert_message(&err, db_path(scratch));
	assert_int_equal(err.code, code);
}

static void test_newer_schema(void **state)
{
	const struct scratch *scratch = *state;
	/* In the header, 4 bytes at 60. */
	static const unsigned char version[4] = { 0, 0, 0, REGISTRY_SCHEMA + 1 };
	int fd;

	close_db(open_db(scratch));
	fd = openat(scratch->fd, "users.db", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, version, sizeof version, 60), 4);
	close(fd);
	refuse_open(scratch, false, ERR_DATA, "has schema 4, this program knows 3");
	refuse_open(scratch, true, ERR_DATA, "has schema 4, this program knows 3");
}

static void run_sql(const struct scratch *scratch, const char *sql)
{
	autofree char *command = xasprintf("sqlite3 %s \"%s\"", db_path(scratch), sql);

	assert_int_equal(system(command), 0);
}

/* It is only a cache: what a much older program wrote is not read, a rescan fills it again. */
static void test_older_schema(void **state)
{
	const struct scratch *scratch = *state;
	struct registry *db = open_db(scratch);

	put_user(db, "user", "/r");
	close_db(db);
	run_sql(scratch, "PRAGMA user_version = 1");
	refuse_open(scratch, true, ERR_NOTFOUND, "is of an older version");
	db = open_db(scratch);
	assert_users(db, "");
	close_db(db);
}

/* Users, their other names and the counters stay. */
static void test_schema_before(void **state)
{
	const struct scratch *scratch = *state;
	const struct registry_user user = {
		.username = "b", .root = "/r", .last_service = "", .conflicts = 1, .obsolete = 2
	};
	struct registry *db = open_db(scratch);
	struct registry_totals totals;
	int64_t value = 0;

	put_user(db, "a", "/r");
	assert_int_equal(registry_note(db, "n", 7, NULL), 0);
	close_db(db);
	run_sql(scratch, "ALTER TABLE users DROP COLUMN conflicts;"
			 "ALTER TABLE users DROP COLUMN obsolete; PRAGMA user_version = 2");
	refuse_open(scratch, true, ERR_NOTFOUND, "is of an older version");
	db = open_db(scratch);
	assert_users(db, "a ");
	assert_int_equal(registry_value(db, "n", &value, NULL), 1);
	assert_int_equal(value, 7);
	assert_int_equal(registry_put(db, &user, NULL), 0);
	assert_int_equal(registry_totals(db, NULL, &totals, NULL), 0);
	assert_int_equal(totals.conflicts, 1);
	assert_int_equal(totals.obsolete, 2);
	close_db(db);
	db = open_db(scratch); /* once */
	assert_users(db, "a b ");
	close_db(db);
}

static void test_corrupt(void **state)
{
	const struct scratch *scratch = *state;
	static char garbage[8192];

	memset(garbage, 'x', sizeof garbage);
	put_bytes(scratch->fd, "users.db", garbage, sizeof garbage);
	refuse_open(scratch, false, ERR_DATA, "not a database");
	refuse_open(scratch, true, ERR_DATA, "not a database");
}

/* Pages behind the header are gone: an error when they are read, no crash. */
static void test_truncated(void **state)
{
	const struct scratch *scratch = *state;
	struct registry *registry = open_db(scratch);
	autobuf struct buf names = { 0 };
	struct err err = { 0 };
	char name[32];

	registry_batch_start(registry);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "%04d", i);
		put_user(registry, name, "/r");
	}
	close_db(registry);
	autofd int fd = openat(scratch->fd, "users.db", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 16384), 0);
	if (registry_open(db_path(scratch), false, &registry, &err) == 0) {
		assert_int_equal(registry_each(registry, join_names, &names, &err), -1);
		registry_close(&registry, NULL);
	}
	assert_int_equal(err.code, ERR_DATA);
	assert_message(&err, "malformed");
	assert_string_not_equal(err.hint, "");
}

static void test_read_only(void **state)
{
	const struct scratch *scratch = *state;
	struct registry *registry = open_db(scratch), *reader = NULL;
	struct err err = { 0 };

	put_user(registry, "a", "/r");
	assert_int_equal(registry_open(db_path(scratch), true, &reader, &err), 0);
	assert_users(reader, "a ");
	put_user(registry, "b", "/r");
	assert_users(reader, "a b ");
	assert_int_equal(registry_remove(reader, "a", &err), -1);
	assert_int_equal(err.code, ERR_NOPERM);
	close_db(reader);
	assert_users(registry, "a b ");
	close_db(registry);
}

static void test_read_only_of_nothing(void **state)
{
	const struct scratch *scratch = *state;
	struct registry *registry;
	struct err err = { 0 };

	assert_int_equal(registry_open(db_path(scratch), true, &registry, &err), -1);
	assert_message(&err, db_path(scratch));
	assert_false(has(scratch->fd, "users.db"));
	put(scratch->fd, "users.db", "");
	refuse_open(scratch, true, ERR_NOTFOUND, "is empty");
}

static void test_disk_full(void **state)
{
	struct scratch *scratch = *state;
	autobuf struct buf names = { 0 };
	struct registry *registry;
	struct err err = { 0 };
	char path[128];
	int ret = 0;

	mount_small(scratch, "small", "size=256k");
	snprintf(path, sizeof path, "%s/small/users.db", scratch->path);
	assert_int_equal(registry_open(path, false, &registry, &err), 0);
	for (int i = 0; i < 10000 && ret == 0; i++) {
		struct registry_user user = { .username = NULL, .root = "/r", .last_service = "" };
		autofree char *name = xasprintf("%d", i);

		user.username = name;
		ret = registry_put(registry, &user, &err);
	}
	assert_int_equal(ret, -1);
	assert_int_equal(err.code, ERR_CANTCREATE);
	assert_int_equal(registry_each(registry, join_names, &names, &err), 0); /* what was put */
	assert_true(names.len > 0);
	close_db(registry);
	unmount_small(scratch, "small");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_newer_schema),
		scratch_test(test_older_schema),
		scratch_test(test_schema_before),
		scratch_test(test_corrupt),
		scratch_test(test_truncated),
		scratch_test(test_read_only),
		scratch_test(test_read_only_of_nothing),
		scratch_test(test_disk_full),
	};

	return cmocka_run_group_tests_name("registry_file", tests, NULL, NULL);
}
