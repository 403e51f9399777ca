#include "registry_fixture.h"

#include <pthread.h>
#include <signal.h>

#include "base/mem.h"

/* ---- one user ---- */

static const struct registry_user full = {
	.username = "user@example.com",
	.root = "/var/lib/metacache",
	.dev_major = 259,
	.dev_minor = UINT32_MAX,
	.upload_within_s = -5,
	.bytes_used = { 1, 2, 3, INT64_MAX },
	.last_access = { 0, INT64_MAX, -1, 4 },
	.changes = CHANGES_UNIMPORTANT,
	.last_service = "imap",
	.unflushed_since = INT64_MAX,
	.conflicts = 3,
	.obsolete = 4,
	.settled = "0123456789abcde",
};

static int compare_full(void *ctx, const struct registry_user *user, struct err *err)
{
	(void)err;
	*(bool *)ctx = strcmp(user->username, full.username) == 0 &&
		       strcmp(user->root, full.root) == 0 && user->dev_major == full.dev_major &&
		       user->dev_minor == full.dev_minor &&
		       user->upload_within_s == full.upload_within_s &&
		       memcmp(user->bytes_used, full.bytes_used, sizeof full.bytes_used) == 0 &&
		       memcmp(user->last_access, full.last_access, sizeof full.last_access) == 0 &&
		       user->changes == full.changes &&
		       strcmp(user->last_service, full.last_service) == 0 &&
		       user->unflushed_since == full.unflushed_since &&
		       user->conflicts == full.conflicts && user->obsolete == full.obsolete &&
		       memcmp(user->settled, full.settled, sizeof full.settled) == 0;
	return 0;
}

static void test_put_and_each(void **state)
{
	struct registry *registry = open_db(*state);
	bool same = false;

	assert_users(registry, "");
	put_user(registry, full.username, "/replaced");
	assert_int_equal(registry_put(registry, &full, NULL), 0);
	assert_int_equal(registry_each(registry, compare_full, &same, NULL), 0);
	assert_true(same);
	close_db(registry);
	registry = open_db(*state); /* it is on disk */
	same = false;
	assert_int_equal(registry_each(registry, compare_full, &same, NULL), 0);
	assert_true(same);
	assert_users(registry, "user@example.com ");
	close_db(registry);
}

static void test_order_and_remove(void **state)
{
	static const char *const names[] = {
		"b", "a", "B", "\xc3\xa4", "a'); DROP TABLE users;--", "a b", "%", ""
	};
	struct registry *registry = open_db(*state);

	for (size_t i = 0; i < ROWS(names); i++)
		put_user(registry, names[i], "/r");
	assert_users(registry, " % B a a b a'); DROP TABLE users;-- b \xc3\xa4 ");
	assert_int_equal(registry_remove(registry, "%", NULL), 1);
	assert_int_equal(registry_remove(registry, "%", NULL), 0);
	assert_int_equal(registry_remove(registry, "A", NULL), 0);
	assert_int_equal(registry_remove(registry, names[4], NULL), 1);
	assert_int_equal(registry_remove(registry, "", NULL), 1);
	assert_users(registry, "B a a b b \xc3\xa4 ");
	close_db(registry);
}

static int stop_at_second(void *ctx, const struct registry_user *user, struct err *err)
{
	int *count = ctx;

	(void)user;
	if (++*count < 2)
		return 0;
	return *count == 2 ? 1 : err_set(err, ERR_IO, "too far");
}

static int fail_at_once(void *ctx, const struct registry_user *user, struct err *err)
{
	(void)ctx;
	return err_set(err, ERR_DATA, "no %s", user->username);
}

static void test_each_stops(void **state)
{
	struct registry *registry = open_db(*state);
	struct err err = { 0 };
	int count = 0;

	for (char name[] = "a"; name[0] <= 'e'; name[0]++)
		put_user(registry, name, "/r");
	assert_int_equal(registry_each(registry, stop_at_second, &count, &err), 1);
	assert_int_equal(count, 2);
	assert_int_equal(registry_each(registry, fail_at_once, NULL, &err), -1);
	assert_string_equal(err.msg, "no a");
	assert_users(registry, "a b c d e "); /* from the start again */
	close_db(registry);
}

static int64_t by_bytes(void *ctx, const struct registry_user *user)
{
	++*(int *)ctx;
	assert_null(user->username);
	return (int64_t)user->bytes_used[3] - user->last_access[0];
}

static void test_each_by(void **state)
{
	static const struct {
		const char *name;
		uint64_t bytes;
		int64_t access;
	} rows[] = { { "a", 7, 0 },
		     { "b", 9, 8 },
		     { "c", 0, INT64_MAX },
		     { "d", 7, 0 },
		     { "e", INT64_MAX, 0 } };
	struct registry *registry = open_db(*state);
	autobuf struct buf names = { 0 };
	struct err err = { 0 };
	int calls = 0, count = 0;
	const struct registry_order order = { by_bytes, &calls };

	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct registry_user user = { .username = rows[i].name,
						    .root = "/r",
						    .bytes_used[3] = rows[i].bytes,
						    .last_access[0] = rows[i].access,
						    .last_service = "" };

		assert_int_equal(registry_put(registry, &user, NULL), 0);
	}
	assert_int_equal(registry_each_by(registry, &order, join_names, &names, NULL), 0);
	assert_string_equal(buf_str(&names), "c b a d e ");
	assert_int_equal(calls, ROWS(rows));
	assert_int_equal(registry_each_by(registry, &order, stop_at_second, &count, &err), 1);
	assert_int_equal(registry_each_by(registry, &order, fail_at_once, NULL, &err), -1);
	assert_string_equal(err.msg, "no c");
	close_db(registry);
}

static void test_find(void **state)
{
	struct registry *registry = open_db(*state);
	struct err err = { 0 };
	bool same = false;

	assert_int_equal(registry_find(registry, full.username, compare_full, &same, NULL), 0);
	put_user(registry, "a", "/r");
	assert_int_equal(registry_put(registry, &full, NULL), 0);
	assert_int_equal(registry_find(registry, full.username, compare_full, &same, NULL), 1);
	assert_true(same);
	assert_int_equal(registry_find(registry, "a", compare_full, &same, NULL), 1);
	assert_false(same);
	assert_int_equal(registry_find(registry, "a", fail_at_once, NULL, &err), -1);
	assert_string_equal(err.msg, "no a");
	close_db(registry);
}

static void test_settled(void **state)
{
	struct registry *registry = open_db(*state);
	unsigned char fingerprint[HASH_CONTENT_SIZE];

	assert_int_equal(registry_settled(registry, full.username, fingerprint, NULL), 0);
	assert_int_equal(registry_put(registry, &full, NULL), 0);
	put_user(registry, "other", "/r"); /* all zero */
	assert_int_equal(registry_settled(registry, full.username, fingerprint, NULL), 1);
	assert_memory_equal(fingerprint, full.settled, sizeof fingerprint);
	assert_int_equal(registry_settled(registry, "other", fingerprint, NULL), 0);
	assert_int_equal(registry_settled(registry, "nobody", fingerprint, NULL), 0);
	put_user(registry, full.username, "/r");
	assert_int_equal(registry_settled(registry, full.username, fingerprint, NULL), 0);
	close_db(registry);
}

static void test_notes(void **state)
{
	struct registry *registry = open_db(*state);
	int64_t value = 7;

	assert_int_equal(registry_value(registry, "requests_put", &value, NULL), 0);
	assert_int_equal(value, 7);
	assert_int_equal(registry_count(registry, "requests_put", 3, NULL), 0);
	assert_int_equal(registry_count(registry, "requests_put", 4, NULL), 0);
	assert_int_equal(registry_count(registry, "requests_put", 0, NULL), 0);
	assert_int_equal(registry_value(registry, "requests_put", &value, NULL), 1);
	assert_int_equal(value, 7);
	assert_int_equal(registry_note(registry, "when", 100, NULL), 0);
	assert_int_equal(registry_note(registry, "when", INT64_MIN, NULL), 0);
	assert_int_equal(registry_value(registry, "when", &value, NULL), 1);
	assert_int_equal(value, INT64_MIN);
	close_db(registry);
}

/* ---- rescan ---- */

static void test_mark_and_sweep(void **state)
{
	struct registry *registry = open_db(*state);
	uint64_t removed = 99;

	put_user(registry, "a", "/one");
	put_user(registry, "b", "/one");
	put_user(registry, "c", "/two");
	/* Without a mark nothing is known to be gone. */
	assert_int_equal(registry_sweep(registry, "/one", &removed, NULL), 0);
	assert_int_equal(removed, 0);
	assert_int_equal(registry_mark(registry, NULL), 0);
	put_user(registry, "b", "/one");
	put_user(registry, "d", "/one");
	assert_int_equal(registry_sweep(registry, "/on", &removed, NULL), 0);
	assert_int_equal(removed, 0);
	assert_int_equal(registry_sweep(registry, "/one", &removed, NULL), 0);
	assert_int_equal(removed, 1);
	assert_users(registry, "b c d ");
	assert_int_equal(registry_mark(registry, NULL), 0);
	assert_int_equal(registry_sweep(registry, "/one", &removed, NULL), 0);
	assert_int_equal(removed, 2);
	assert_users(registry, "c ");
	close_db(registry);
}

static void test_sweep_takes_aliases(void **state)
{
	struct registry *registry = open_db(*state);
	struct registry_alias alias = { (char *)"user_x", (char *)"1" };
	struct registry_alias_vec aliases = { .items = &alias, .count = 1 };
	struct str_vec fields;
	uint64_t removed = 0;

	put_user(registry, "gone", "/one");
	assert_int_equal(registry_set_aliases(registry, "gone", &aliases, NULL), 0);
	assert_int_equal(registry_mark(registry, NULL), 0);
	assert_int_equal(registry_sweep(registry, "/one", &removed, NULL), 0);
	assert_int_equal(removed, 1);
	assert_int_equal(registry_alias_fields(registry, &fields, NULL), 0);
	assert_int_equal(fields.count, 0);
	close_db(registry);
}

/* ---- batches ---- */

static void test_batch(void **state)
{
	struct registry *registry = open_db(*state), *other = open_db(*state);
	autobuf struct buf names = { 0 };
	char name[32];

	registry_batch_start(registry);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "%04d", i);
		put_user(registry, name, "/r");
	}
	assert_int_equal(registry_remove(registry, "0500", NULL), 1);
	assert_int_equal(registry_batch_end(registry, NULL), 0);
	assert_int_equal(registry_each(other, join_names, &names, NULL), 0);
	assert_int_equal(names.len, 999 * 5);
	registry_batch_start(registry);
	put_user(registry, "closed", "/r");
	close_db(registry); /* ends the batch */
	assert_int_equal(registry_remove(other, "closed", NULL), 1);
	close_db(other);
}

/* ---- two at once ---- */

enum { EACH_PUTS = 300 };

static int put_many(const struct child_side *side, void *arg)
{
	struct registry *registry;
	char name[32];

	if (registry_open(arg, false, &registry, NULL) < 0)
		return 1;
	child_ready(side);
	child_pause(side);
	for (int i = 0; i < EACH_PUTS; i++) {
		snprintf(name, sizeof name, "child-%d", i);
		if (try_put(registry, name, "/r") < 0 ||
		    registry_count(registry, "requests", 1, NULL) < 0)
			return 2;
	}
	return registry_close(&registry, NULL) < 0 ? 3 : 0;
}

static int open_and_close(const struct child_side *side, void *arg)
{
	struct registry *registry;

	child_pause(side);
	return registry_open(arg, false, &registry, NULL) < 0 ||
	       registry_close(&registry, NULL) < 0;
}

/* All find that there is none and make it. */
static void test_made_by_many(void **state)
{
	const struct scratch *scratch = *state;

	for (int i = 0; i < 20; i++) {
		struct child children[4];
		int failed = 0;

		for (size_t k = 0; k < ROWS(children); k++)
			children[k] =
				child_start(open_and_close, (void *)(uintptr_t)db_path(scratch));
		for (size_t k = 0; k < ROWS(children); k++)
			child_go(&children[k]);
		for (size_t k = 0; k < ROWS(children); k++)
			failed += child_end(&children[k]);
		assert_int_equal(failed, 0);
		assert_int_equal(unlinkat(scratch->fd, "users.db", 0), 0);
		/* Where the last two ended at once, these are still there. */
		unlinkat(scratch->fd, "users.db-wal", 0);
		unlinkat(scratch->fd, "users.db-shm", 0);
	}
}

static void test_two_processes(void **state)
{
	struct child child = child_start(put_many, (void *)(uintptr_t)db_path(*state));
	struct registry *registry = open_db(*state);
	uint64_t removed = 0;
	int64_t value = 0;
	char name[32];

	child_await(&child);
	child_go(&child);
	for (int i = 0; i < EACH_PUTS; i++) {
		snprintf(name, sizeof name, "parent-%d", i);
		put_user(registry, name, "/r");
		assert_int_equal(registry_count(registry, "requests", 1, NULL), 0);
	}
	assert_int_equal(child_end(&child), 0);
	assert_int_equal(registry_mark(registry, NULL), 0);
	assert_int_equal(registry_sweep(registry, "/r", &removed, NULL), 0);
	assert_int_equal(removed, 2 * EACH_PUTS);
	assert_int_equal(registry_value(registry, "requests", &value, NULL), 1);
	assert_int_equal(value, 2 * EACH_PUTS);
	close_db(registry);
}

static int die_in_batch(const struct child_side *side, void *arg)
{
	struct registry *registry;

	if (registry_open(arg, false, &registry, NULL) < 0 || try_put(registry, "kept", "/r") < 0)
		return 1;
	registry_batch_start(registry);
	if (try_put(registry, "lost", "/r") < 0)
		return 2;
	child_ready(side);
	child_pause(side);
	return 0;
}

/* Killed with a transaction open: that one is gone, nothing else, nobody waits. */
static void test_killed_in_batch(void **state)
{
	struct child child = child_start(die_in_batch, (void *)(uintptr_t)db_path(*state));
	struct registry *registry;

	child_await(&child);
	kill(child.pid, SIGKILL);
	assert_int_equal(child_end(&child), -1);
	registry = open_db(*state);
	assert_users(registry, "kept ");
	put_user(registry, "new", "/r");
	close_db(registry);
}

static void *put_from_thread(void *arg)
{
	struct registry *registry = arg;

	for (int i = 0; i < 400; i++) {
		char name[32];

		snprintf(name, sizeof name, "%d", i);
		if (try_put(registry, name, "/r") < 0 || registry_count(registry, "n", 1, NULL) < 0)
			return arg;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct registry *registry = open_db(*state);
	pthread_t threads[4];
	int64_t value = 0;

	registry_batch_start(registry);
	for (size_t i = 0; i < ROWS(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_from_thread, registry), 0);
	for (size_t i = 0; i < ROWS(threads); i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(registry_batch_end(registry, NULL), 0);
	assert_int_equal(registry_value(registry, "n", &value, NULL), 1);
	assert_int_equal(value, 4 * 400);
	close_db(registry);
}

static void put_changed(struct registry *registry, const char *name, const char *root,
			enum registry_changes changes, int64_t unflushed_since)
{
	const struct registry_user user = {
		.username = name,
		.root = root,
		.bytes_used = { 1, 20, 300, (uint64_t)1 << 40 },
		.last_access = { 5, 0, 0, unflushed_since },
		.changes = changes,
		.unflushed_since = unflushed_since,
		.last_service = "",
		.conflicts = changes == CHANGES_IMPORTANT ? 2 : 0,
		.obsolete = 1,
	};

	assert_int_equal(registry_put(registry, &user, NULL), 0);
}

static void test_totals(void **state)
{
	struct registry *registry = open_db(*state);
	struct registry_totals totals;
	struct str_vec roots;
	struct err err = { 0 };

	assert_int_equal(registry_totals(registry, NULL, &totals, &err), 0);
	assert_int_equal(totals.users, 0);
	assert_int_equal(totals.unflushed_since, 0);
	put_changed(registry, "a", "/r", CHANGES_NONE, 0);
	put_changed(registry, "b", "/r", CHANGES_IMPORTANT, 70);
	put_changed(registry, "c", "/s", CHANGES_IMPORTANT, 60);
	put_changed(registry, "d", "/s", CHANGES_UNIMPORTANT, 0);
	assert_int_equal(registry_totals(registry, NULL, &totals, &err), 0);
	assert_int_equal(totals.users, 4);
	assert_int_equal(totals.bytes_used[1], 80);
	assert_int_equal(totals.bytes_used[3], (uint64_t)4 << 40);
	assert_int_equal(totals.users_of[0], 4);
	assert_int_equal(totals.users_of[1], 0);
	assert_int_equal(totals.users_of[3], 2);
	assert_int_equal(totals.changed[CHANGES_NONE], 1);
	assert_int_equal(totals.changed[CHANGES_UNIMPORTANT], 1);
	assert_int_equal(totals.changed[CHANGES_IMPORTANT], 2);
	assert_int_equal(totals.unflushed_since, 60);
	assert_int_equal(totals.conflicts, 4);
	assert_int_equal(totals.obsolete, 4);
	assert_int_equal(registry_roots(registry, &roots, &err), 0);
	assert_int_equal(roots.count, 2);
	assert_string_equal(roots.items[1], "/s");
	str_vec_free(&roots);
	assert_int_equal(registry_totals(registry, "/r", &totals, &err), 0);
	assert_int_equal(totals.users, 2);
	assert_int_equal(totals.bytes_used[0], 2);
	assert_int_equal(totals.unflushed_since, 70);
	/* What is not uploaded yet was noticed when it was noticed first. */
	put_changed(registry, "b", "/r", CHANGES_IMPORTANT, 90);
	assert_int_equal(registry_totals(registry, "/r", &totals, &err), 0);
	assert_int_equal(totals.unflushed_since, 70);
	put_changed(registry, "b", "/r", CHANGES_NONE, 0);
	put_changed(registry, "b", "/r", CHANGES_IMPORTANT, 95);
	assert_int_equal(registry_totals(registry, "/r", &totals, &err), 0);
	assert_int_equal(totals.unflushed_since, 95);
	close_db(registry);
}

static void set_alias(struct registry *registry, const char *user, const char *field,
		      const char *value)
{
	struct registry_alias alias = { .field = xstrdup(field), .value = xstrdup(value) };
	struct registry_alias_vec aliases = { 0 };

	vec_push(&aliases, alias);
	assert_int_equal(registry_set_aliases(registry, user, &aliases, NULL), 0);
	registry_aliases_free(&aliases);
}

static int read_aliases(void *ctx, const struct registry_user *user, struct err *err)
{
	struct registry_alias_vec aliases;

	if (registry_aliases(ctx, user->username, &aliases, err) < 0)
		return -1;
	assert_int_equal(aliases.count, 1);
	assert_string_equal(aliases.items[0].value, "2");
	registry_aliases_free(&aliases);
	return 0;
}

static void test_aliases(void **state)
{
	struct registry *registry = open_db(*state);
	struct registry_alias_vec aliases;
	struct str_vec fields;

	put_user(registry, "a", "/r");
	set_alias(registry, "a", "user_id", "1");
	set_alias(registry, "a", "user_uuid", "2");
	set_alias(registry, "b", "user_id", "3");
	assert_int_equal(registry_each(registry, read_aliases, registry, NULL), 0);
	put_user(registry, "a", "/r"); /* they stay when the rest is written anew */
	assert_int_equal(registry_each(registry, read_aliases, registry, NULL), 0);
	assert_int_equal(registry_alias_fields(registry, &fields, NULL), 0);
	assert_int_equal(fields.count, 2);
	assert_string_equal(fields.items[0], "user_id");
	assert_string_equal(fields.items[1], "user_uuid");
	str_vec_free(&fields);
	assert_int_equal(registry_remove(registry, "a", NULL), 1);
	assert_int_equal(registry_aliases(registry, "a", &aliases, NULL), 0);
	assert_int_equal(aliases.count, 0);
	close_db(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_put_and_each),  scratch_test(test_order_and_remove),
		scratch_test(test_each_stops),    scratch_test(test_settled),
		scratch_test(test_notes),         scratch_test(test_mark_and_sweep),
		scratch_test(test_batch),         scratch_test(test_made_by_many),
		scratch_test(test_two_processes), scratch_test(test_killed_in_batch),
		scratch_test(test_threads),       scratch_test(test_totals),
		scratch_test(test_aliases),       scratch_test(test_each_by),
		scratch_test(test_find),          scratch_test(test_sweep_takes_aliases),
	};

	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
