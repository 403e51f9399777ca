#include "../scratch.h"

#include "fscache/fscache_name.h"

static void test_both_ways(void **state)
{
	static const struct {
		const char *key, *file;
	} rows[] = {
		{ "a", "a" },
		{ "a/b", "a%2Fb" },
		{ "b5/899/user@example.com/mailboxes/0011/abc",
		  "b5%2F899%2Fuser@example.com%2Fmailboxes%2F0011%2Fabc" },
		{ "100%", "100%25" },
		{ "%2F", "%252F" },
		{ ".hidden", "%2Ehidden" },
		{ "...", "%2E.." },
		{ "a b", "a%20b" },
		{ "fscache.log", "fscache.log" },
		{ "\xc3\xa4", "%C3%A4" },
		{ "\"'\\*?", "%22%27%5C%2A%3F" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct fscache_name name, again;
		autobuf struct buf key = { 0 };

		buf_puts(&key, "left over");
		assert_true(fscache_name_of_key(rows[i].key, &name));
		assert_string_equal(fscache_name_file(&name), rows[i].file);
		assert_true(fscache_name_of_file(rows[i].file, &again, &key));
		assert_string_equal(buf_str(&key), rows[i].key);
		assert_string_equal(again.path, name.path);
		assert_string_equal(again.hash, name.hash);
	}
}

/* Fixed by the format: XXH3-128 in its canonical form. */
static void test_folder(void **state)
{
	struct fscache_name name;

	(void)state;
	assert_true(fscache_name_of_key("a", &name));
	assert_string_equal(name.hash, "a96faf705af16834e6c632b61e964e1f");
	assert_string_equal(name.path, "a9/a");
	assert_string_equal(fscache_name_folder(&name).s, "a9");
}

static void test_no_key_has_this_name(void **state)
{
	static const char *const rows[] = {
		"",           ".",    "..",       ".a",       "a/b",
		"a b",        "%",    "%2",       "%2f",      "%61",
		"a%00b",      "%2E",  "%2E.",     "%2E%2E",   "a%2F..",
		"a%2F%2E%2E", "%2Fa", "a%2F",     "a%2F%2Fb", "a%0Ab",
		"a\nb",       "%FF",  "\xc3\xa4", "%G0",      "%2E%2E%2Fetc%2Fpasswd",
		"a%2F.%2Fb",
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct fscache_name name;

		if (fscache_name_of_file(rows[i], &name, NULL))
			fail_msg("%s is a name", rows[i]);
	}
}

static void test_length(void **state)
{
	char key[400];
	struct fscache_name name;

	(void)state;
	memset(key, 'a', sizeof key);
	key[255] = '\0';
	assert_true(fscache_name_of_key(key, &name));
	assert_int_equal(strlen(fscache_name_file(&name)), 255);
	assert_true(fscache_name_of_file(fscache_name_file(&name), &name, NULL));
	key[254] = '/';
	assert_false(fscache_name_of_key(key, &name));
	key[252] = '/';
	key[253] = '\0';
	assert_true(fscache_name_of_key(key, &name));
	key[253] = key[252] = 'a';
	key[254] = 'a';
	key[255] = 'a';
	key[256] = '\0';
	assert_false(fscache_name_of_key(key, &name));
	assert_false(fscache_name_of_file(key, &name, NULL));
}

/* The fast way says what the other says, of names that are and of names that are none. */
static void test_fast_folder(void **state)
{
	static const char bytes[] = "a%2F.0E5/A@ \x7f\xc3\xa4";
	uint32_t random = 1;
	unsigned valid = 0;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		char file[FSCACHE_NAME_MAX + 8];
		size_t len = 0, want = i % 1000 == 0 ? sizeof file - 1 : (size_t)i % 12;
		struct fscache_name name;
		bool is_name;
		int folder;

		while (len < want) {
			random = random * 1664525 + 1013904223;
			file[len++] = bytes[(random >> 16) % (sizeof bytes - 1)];
		}
		file[len] = '\0';
		is_name = fscache_name_of_file(file, &name, NULL);
		folder = fscache_name_folder_of_file(file, len);
		if (is_name != (folder >= 0) ||
		    (is_name && folder != (int)strtol(fscache_name_folder(&name).s, NULL, 16)))
			fail_msg("%s: %d", file, folder);
		valid += is_name;
	}
	assert_in_range(valid, 30000, 270000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_folder),
		cmocka_unit_test(test_no_key_has_this_name),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_fast_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
