#include "registry_fixture.h"

#include "metacache/rescan.h"
#include "metacache/status.h"
#include "metacache/userdb.h"

static struct settings settings_with(struct scratch *scratch, const char *other)
{
	struct settings settings = { 0 };

	vec_push(&settings.roots, xstrdup(scratch->path));
	if (other)
		vec_push(&settings.roots, xstrdup(other));
	return settings;
}

static void put_sized(struct registry *registry, const char *name, const char *root, uint64_t bytes)
{
	const struct registry_user user = {
		.username = name,
		.root = root,
		.bytes_used = { 1, 0, 0, bytes },
		.last_access = { 1, 0, 0, 1 },
		.last_service = "",
	};

	assert_int_equal(registry_put(registry, &user, NULL), 0);
}

static void test_empty(void **state)
{
	struct settings settings = settings_with(*state, NULL);
	struct registry *registry = open_db(*state);
	autostatus struct status status = { 0 };
	struct err err = { 0 };

	assert_int_equal(status_read(&settings, registry, &status, &err), 0);
	assert_int_equal(status.totals.users, 0);
	assert_int_equal(status.bytes_used, 0);
	assert_int_equal(status.rescan.when, 0);
	assert_int_equal(status.roots.count, 1);
	assert_true(status.roots.items[0].has_space);
	assert_true(status.roots.items[0].size_bytes >= status.roots.items[0].avail_bytes);
	assert_int_equal(status.requests[STORE_PUT].count, 0);
	close_db(registry);
	str_vec_free(&settings.roots);
}

static void test_full(void **state)
{
	struct settings settings = settings_with(*state, "/nowhere/at/all");
	const char *here = settings.roots.items[0];
	struct registry *registry = open_db(*state);
	autostatus struct status status = { 0 };
	struct err err = { 0 };

	put_sized(registry, "a", here, 10);
	put_sized(registry, "b", here, 20);
	put_sized(registry, "c", "/former", 400);
	assert_int_equal(registry_count(registry, "requests_list", 3, NULL), 0);
	assert_int_equal(registry_count(registry, "bytes_list", 4, NULL), 0);
	assert_int_equal(registry_note(registry, RESCAN_NOTE_WHEN, 1700000000, NULL), 0);
	assert_int_equal(registry_note(registry, RESCAN_NOTE_REMOVED, 7, NULL), 0);
	assert_int_equal(registry_note(registry, RESCAN_NOTE_BYTES_OFF, -7, NULL), 0);
	assert_int_equal(status_read(&settings, registry, &status, &err), 0);
	assert_int_equal(status.bytes_used, 433);
	assert_int_equal(status.roots.count, 3);
	assert_int_equal(status.roots.items[0].totals.bytes_used[3], 30);
	assert_false(status.roots.items[1].has_space);
	assert_int_equal(status.roots.items[1].err.code, ERR_NOTFOUND);
	assert_int_equal(status.roots.items[1].totals.users, 0);
	assert_string_equal(status.roots.items[2].path, "/former");
	assert_false(status.roots.items[2].configured);
	assert_int_equal(status.roots.items[2].totals.users, 1);
	assert_int_equal(status.requests[STORE_LIST].count, 3);
	assert_int_equal(status.requests[STORE_LIST].bytes, 4);
	assert_int_equal(status.rescan.when, 1700000000);
	assert_int_equal(status.rescan.removed, 7);
	assert_int_equal(status.rescan.bytes_off, 0);
	close_db(registry);
	str_vec_free(&settings.roots);
}

static void test_sums_do_not_wrap(void **state)
{
	struct settings settings = settings_with(*state, NULL);
	struct registry *registry = open_db(*state);
	autostatus struct status status = { 0 };

	for (char name[] = "a"; name[0] <= 'd'; name[0]++)
		put_sized(registry, name, settings.roots.items[0], INT64_MAX);
	assert_int_equal(status_read(&settings, registry, &status, NULL), 0);
	assert_true(status.bytes_used >= INT64_MAX);
	close_db(registry);
	str_vec_free(&settings.roots);
}

static void test_percent(void **state)
{
	static const struct {
		uint64_t part, whole, percent;
	} rows[] = {
		{ 0, 0, 0 },
		{ 5, 0, 0 },
		{ 0, 10, 0 },
		{ 1, 3, 33 },
		{ 2, 3, 67 },
		{ 10, 10, 100 },
		{ 25, 10, 250 },
		{ 1, 200, 1 },
		{ 1, 201, 0 },
		{ UINT64_MAX, UINT64_MAX, 100 },
		{ UINT64_MAX, 1, UINT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		assert_int_equal(status_percent(rows[i].part, rows[i].whole), rows[i].percent);
}

static void test_age(void **state)
{
	const struct status status = { .now = 1000 };

	(void)state;
	assert_int_equal(status_age(&status, 400), 600);
	assert_int_equal(status_age(&status, 1000), 0);
	assert_int_equal(status_age(&status, 1001), 0);
	assert_int_equal(status_age(&status, INT64_MIN), (uint64_t)1000 + ((uint64_t)1 << 63));
}

static void test_alias_names(void **state)
{
	static const char *const good[] = { "user_a", "user_Alt-1.x_y" };
	static const char *const bad[] = {
		"",
		"user",
		"user_",
		"User_a",
		"xuser_a",
		"user_a b",
		"user_a,b",
		"user_\xc3\xa4",
		"user_a\n",
		"user_a=b",
		"user_\"",
		"user_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxx"
	};

	(void)state;
	for (size_t i = 0; i < ROWS(good); i++)
		assert_true(userdb_is_alias(good[i]));
	for (size_t i = 0; i < ROWS(bad); i++)
		assert_false(userdb_is_alias(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_empty),
		scratch_test(test_full),
		scratch_test(test_sums_do_not_wrap),
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_alias_names),
	};

	return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
