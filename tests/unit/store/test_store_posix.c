/* The posix driver through store.h, on a scratch directory; and the fault wrapper
 * around it. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/store.h"

static char dir[64];

static struct store *open_chain(const char *chain)
{
	struct store *store;
	struct err err = { 0 };

	if (store_open(chain, NULL, &store, &err) < 0)
		fail_msg("%s", err.msg);
	return store;
}

static struct store *open_with(const char *wrapper)
{
	autofree char *chain = xasprintf("%sposix:%s", wrapper, dir);

	return open_chain(chain);
}

static int put(struct store *store, const char *key, const char *text, struct err *err)
{
	autospool struct spool *content = spool_from(text, strlen(text));

	return store_put(store, key, content, NULL, 0, err);
}

static void put_ok(struct store *store, const char *key)
{
	struct err err = { 0 };

	if (put(store, key, key, &err) < 0)
		fail_msg("%s", err.msg);
}

static int collect(void *ctx, const struct store_object *object)
{
	buf_printf(ctx, "%s%s", ((struct buf *)ctx)->len ? " " : "", object->key);
	return 0;
}

static void list_is(struct store *store, const char *prefix, bool delimiter, const char *expected)
{
	autobuf struct buf found = { 0 };
	struct err err = { 0 };

	if (store_list(store, prefix, delimiter, 0, collect, &found, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(buf_str(&found), expected);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_store.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void touch(const char *name)
{
	autofree char *path = xasprintf("%s/%s", dir, name);
	autofd int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
}

static void test_round_trip(void **state)
{
	autostore struct store *store = open_with("");
	autospool struct spool *into = spool_new(NULL, 100);
	struct store_head head;
	struct store_counters counters;
	struct err err = { 0 };

	(void)state;
	put_ok(store, "a b/@+%~/\xc3\xa9");
	assert_int_equal(store_get(store, "a b/@+%~/\xc3\xa9", into, &err), 1);
	assert_int_equal(spool_size(into), 11);
	assert_memory_equal(spool_memory(into), "a b/@+%~/\xc3\xa9", 11);
	assert_int_equal(store_head(store, "a b/@+%~/\xc3\xa9", &head, &err), 1);
	assert_int_equal(head.size_bytes, 11);
	assert_int_equal(store_get(store, "a b/@+%~", into, &err), 0);
	assert_int_equal(store_get(store, "a b/@+%~/\xc3\xa9/x", into, &err), 0);
	assert_int_equal(store_head(store, "none", &head, &err), 0);
	store_counters(store, &counters);
	assert_int_equal(counters.requests[STORE_PUT], 1);
	assert_int_equal(counters.bytes[STORE_PUT], 11);
	assert_int_equal(counters.requests[STORE_GET], 3);
	assert_int_equal(counters.bytes[STORE_GET], 11);
}

static void test_bad_keys(void **state)
{
	static const char *const bad[] = { "",     "/",    "/a",     "a/",      "a//b", ".",
					   "..",   "a/..", "a/./b",  "../a",    "a\nb", "a\x7f",
					   "\xff", "\xc3", ".tmp-x", "a/.tmp-1" };
	autostore struct store *store = open_with("");
	autofree char *long_key = xcalloc(1, 1026);
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (put(store, bad[i], "x", &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_USAGE);
		assert_null(strchr(err.msg, '\n'));
	}
	memset(long_key, 'a', 1025);
	assert_int_equal(store_key_check(long_key, &err), -1);
	long_key[1024] = '\0';
	assert_int_equal(store_key_check(long_key, &err), 0);
	assert_int_equal(store_list(store, "a/../b", false, 0, collect, NULL, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
}

static void test_never_overwrites(void **state)
{
	autostore struct store *store = open_with("");
	struct err err = { 0 };

	(void)state;
	put_ok(store, "a/b");
	assert_int_equal(put(store, "a/b", "other", &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_false(err.again);
	assert_non_null(strstr(err.msg, "put \"a/b\""));
	assert_int_equal(put(store, "a", "x", &err), -1);
	list_is(store, "", false, "a/b");
}

static void test_list_order(void **state)
{
	autostore struct store *store = open_with("");

	(void)state;
	put_ok(store, "a/c");
	put_ok(store, "a/b/d");
	put_ok(store, "a-b");
	put_ok(store, "a0");
	put_ok(store, "ab/x");
	put_ok(store, "b/\xc3\xa9");
	put_ok(store, "b/z");
	list_is(store, "", false, "a-b a/b/d a/c a0 ab/x b/z b/\xc3\xa9");
	list_is(store, "", true, "a-b a/ a0 ab/ b/");
	list_is(store, "a", false, "a-b a/b/d a/c a0 ab/x");
	list_is(store, "a", true, "a-b a/ a0 ab/");
	list_is(store, "a/", false, "a/b/d a/c");
	list_is(store, "a/", true, "a/b/ a/c");
	list_is(store, "a/b", false, "a/b/d");
	list_is(store, "a/b", true, "a/b/");
	list_is(store, "a/c", false, "a/c");
	list_is(store, "a/c/", false, "");
	list_is(store, "zz/", false, "");
}

static void test_temporaries(void **state)
{
	autostore struct store *store = open_with("");
	autofree char *stale = xasprintf("%s/a/.tmp-stale", dir);
	autofree char *fresh = xasprintf("%s/a/.tmp-fresh", dir);
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };

	(void)state;
	put_ok(store, "a/b");
	touch("a/.tmp-stale");
	touch("a/.tmp-fresh");
	assert_int_equal(utimensat(AT_FDCWD, stale, old, 0), 0);
	list_is(store, "", false, "a/b");
	assert_int_equal(access(stale, F_OK), -1);
	assert_int_equal(access(fresh, F_OK), 0);
}

static void test_empty_directory_is_no_prefix(void **state)
{
	autostore struct store *store = open_with("");
	autofree char *empty = xasprintf("%s/a/e", dir);

	(void)state;
	put_ok(store, "a/b");
	assert_int_equal(mkdir(empty, 0700), 0);
	list_is(store, "a/", true, "a/b");
}

static void test_links_are_refused(void **state)
{
	autostore struct store *store = open_with("");
	autospool struct spool *into = spool_new(NULL, 100000);
	autofree char *link = xasprintf("%s/link", dir);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(symlink("/etc", link), 0);
	assert_int_equal(store_get(store, "link/passwd", into, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_int_equal(put(store, "link/x", "x", &err), -1);
	assert_int_equal(store_list(store, "", false, 0, collect, NULL, &err), -1);
	assert_int_equal(store_list(store, "link/", false, 0, collect, NULL, &err), -1);
}

static void test_delete(void **state)
{
	autostore struct store *store = open_with("");
	const char *keys[] = { "a/b/c", "a/none", "none/x", "a/b/d" };
	bool deleted[4];
	struct err err = { 0 };

	(void)state;
	put_ok(store, "a/b/c");
	put_ok(store, "a/b/d");
	put_ok(store, "a/e");
	assert_int_equal(store_delete(store, keys, 4, deleted, &err), 0);
	for (int i = 0; i < 4; i++)
		assert_true(deleted[i]);
	list_is(store, "", false, "a/e");
	list_is(store, "", true, "a/");
	assert_int_equal(store_delete(store, (const char *[]){ "a/e" }, 1, NULL, &err), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void test_many_pages(void **state)
{
	autostore struct store *store = open_with("");
	autobuf struct buf found = { 0 };
	struct store_counters counters;
	char name[32];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(store_list(store, "", false, 1, collect, &found, &err), 0);
	put_ok(store, "p/x");
	for (int i = 1; i < 1001; i++) {
		snprintf(name, sizeof name, "p/%d", i);
		touch(name);
	}
	assert_int_equal(store_list(store, "", false, 1, collect, &found, &err), 1);
	assert_int_equal(store_list(store, "", false, 2, collect, &found, &err), 0);
	store_counters(store, &counters);
	assert_int_equal(counters.requests[STORE_LIST], 1 + 1 + 2);
}

/* Directories that one thread empties while another fills them. */
static void *put_and_delete(void *ctx)
{
	struct store *store = ctx;
	char key[64];
	const char *keys[] = { key };
	struct err err = { 0 };
	intptr_t failures = 0;

	for (int i = 0; i < 200; i++) {
		snprintf(key, sizeof key, "r/s/%lx-%d", (unsigned long)pthread_self(), i);
		if (put(store, key, "x", &err) < 0 || store_delete(store, keys, 1, NULL, &err) < 0)
			failures++;
	}
	return (void *)failures;
}

static void test_race(void **state)
{
	autostore struct store *store = open_with("");
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_and_delete, store), 0);
	for (int i = 0; i < 4; i++) {
		void *failures;

		pthread_join(threads[i], &failures);
		assert_null(failures);
	}
	list_is(store, "", false, "");
}

static void test_no_store_is_not_empty(void **state)
{
	autofree char *moved = xasprintf("posix:%s/sub", dir);
	autofree char *sub = xasprintf("%s/sub", dir);
	autospool struct spool *into = spool_new(NULL, 10);
	struct store *none;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(store_open(moved, NULL, &none, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(mkdir(sub, 0700), 0);
	{
		autostore struct store *store = open_chain(moved);

		assert_int_equal(rmdir(sub), 0);
		assert_int_equal(store_list(store, "", false, 0, collect, NULL, &err), -1);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_int_equal(store_list(store, "a/", false, 0, collect, NULL, &err), -1);
		assert_int_equal(store_get(store, "a", into, &err), -1);
		assert_int_equal(put(store, "a/b", "x", &err), -1);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
	}
}

static void test_faults(void **state)
{
	autostore struct store *store =
		open_with("fault:put@2=lost,put@3=fail,list@2+=500,get@1=truncate,get@2=short,"
			  "get@3=corrupt,get@4=notfound,delete@1=partial:");
	autospool struct spool *into = spool_new(NULL, 100);
	bool deleted[2];
	struct err err = { 0 };

	(void)state;
	put_ok(store, "aaaa");
	assert_int_equal(put(store, "b", "x", &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_true(err.again);
	assert_int_equal(put(store, "c", "x", &err), -1);
	assert_int_equal(err.code, ERR_IO);
	list_is(store, "", false, "aaaa b");
	assert_int_equal(store_list(store, "", false, 0, collect, NULL, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(store_list(store, "", false, 0, collect, NULL, &err), -1);
	assert_int_equal(store_get(store, "aaaa", into, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_int_equal(store_get(store, "aaaa", into, &err), 1);
	assert_int_equal(spool_size(into), 2);
	assert_int_equal(store_get(store, "aaaa", into, &err), 1);
	assert_memory_equal(spool_memory(into), "aaqa", 4);
	assert_int_equal(store_get(store, "aaaa", into, &err), 0);
	assert_int_equal(store_get(store, "aaaa", into, &err), 1);
	assert_memory_equal(spool_memory(into), "aaaa", 4);
	assert_int_equal(store_delete(store, (const char *[]){ "aaaa", "b" }, 2, deleted, &err),
			 -1);
	assert_false(deleted[0]);
	assert_true(deleted[1]);
}

static int killed_put(const char *wrapper)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct store *store = open_with(wrapper);

		put(store, "k/1", "x", NULL);
		put(store, "k/2", "x", NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_kill(void **state)
{
	autostore struct store *store = open_with("");

	(void)state;
	assert_int_equal(killed_put("fault:put@1=kill:"), 9);
	list_is(store, "", false, "");
	assert_int_equal(killed_put("fault:put@1=kill-after:"), 9);
	list_is(store, "", false, "k/1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_overwrites, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_temporaries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_directory_is_no_prefix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_store_is_not_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
