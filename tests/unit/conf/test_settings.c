/* Settings: defaults, every kind of value, and what is said about a bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/settings.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HOME "mail_home = /srv/mail/%2Mu/%u\n"

static char dir[] = "/tmp/settings.XXXXXX";
static char conf[64];

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(conf, sizeof conf, "%s/test.conf", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(conf);
	return rmdir(dir);
}

static void write_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int load_with(struct settings *settings, const char *text, const char *override,
		     struct err *err)
{
	char *items[] = { (char *)(uintptr_t) override };
	struct str_vec overrides = { .items = items, .count = override ? 1 : 0 };

	write_file(conf, text, strlen(text));
	return settings_load(settings, conf, &overrides, err);
}

static void load(struct settings *settings, const char *text)
{
	struct err err = { 0 };

	if (load_with(settings, text, NULL, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
}

static void assert_words(const struct str_vec *vec, const char *joined)
{
	autobuf struct buf out = { 0 };

	for (size_t i = 0; i < vec->count; i++)
		buf_printf(&out, "%s%s", i > 0 ? " " : "", vec->items[i]);
	assert_string_equal(buf_str(&out), joined);
}

static void test_defaults(void **state)
{
	autosettings struct settings set = { 0 };

	(void)state;
	load(&set, HOME);
	assert_words(&set.roots, "/srv/mail");
	assert_string_equal(set.home_pattern, "%2Mu/%u");
	assert_string_equal(set.object_prefix, "%2Mu/%2.3Mu/%u");
	assert_null(set.obox_fs);
	assert_null(set.obox_index_fs);
	assert_int_equal(set.metacache_upload_interval_ms, 300000);
	assert_int_equal(set.metacache_close_delay_ms, 2000);
	assert_int_equal(set.metacache_forced_refresh_interval_ms, 8 * 3600 * 1000);
	assert_int_equal(set.metacache_rescan_interval_ms, 86400000);
	assert_int_equal(set.metacache_max_space_bytes, 0);
	assert_int_equal(set.metacache_max_grace_bytes, 1073741824);
	assert_int_equal(set.metacache_diff_min_bytes, 8192);
	assert_int_equal(set.metacache_max_parallel_requests, 10);
	assert_int_equal(set.metacache_index_merging, SETTINGS_MERGING_V2);
	assert_int_equal(set.metacache_merge_max_uid_renumbers, 100);
	assert_int_equal(set.obox_max_rescan_mail_count, 10);
	assert_words(&set.special_folders, "INBOX Junk Spam");
	assert_string_equal(set.state_dir, "/var/lib/metacache-tools");
	assert_string_equal(set.spool_dir, set.state_dir);
	assert_false(set.has_mail_uid);
	assert_false(set.has_mail_gid);
	assert_null(set.backend_host);
	assert_int_equal(set.user_lock_timeout_ms, 10000);
	assert_int_equal(set.index_lock_timeout_ms, 5000);
	assert_int_equal(set.director_timeout_ms, 10000);
}

static void test_default_weights(void **state)
{
	static const struct settings_priority_weight weights[] = {
		{ 10, 86400 }, { 10, 86400 }, { 50, 3600 }, { 100, 0 }
	};
	autosettings struct settings set = { 0 };

	(void)state;
	load(&set, HOME);
	for (size_t i = 0; i < SETTINGS_PRIORITIES; i++) {
		assert_int_equal(set.metacache_priority_weights[i].percent, weights[i].percent);
		assert_int_equal(set.metacache_priority_weights[i].adjust_s, weights[i].adjust_s);
	}
	assert_int_equal(set.metacache_size_weights.low_bytes, 2 << 20);
	assert_int_equal(set.metacache_size_weights.low_add, 30);
	assert_int_equal(set.metacache_size_weights.high_bytes, 1 << 30);
	assert_int_equal(set.metacache_size_weights.high_add, 120);
}

static void test_no_weights(void **state)
{
	static const struct settings_priority_weight none[SETTINGS_PRIORITIES] = { 0 };
	static const struct settings_size_weights no_sizes = { 0 };
	autosettings struct settings set = { 0 };

	(void)state;
	load(&set, HOME "metacache_priority_weights =\nmetacache_size_weights =\n");
	assert_memory_equal(set.metacache_priority_weights, none, sizeof none);
	assert_memory_equal(&set.metacache_size_weights, &no_sizes, sizeof no_sizes);
}

static void test_file(void **state)
{
	autosettings struct settings set = { 0 };

	(void)state;
	load(&set, "# comment = 1\n; comment\n\n  mail_home=%d/%n   \r\n"
		   "metacache_roots = /a/b/ /c\n"
		   "object_prefix = 'x y/%u'\n"
		   "obox_index_fs = \"s3:https://K:S@h/?a=b&c=d#e\" ; why\n"
		   "metacache_max_space = 512M\n"
		   "metacache_priority_weights = 0% -1h 5%  +2s 6% 0 7% +1w\n"
		   "metacache_size_weights = 1K +0 2K +5\n"
		   "metacache_index_merging = none\n"
		   "mail_uid = 0\nmail_gid = root\nspool_dir = /tmp/\n"
		   "fts_dirs =\nbackend_host = b1\nstate_dir = /a/bc");
	assert_words(&set.roots, "/a/b /c");
	assert_string_equal(set.home_pattern, "%d/%n");
	assert_string_equal(set.object_prefix, "x y/%u");
	assert_string_equal(set.obox_index_fs, "s3:https://K:S@h/?a=b&c=d#e");
	assert_int_equal(set.metacache_max_space_bytes, 512 << 20);
	assert_int_equal(set.metacache_priority_weights[0].adjust_s, -3600);
	assert_int_equal(set.metacache_priority_weights[1].adjust_s, 2);
	assert_int_equal(set.metacache_priority_weights[3].percent, 7);
	assert_int_equal(set.metacache_size_weights.high_bytes, 2048);
	assert_int_equal(set.metacache_index_merging, SETTINGS_MERGING_NONE);
	assert_true(set.has_mail_uid && set.has_mail_gid);
	assert_int_equal(set.mail_uid, 0);
	assert_int_equal(set.mail_gid, 0);
	assert_string_equal(set.spool_dir, "/tmp");
	assert_int_equal(set.fts_dirs.count, 0);
	assert_string_equal(set.backend_host, "b1");
}

static void test_bad_values(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "metacache_upload_interval = 5", "missing units" },
		{ "metacache_upload_interval = 5 parsecs", "is not a time" },
		{ "metacache_upload_interval =", "is not a time" },
		{ "metacache_max_space = 12Q", "\"12Q\" is not a size" },
		{ "metacache_max_space = 99999999T", "too large" },
		{ "metacache_max_parallel_requests = 0", "1 to 1000" },
		{ "metacache_max_parallel_requests = 1001", "1 to 1000" },
		{ "obox_max_rescan_mail_count = -1", "not a number" },
		{ "obox_max_rescan_mail_count = 2147483648", "not a number" },
		{ "obox_max_rescan_mail_count = 1x", "not a number" },
		{ "metacache_index_merging = v1", "accepted: v2, none" },
		{ "metacache_priority_weights = 10% +1d", "each of the 4 priorities" },
		{ "metacache_priority_weights = 101% 0 1% 0 1% 0 1% 0", "each of the 4" },
		{ "metacache_priority_weights = 1 0 1% 0 1% 0 1% 0", "each of the 4" },
		{ "metacache_priority_weights = 1% 5 1% 0 1% 0 1% 0", "each of the 4" },
		{ "metacache_priority_weights = 1% 5ms 1% 0 1% 0 1% 0", "each of the 4" },
		{ "metacache_size_weights = 2M +30", "two growing sizes" },
		{ "metacache_size_weights = 2M +30 2M +120", "two growing sizes" },
		{ "metacache_size_weights = 2M 30 1G +120", "two growing sizes" },
		{ "metacache_size_weights = 0 +30 1G +120", "two growing sizes" },
		{ "state_dir = var/lib", "not an absolute directory" },
		{ "state_dir = /", "not an absolute directory" },
		{ "state_dir = /a//b", "not an absolute directory" },
		{ "state_dir = /a/../b", "not an absolute directory" },
		{ "state_dir = /a/.", "not an absolute directory" },
		{ "metacache_roots = /a b", "not an absolute directory" },
		{ "fts_dirs = ../x", "below the home" },
		{ "fts_dirs = /x", "below the home" },
		{ "mail_uid = no-such-user-here", "no user of this host" },
		{ "mail_uid = 4294967295", "no user of this host" },
		{ "mail_gid = no-such-group-here", "no group of this host" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		autosettings struct settings set = { 0 };
		autobuf struct buf text = { 0 };
		autobuf struct buf start = { 0 };
		struct err err = { 0 };

		buf_printf(&text, "%s\n# x\n%s\n", HOME, cases[i].line);
		buf_printf(&start, "%s: line 4: %.*s", conf, (int)strcspn(cases[i].line, " "),
			   cases[i].line);
		if (load_with(&set, buf_str(&text), NULL, &err) == 0)
			fail_msg("accepted: %s", cases[i].line);
		assert_int_equal(err.code, ERR_CONFIG);
		if (strncmp(err.msg, buf_str(&start), start.len) != 0 ||
		    !strstr(err.msg, cases[i].says))
			fail_msg("%s: %s", cases[i].line, err.msg);
		assert_null(set.values);
	}
}

static void test_bad_files(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "mail_hom = /srv/%u\n", "line 1: unknown setting \"mail_hom\"" },
		{ HOME "nothing\n", "line 2: neither a comment nor key = value" },
		{ HOME "[global]\nstate_dir = /x\n", "line 3: this file has no sections" },
		{ HOME "\n" HOME, "line 3: mail_home was set in line 1 already" },
		{ HOME "state_dir = /a\n  /b\n", "line 3: neither" },
		{ "", "mail_home is not set" },
		{ "mail_home =\n", "mail_home is not set" },
		{ "mail_home = /srv/%n\n", "does not tell which user" },
		{ "mail_home = /srv/%u/\n", "ends in a slash" },
		{ "mail_home = /srv/../%u\n", "named . or .." },
		{ "mail_home = /srv/%x/%u\n", "unknown variable \"x\"" },
		{ "mail_home = /%u\n", "no leading directory" },
		{ "mail_home = %u\n", "metacache_roots is not set" },
		{ HOME "metacache_roots = /a\n", "metacache_roots is set too" },
		{ "mail_home = %u\nmetacache_roots = /a /a/b\n", "/a/b is in another root, /a" },
		{ "mail_home = %u\nmetacache_roots = /a /a/\n", "/a is in another root, /a" },
		{ HOME "state_dir = /srv/mail\n", "state_dir /srv/mail is in a root" },
		{ HOME "state_dir = /srv/mail/x\n", "is in a root" },
		{ HOME "spool_dir = /srv/mail/x\n", "spool_dir /srv/mail/x is in a root" },
		{ "mail_home = /s/locks/a/%u\nstate_dir = /s\n", "where user locks are" },
		{ HOME "object_prefix =\n", "object_prefix is empty" },
		{ HOME "object_prefix = /x/%u\n", "begins with a slash" },
		{ HOME "object_prefix = x/%2Mu\n", "does not tell which user" },
		{ HOME "doveadm_api_key = k\ndoveadm_api_key_file = /x\n", "both set" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		autosettings struct settings set = { 0 };
		struct err err = { 0 };

		if (load_with(&set, cases[i].text, NULL, &err) == 0)
			fail_msg("accepted: %s", cases[i].text);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_memory_equal(err.msg, conf, strlen(conf));
		if (!strstr(err.msg, cases[i].says))
			fail_msg("%s: %s", cases[i].text, err.msg);
	}
}

static void test_neighbours_are_fine(void **state)
{
	autosettings struct settings set = { 0 };
	autosettings struct settings inside = { 0 };

	(void)state;
	load(&set, "mail_home = %u\nmetacache_roots = /a /ab /a.b\nstate_dir = /abc\n");
	assert_int_equal(set.roots.count, 3);
	load(&inside, "mail_home = /s/cache/%u\nstate_dir = /s\n");
	assert_words(&inside.roots, "/s/cache");
}

static void test_hostile_files(void **state)
{
	autobuf struct buf text = { 0 };
	struct settings set;
	struct err err = { 0 };

	(void)state;
	buf_puts(&text, HOME "obox_fs = ");
	for (int i = 0; i < 15000; i++)
		buf_putc(&text, 'x');
	write_file(conf, text.data, text.len);
	assert_int_equal(settings_load(&set, conf, NULL, &err), 0);
	assert_int_equal(strlen(set.obox_fs), 15000);
	settings_free(&set);
	for (int i = 0; i < 1000; i++)
		buf_putc(&text, 'x');
	write_file(conf, text.data, text.len);
	assert_int_equal(settings_load(&set, conf, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "line 2: longer than"));
	write_file(conf, HOME "\0x", sizeof HOME + 1);
	assert_int_equal(settings_load(&set, conf, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "NUL"));
	while (text.len < 1100000)
		buf_puts(&text, "#\n");
	write_file(conf, text.data, text.len);
	assert_int_equal(settings_load(&set, conf, NULL, &err), -1);
	assert_non_null(strstr(err.msg, "larger than"));
	assert_int_equal(settings_load(&set, dir, NULL, &err), -1);
	assert_int_equal(err.code, ERR_CONFIG);
	assert_int_equal(settings_load(&set, "/nonexistent/x.conf", NULL, &err), -1);
	assert_int_equal(err.code, ERR_CONFIG);
	assert_non_null(strstr(err.msg, "no such file"));
}

static void test_overrides(void **state)
{
	static const struct {
		const char *override, *says;
		enum err_code code;
	} bad[] = {
		{ "secret-without-key", "key=value", ERR_USAGE },
		{ "=x", "key=value", ERR_USAGE },
		{ "metacache_max_spac=1", "-o: unknown setting", ERR_CONFIG },
		{ "metacache_max_space=1Q", "-o: metacache_max_space = \"1Q\"", ERR_CONFIG },
	};
	autosettings struct settings set = { 0 };
	struct err err = { 0 };

	(void)state;
	/* What an override hides need not be good. */
	assert_int_equal(
		load_with(&set, HOME "metacache_max_space = 1Q\n", "metacache_max_space=1G", &err),
		0);
	assert_int_equal(set.metacache_max_space_bytes, 1 << 30);
	for (size_t i = 0; i < COUNT(bad); i++) {
		autosettings struct settings none = { 0 };

		assert_int_equal(load_with(&none, HOME, bad[i].override, &err), -1);
		assert_int_equal(err.code, bad[i].code);
		assert_non_null(strstr(err.msg, bad[i].says));
		assert_null(strstr(err.msg, "secret"));
	}
}

static void test_nearest(void **state)
{
	static const struct {
		const char *key, *nearest;
	} cases[] = {
		{ "metacache_uplod_interval", "metacache_upload_interval" },
		{ "mail_hoem", "mail_home" },
		{ "obox_index_fs2", "obox_index_fs" },
		{ "Mail_home", "mail_home" },
		{ "something_else_entirely", NULL },
		{ "zzz", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct settings set;
		struct err err = { 0 };
		char text[100], hint[100] = "metacache-config lists the settings that there are";

		snprintf(text, sizeof text, "%s = 1\n", cases[i].key);
		if (cases[i].nearest)
			snprintf(hint, sizeof hint, "did you mean %s?", cases[i].nearest);
		assert_int_equal(load_with(&set, text, NULL, &err), -1);
		assert_string_equal(err.hint, hint);
	}
}

static void collect(void *ctx, const char *key, const char *value, const char *source)
{
	buf_printf(ctx, "%s=%s [%s]\n", key, value, source);
}

static void test_print_masks(void **state)
{
	static const struct {
		const char *value, *shown;
	} urls[] = {
		{ "s3:https://AK:SECRET@h/?bucket=b", "s3:https://***@h/?bucket=b" },
		{ "s3:https://AK:SE/CR/ET@h/x", "s3:https://***@h/x" },
		{ "s3:https://AK:SE?CRET@h/x", "s3:https://***@h/x" },
		{ "s3:https://AK:S@CRET@h/", "s3:https://***@h/" },
		{ "s3:https://AK:x@SECRET/y@h/", "s3:https://***@h/" },
		{ "s3:https://AK:SECRET@h/?a=b@c", "s3:https://***@h/?a=b@c" },
		{ "s3:https://h/?a=1&addhdr=X:SECRET&b=2", "s3:https://h/?a=1&addhdr=***&b=2" },
		{ "s3:https://h/?secret_key=SECRET", "s3:https://h/?secret_key=***" },
		{ "s3:https://h/?token", "s3:https://h/?token" },
		{ "posix:/srv/a@b", "posix:/srv/a@b" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(urls); i++) {
		autosettings struct settings set = { 0 };
		autobuf struct buf text = { 0 };
		autobuf struct buf line = { 0 };
		autobuf struct buf out = { 0 };

		buf_printf(&text, "%sobox_index_fs = %s\ndoveadm_api_key = SECRET\n", HOME,
			   urls[i].value);
		load(&set, buf_str(&text));
		settings_print(&set, collect, &out);
		buf_printf(&line, "\nobox_index_fs=%s [file]\n", urls[i].shown);
		if (!strstr(buf_str(&out), buf_str(&line)))
			fail_msg("%s: %s", urls[i].value, buf_str(&out));
		assert_null(strstr(buf_str(&out), "SECRET"));
		assert_non_null(strstr(buf_str(&out), "doveadm_api_key=*** [file]\n"));
	}
}

static void test_print_sources(void **state)
{
	autosettings struct settings set = { 0 };
	autobuf struct buf out = { 0 };

	(void)state;
	assert_int_equal(load_with(&set, HOME, "state_dir=/s", NULL), 0);
	settings_print(&set, collect, &out);
	assert_memory_equal(buf_str(&out), "mail_home=/srv/mail/%2Mu/%u [file]\n", 35);
	assert_non_null(strstr(buf_str(&out), "\nstate_dir=/s [override]\n"));
	assert_non_null(strstr(buf_str(&out), "\nspool_dir=/s [default]\n"));
	assert_non_null(strstr(buf_str(&out), "\ndoveadm_api_key= [default]\n"));
}

static void check_bad_key(const char *file, const char *override, const char *text, size_t len)
{
	autosettings struct settings set = { 0 };
	const char *key;

	write_file(file, text, len);
	assert_int_equal(load_with(&set, HOME, override, NULL), 0);
	assert_int_equal(settings_api_key(&set, &key, NULL), -1);
}

static void test_api_key_file(void **state)
{
	static const struct {
		const char *text, *key;
	} cases[] = {
		{ "k3y\n", "k3y" }, { "k3y", "k3y" },   { "", NULL },
		{ "\n\n", NULL },   { "a\nb\n", NULL },
	};
	char file[80], override[128], long_key[4096];

	(void)state;
	memset(long_key, 'k', sizeof long_key);
	snprintf(file, sizeof file, "%s/key", dir);
	snprintf(override, sizeof override, "doveadm_api_key_file=%s", file);
	for (size_t i = 0; i < COUNT(cases); i++) {
		autosettings struct settings set = { 0 };
		struct err err = { 0 };
		const char *key = NULL;

		write_file(file, cases[i].text, strlen(cases[i].text));
		assert_int_equal(load_with(&set, HOME, override, NULL), 0);
		assert_int_equal(settings_api_key(&set, &key, &err), cases[i].key ? 1 : -1);
		if (cases[i].key)
			assert_string_equal(key, cases[i].key);
		else
			assert_int_equal(err.code, ERR_CONFIG);
	}
	check_bad_key(file, override, "k\0y", 3);
	check_bad_key(file, override, long_key, sizeof long_key);
	unlink(file);
	for (int with_file = 0; with_file < 2; with_file++) {
		autosettings struct settings set = { 0 };
		const char *key;

		unsetenv(SETTINGS_API_KEY_ENV);
		assert_int_equal(load_with(&set, HOME, with_file ? override : NULL, NULL), 0);
		assert_int_equal(settings_api_key(&set, &key, NULL), with_file ? -1 : 0);
	}
}

/* The environment's key is the last choice. */
static void test_api_key_of_environment(void **state)
{
	static const struct {
		const char *override, *key; /* NULL: none */
	} cases[] = {
		{ NULL, "of-env" },
		{ "doveadm_api_key=of-setting", "of-setting" },
		{ "doveadm_api_key_file=/nosuch/key", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		autosettings struct settings set = { 0 };
		const char *key = NULL;

		setenv(SETTINGS_API_KEY_ENV, "of-env", 1);
		assert_int_equal(load_with(&set, HOME, cases[i].override, NULL), 0);
		setenv(SETTINGS_API_KEY_ENV, "", 1);
		assert_int_equal(settings_api_key(&set, &key, NULL), cases[i].key ? 1 : -1);
		if (cases[i].key)
			assert_string_equal(key, cases[i].key);
		settings_free(&set);
		assert_int_equal(load_with(&set, HOME, NULL, NULL), 0);
		assert_int_equal(settings_api_key(&set, &key, NULL), 0);
	}
	unsetenv(SETTINGS_API_KEY_ENV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_default_weights),
		cmocka_unit_test(test_no_weights),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_neighbours_are_fine),
		cmocka_unit_test(test_hostile_files),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_print_masks),
		cmocka_unit_test(test_print_sources),
		cmocka_unit_test(test_api_key_file),
		cmocka_unit_test(test_api_key_of_environment),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
