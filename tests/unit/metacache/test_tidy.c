#include "fixture.h"

#include <pthread.h>

#include "conf/settings.h"
#include "metacache/remote.h"
#include "metacache/tidy.h"
#include "metacache/user_lock.h"

/* A metacache over a posix store in the scratch directory: homes are mc/<user>,
 * objects store/<user>/…. */
struct site {
	const struct scratch *scratch;
	struct settings settings;
	struct metacache mc;
};

static void open_site(const struct scratch *scratch, const char *fault, struct site *site)
{
	struct str_vec overrides = { 0 };
	struct err err = { 0 };

	site->scratch = scratch;
	for (int i = 0; i < 3; i++) {
		const char *name = (const char *[]){ "mc", "store", "state" }[i];

		if (!has(scratch->fd, name))
			put_dir(scratch->fd, name);
	}
	vec_push(&overrides, xasprintf("mail_home=%s/mc/%%u", scratch->path));
	vec_push(&overrides, xasprintf("state_dir=%s/state", scratch->path));
	vec_push(&overrides, xasprintf("obox_index_fs=%sposix:%s/store", fault, scratch->path));
	add_name(&overrides, "object_prefix=%u");
	add_name(&overrides, "user_lock_timeout=50ms");
	if (settings_load(&site->settings, "/dev/null", &overrides, &err) < 0 ||
	    metacache_open(&site->mc, &site->settings, NULL, METACACHE_STORE, &err) < 0)
		fail_msg("%s", err.msg);
	str_vec_free(&overrides);
}

static void close_site(struct site *site)
{
	metacache_close(&site->mc);
	settings_free(&site->settings);
}

/* Bundles of a unit that are superseded: listed in .state, there in the store. */
static void add_unit(const struct site *site, const char *user, const char *path,
		     const char *const *names)
{
	autofree char *dir = xasprintf("mc/%s/%s", user, path);
	autofree char *file = xasprintf("%s/dovecot.index.log", dir);
	autobuf struct buf prefix = { 0 };
	autostate struct state s = { 0 };
	autounit struct unit unit = { 0 };
	autofd int fd = -1;

	unit_classify(path, test_rules(), &unit);
	buf_puts(&prefix, "store/");
	remote_prefix(&prefix, user, unit.id);
	state_init(&s, user, path);
	for (; *names; names++) {
		autofree char *object = xasprintf("%s%s", buf_str(&prefix), *names);

		put(site->scratch->fd, object, "");
		add_name(&s.superseded, *names);
	}
	put(site->scratch->fd, file, "log");
	fd = open_dir(site->scratch->fd, dir);
	assert_int_equal(state_write(fd, &s, NULL, NULL), 0);
}

static void tidy_unit(const struct site *site, struct tidy *tidy, const char *user,
		      const char *path, const char *const *list)
{
	autohomeref struct metacache_home home = { 0 };
	autounit struct unit unit = { 0 };
	struct str_vec names = { 0 };

	if (metacache_find(&site->mc, user, &home, NULL) < 0)
		abort();
	unit_classify(path, test_rules(), &unit);
	for (; *list; list++)
		add_name(&names, *list);
	tidy_add(tidy, &home, path, unit.id, &names);
	str_vec_free(&names);
}

static void assert_superseded(const struct site *site, const char *dir, const char *expected)
{
	autofd int fd = open_dir(site->scratch->fd, dir);
	autostate struct state s = { 0 };
	autobuf struct buf text = { 0 };

	assert_int_equal(state_read(fd, &s, NULL), 1);
	for (size_t i = 0; i < s.superseded.count; i++)
		buf_printf(&text, "%s%s", i ? " " : "", s.superseded.items[i]);
	assert_string_equal(buf_str(&text), expected);
}

#define BOX "mailboxes/" GUID_A
static const char *const one[] = { BASE_1, NULL };
static const char *const two[] = { BASE_1, BASE_2, NULL };

/* Under the user's lock the objects go; what is noted of them waits. */
static void test_delete(void **state)
{
	const struct scratch *scratch = *state;
	autofree char *object = xasprintf("store/u1/mailboxes/" GUID_A "/idx/%s", BASE_1);
	autostate struct state s = { 0 };
	autofd int lock = -1, dirfd = -1;
	struct err err = { 0 };
	struct tidy *tidy;
	struct site site;

	open_site(scratch, "", &site);
	add_unit(&site, "u1", BOX, two);
	assert_true(has(scratch->fd, object));
	tidy = tidy_new(&site.mc);
	tidy_unit(&site, tidy, "u1", BOX, one);
	lock = user_lock(site.mc.locks_fd, "u1", USER_LOCK_UPLOAD, 0, &err);
	assert_true(lock >= 0);
	tidy_delete(tidy);
	assert_false(has(scratch->fd, object));
	assert_superseded(&site, "mc/u1/" BOX, BASE_1 " " BASE_2);
	tidy_delete(tidy); /* nothing more */
	cleanup_fd(&lock);
	lock = -1;
	tidy_settle(tidy);
	assert_superseded(&site, "mc/u1/" BOX, BASE_2);
	dirfd = open_dir(scratch->fd, "mc/u1/" BOX);
	assert_int_equal(state_read(dirfd, &s, NULL), 1);
	assert_int_equal(s.deleted.count, 1);
	assert_string_equal(s.deleted.items[0], BASE_1);
	assert_int_equal(tidy_finish(&tidy, NULL, &err), 0);
	close_site(&site);
}

static void test_finish(void **state)
{
	struct err err = { 0 };
	uint64_t deleted = 0;
	struct tidy *tidy;
	struct site site;

	open_site(*state, "", &site);
	add_unit(&site, "u1", "", two);
	add_unit(&site, "u1", BOX, two);
	add_unit(&site, "u2", BOX, two);
	tidy = tidy_new(&site.mc);
	tidy_unit(&site, tidy, "u1", "", two);
	tidy_unit(&site, tidy, "u2", BOX, one);
	tidy_unit(&site, tidy, "u1", BOX, one);
	tidy_unit(&site, tidy, "u1", BOX, (const char *[]){ NULL });
	if (tidy_finish(&tidy, &deleted, &err) < 0)
		fail_msg("%s", err.msg);
	assert_null(tidy);
	assert_int_equal(deleted, 4);
	assert_superseded(&site, "mc/u1", "");
	assert_superseded(&site, "mc/u1/" BOX, BASE_2);
	assert_superseded(&site, "mc/u2/" BOX, BASE_2);
	assert_false(has(site.scratch->fd, "store/u1/idx/" BASE_2));
	assert_true(has(site.scratch->fd, "store/u1/" BOX "/idx/" BASE_2));
	assert_false(has(site.scratch->fd, "store/u1/" BOX "/idx/" BASE_1));
	assert_int_equal(tidy_finish(&tidy, NULL, NULL), 0);
	close_site(&site);
}

/* What is not known to be gone stays listed, for the next try. */
static void test_partly_deleted(void **state)
{
	struct err err = { 0 };
	uint64_t deleted = 0;
	struct tidy *tidy;
	struct site site;

	open_site(*state, "fault:delete@1=partial:", &site);
	add_unit(&site, "u", "", two);
	for (int round = 0; round < 2; round++) {
		tidy = tidy_new(&site.mc);
		tidy_unit(&site, tidy, "u", "", round ? one : two);
		assert_int_equal(tidy_finish(&tidy, &deleted, &err), round ? 0 : -1);
		assert_int_equal(deleted, 1);
		assert_superseded(&site, "mc/u", round ? "" : BASE_1);
		assert_int_equal(has(site.scratch->fd, "store/u/idx/" BASE_1), !round);
		if (!round)
			assert_int_equal(err.code, ERR_UNAVAILABLE);
	}
	close_site(&site);
}

static void test_store_is_away(void **state)
{
	static const char *const faults[] = { "fault:delete@*=500:", "fault:delete@*=lost:" };

	for (size_t i = 0; i < ROWS(faults); i++) {
		struct err err = { 0 };
		uint64_t deleted = 7;
		struct tidy *tidy;
		struct site site;

		open_site(*state, faults[i], &site);
		add_unit(&site, "u", "", two);
		tidy = tidy_new(&site.mc);
		tidy_unit(&site, tidy, "u", "", two);
		assert_int_equal(tidy_finish(&tidy, &deleted, &err), -1);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_int_equal(deleted, 0);
		assert_superseded(&site, "mc/u", BASE_1 " " BASE_2);
		close_site(&site);
	}
}

/* More than a request takes: deleted on the way, noted when told to. */
static void test_batches(void **state)
{
	const char *names[401] = { NULL };
	struct err err = { 0 };
	uint64_t deleted = 0;
	struct tidy *tidy;
	struct site site;

	open_site(*state, "", &site);
	for (int i = 0; i < 400; i++)
		names[i] = xasprintf("bundle.6553f100.%05x." UNIQUE_1, (unsigned)i);
	tidy = tidy_new(&site.mc);
	for (int u = 0; u < 3; u++) {
		const char *user = (const char *[]){ "a", "b", "c" }[u];

		add_unit(&site, user, "", names);
		tidy_unit(&site, tidy, user, "", names);
	}
	assert_false(has(site.scratch->fd, "store/a/idx"));
	assert_true(has(site.scratch->fd, "store/c/idx"));
	tidy_settle(tidy);
	assert_superseded(&site, "mc/a", "");
	tidy_settle(tidy);
	assert_int_equal(tidy_finish(&tidy, &deleted, &err), 0);
	assert_int_equal(deleted, 1200);
	assert_superseded(&site, "mc/b", "");
	assert_superseded(&site, "mc/c", "");
	for (int i = 0; i < 400; i++)
		free((void *)(uintptr_t)names[i]);
	close_site(&site);
}

/* The user's state at that time, whatever it was before. */
static void test_gone_and_locked(void **state)
{
	struct err err = { 0 };
	uint64_t deleted = 0;
	struct tidy *tidy;
	struct site site;
	int lock;

	open_site(*state, "", &site);
	add_unit(&site, "gone", "", one);
	add_unit(&site, "box", BOX, one);
	tidy = tidy_new(&site.mc);
	tidy_unit(&site, tidy, "gone", "", one);
	tidy_unit(&site, tidy, "box", BOX, one);
	assert_int_equal(fsx_remove_tree(site.mc.roots[0].fd, "gone", NULL), 0);
	assert_int_equal(fsx_remove_tree(site.mc.roots[0].fd, "box", NULL), 0);
	assert_int_equal(tidy_finish(&tidy, &deleted, &err), 0);
	assert_int_equal(deleted, 2);
	add_unit(&site, "locked", "", one);
	tidy = tidy_new(&site.mc);
	tidy_unit(&site, tidy, "locked", "", one);
	lock = user_lock(site.mc.locks_fd, "locked", USER_LOCK_UPLOAD, 0, &err);
	assert_int_equal(tidy_finish(&tidy, &deleted, &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	assert_superseded(&site, "mc/locked", BASE_1); /* deleted again by the next flush */
	close(lock);
	close_site(&site);
}

/* ---- threads ---- */

struct share {
	const struct site *site;
	struct tidy *tidy;
	int number;
};

static void *tidy_some(void *arg)
{
	const struct share *share = arg;

	for (int i = 0; i < 50; i++) {
		autofree char *user = xasprintf("u%d-%d", share->number, i);

		tidy_unit(share->site, share->tidy, user, "", two);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct share shares[4];
	pthread_t threads[4];
	struct err err = { 0 };
	uint64_t deleted = 0;
	struct tidy *tidy;
	struct site site;

	open_site(*state, "", &site);
	tidy = tidy_new(&site.mc);
	for (int t = 0; t < 4; t++) {
		for (int i = 0; i < 50; i++) {
			autofree char *user = xasprintf("u%d-%d", t, i);

			add_unit(&site, user, "", two);
		}
	}
	for (int t = 0; t < 4; t++) {
		shares[t] = (struct share){ &site, tidy, t };
		assert_int_equal(pthread_create(&threads[t], NULL, tidy_some, &shares[t]), 0);
	}
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	assert_int_equal(tidy_finish(&tidy, &deleted, &err), 0);
	assert_int_equal(deleted, 400);
	assert_superseded(&site, "mc/u3-49", "");
	assert_superseded(&site, "mc/u0-0", "");
	close_site(&site);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_finish),         scratch_test(test_delete),
		scratch_test(test_partly_deleted), scratch_test(test_store_is_away),
		scratch_test(test_batches),        scratch_test(test_gone_and_locked),
		scratch_test(test_threads),
	};

	return cmocka_run_group_tests_name("tidy", tests, NULL, NULL);
}
