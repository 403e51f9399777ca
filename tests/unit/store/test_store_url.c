/* The URL chain: what is accepted and with which defaults, what is refused and
 * how, and that no message gives a secret away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/store_url.h"

#define SECRET "wJalrXUtnFEMI"

static void parse_ok(const char *chain, struct store_url *url)
{
	struct err err = { 0 };

	if (store_url_parse(chain, url, &err) < 0)
		fail_msg("%s: %s", chain, err.msg);
}

static void test_posix_chain(void **state)
{
	autostoreurl struct store_url url = { 0 };
	char *name;

	(void)state;
	parse_ok("compress:maybe-gz:6:posix:/srv/a:b", &url);
	assert_string_equal(url.posix_dir, "/srv/a:b");
	assert_string_equal(url.compression.name, "gz");
	assert_int_equal(url.compression.level, 6);
	name = store_url_name(&url);
	assert_string_equal(name, "posix /srv/a:b");
	free(name);
}

static void test_levels_are_optional(void **state)
{
	autostoreurl struct store_url plain = { 0 };
	autostoreurl struct store_url none = { 0 };
	autostoreurl struct store_url zstd = { 0 };

	(void)state;
	parse_ok("posix:/", &plain);
	assert_string_equal(plain.compression.name, "");
	parse_ok("compress:none:posix:/x", &none);
	assert_string_equal(none.compression.name, "none");
	parse_ok("compress:zstd:posix:/x", &zstd);
	assert_string_equal(zstd.compression.name, "zstd");
	assert_int_equal(zstd.compression.level, 0);
}

static void test_s3_defaults(void **state)
{
	autostoreurl struct store_url url = { 0 };
	const struct store_url_s3 *s3 = &url.s3;
	char *name;

	(void)state;
	parse_ok("fscache:512M:/var/cache/mails/%4Nu:compress:zstd:3:"
		 "s3:https://KEY:foo%2fbar%3A@s3.example.com/?bucket=mails",
		 &url);
	assert_int_equal(url.driver, STORE_URL_S3);
	assert_int_equal(url.fscache_limit_bytes, 512 << 20);
	assert_string_equal(url.fscache_path, "/var/cache/mails/%4Nu");
	assert_string_equal(s3->access_key, "KEY");
	assert_string_equal(s3->secret_key, "foo/bar:");
	assert_true(s3->tls);
	assert_true(s3->path_style);
	assert_string_equal(s3->host, "s3.example.com");
	assert_string_equal(s3->prefix, "");
	assert_string_equal(s3->region, "us-east-1");
	assert_int_equal(s3->read.timeout_ms, 10000);
	assert_int_equal(s3->connect_timeout_ms, 10000);
	assert_int_equal(s3->absolute_timeout_ms, 0);
	assert_int_equal(s3->slow_warn_ms, 5000);
	assert_int_equal(s3->write.max_retries, 4);
	assert_int_equal(s3->max_connect_retries, 2);
	assert_int_equal(s3->bulk_delete_limit, 1000);
	name = store_url_name(&url);
	assert_string_equal(name, "s3 mails at s3.example.com");
	free(name);
}

static void test_s3_parameters(void **state)
{
	autostoreurl struct store_url url = { 0 };
	const struct store_url_s3 *s3 = &url.s3;

	(void)state;
	parse_ok("s3:http://[::1]:9000/a%20b/c?bucket=m&region=eu-central-1&timeout=3s&"
		 "read_timeout=250ms&write_timeout_msecs=1500&connect_timeout=1s&max_retries=2&"
		 "delete_max_retries=0&max_connect_retries=7&slow_warn=0&bulk_delete_limit=5000&"
		 "absolute_timeout=1min&addhdr=X-A:%20b&addhdr=X-C:d&loghdr=X-Amz-Id-2",
		 &url);
	assert_false(s3->tls);
	assert_string_equal(s3->host, "[::1]:9000");
	assert_string_equal(s3->prefix, "a b/c/");
	assert_string_equal(s3->region, "eu-central-1");
	assert_null(s3->access_key);
	assert_int_equal(s3->read.timeout_ms, 250);
	assert_int_equal(s3->write.timeout_ms, 1500);
	assert_int_equal(s3->remove.timeout_ms, 3000);
	assert_int_equal(s3->connect_timeout_ms, 1000);
	assert_int_equal(s3->absolute_timeout_ms, 60000);
	assert_int_equal(s3->read.max_retries, 2);
	assert_int_equal(s3->remove.max_retries, 0);
	assert_int_equal(s3->max_connect_retries, 7);
	assert_int_equal(s3->slow_warn_ms, 0);
	assert_int_equal(s3->bulk_delete_limit, 1000);
	assert_int_equal(s3->add_headers.count, 2);
	assert_string_equal(s3->add_headers.items[0], "X-A: b");
	assert_string_equal(s3->add_headers.items[1], "X-C: d");
	assert_string_equal(s3->log_headers.items[0], "x-amz-id-2");
}

static void test_virtual_host(void **state)
{
	autostoreurl struct store_url url = { 0 };

	(void)state;
	parse_ok("aws-s3:https://dovecot-mails.s3.eu-central-1.amazonaws.com/?auth_role=s3access",
		 &url);
	assert_false(url.s3.path_style);
	assert_string_equal(url.s3.bucket, "dovecot-mails");
	assert_string_equal(url.s3.region, "eu-central-1");
	assert_string_equal(url.s3.auth_role, "s3access");
}

static const struct {
	const char *chain;
	const char *says; /* part of the message */
} refused[] = {
	{ "", "ends before a driver" },
	{ "posix", "ends before a driver" },
	{ "posix:", "is not absolute" },
	{ "posix:srv", "is not absolute" },
	{ "ftp:x", "unknown store driver 'ftp:'" },
	{ "https://K:" SECRET "@h/?bucket=b", "unknown store driver 'https:'" },
	{ "K/" SECRET ":x", "unknown part" },
	{ "compress:zstd", "is not followed by a store" },
	{ "compress:rar:posix:/x", "unknown algorithm \"rar\"" },
	{ "compress:zstd:23:posix:/x", "level 23 is not in 1 to 22" },
	{ "compress:gz:0:posix:/x", "level 0 is not in 1 to 9" },
	{ "compress:gz:4294967297:posix:/x", "level 42949672 is not in" },
	{ "compress:none:1:posix:/x", "level 1 is not in" },
	{ "compress:gz:compress:gz:posix:/x", "is there twice" },
	{ "fscache:512M", "must be followed by" },
	{ "fscache:512M:/x", "must be followed by" },
	{ "fscache:lots:/x:posix:/x", "size \"lots\"" },
	{ "fscache:1G:x:posix:/x", "path \"x\" is not absolute" },
	{ "fault:put@0=fail:posix:/x", "\"put@0=fail\" is not of the form" },
	{ "fault:put@1=truncate:posix:/x", "is not of the form" },
	{ "fault:put@1=fail,:posix:/x", "is not of the form" },
	{ "fault:posix:/x", "is not of the form" },
	{ "s3:s3.example.com", "neither https:// nor http://" },
	{ "s3:ftp://K:" SECRET "@h/", "neither https:// nor http://" },
	{ "s3:https://", "no valid host" },
	{ "s3:https:///x", "no valid host" },
	{ "s3:https://h:99999/?bucket=b", "no valid host" },
	{ "s3:https://h:/?bucket=b", "no valid host" },
	{ "s3:https://a b/?bucket=b", "no valid host" },
	{ "s3:https://[::1/?bucket=b", "no valid host" },
	{ "s3:https://K@h/?bucket=b", "is not KEY:SECRET" },
	{ "s3:https://:" SECRET "@h/?bucket=b", "is not KEY:SECRET" },
	{ "s3:https://K:%zz" SECRET "@h/?bucket=b", "is not KEY:SECRET" },
	{ "s3:https://K:%00" SECRET "@h/?bucket=b", "is not KEY:SECRET" },
	{ "s3:https://K:%0d%0a" SECRET "@h/?bucket=b", "is not KEY:SECRET" },
	{ "s3:https://K:a/" SECRET "@h/?bucket=b", "no valid host" },
	{ "s3:https://K:12/" SECRET "@h/?bucket=b", "a bare '@'" },
	{ "s3:https://K:12?" SECRET "@h/?bucket=b", "unknown parameter" },
	{ "s3:https://K:12#" SECRET "@h/?bucket=b", "has a '#'" },
	{ "s3:https://h/?bucket=b#c", "has a '#'" },
	{ "s3:https://h/../x?bucket=b", "component '..'" },
	{ "s3:https://h/a//b?bucket=b", "empty component" },
	{ "s3:https://h/%4?bucket=b", "broken %-escape" },
	{ "s3:https://localhost/", "no bucket" },
	{ "s3:http://127.0.0.1:9000/", "no bucket" },
	{ "s3:https://h/?bucket=", "is empty" },
	{ "s3:https://h/?bucket", "has no value" },
	{ "s3:https://h/?bucket=a&bucket=b", "is there twice" },
	{ "s3:https://h/?bucket=a/../b", "has characters" },
	{ "s3:https://h/?buckets=a", "unknown parameter 'buckets'" },
	{ "s3:https://h/?bucket=a&timeout_secs=1", "unknown parameter 'timeout_secs'" },
	{ "s3:https://h/?bucket=a&max_retries_msecs=1", "unknown parameter" },
	{ "s3:https://h/?bucket=a&timeout=10", "parameter timeout: \"10\"" },
	{ "s3:https://h/?bucket=a&timeout_msecs=1s", "is not a number" },
	{ "s3:https://h/?bucket=a&max_retries=-1", "is not a number" },
	{ "s3:https://h/?bucket=a&max_retries=99999999999999999999", "is not a number" },
	{ "s3:https://h/?bucket=a&addhdr=" SECRET, "not of the form" },
	{ "s3:https://h/?bucket=a&addhdr=X%0d%0aY:" SECRET, "broken %-escape" },
	{ "s3:https://h/?bucket=a&addhdr=X:", "has no value" },
	{ "s3:https://h/?bucket=a&loghdr=a%20b", "is no header name" },
	{ "s3:https://h/?bucket=a&addhdrvar=X:%25{user}", "only x-amz-security-token" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct err err = { 0 };

		if (store_check_url(refused[i].chain, &err) == 0)
			fail_msg("%s is accepted", refused[i].chain);
		assert_int_equal(err.code, ERR_CONFIG);
		if (!strstr(err.msg, refused[i].says))
			fail_msg("%s: %s", refused[i].chain, err.msg);
		if (strstr(err.msg, SECRET) || strstr(err.hint, SECRET))
			fail_msg("the secret is in: %s (%s)", err.msg, err.hint);
		assert_null(strchr(err.msg, '\n'));
	}
}

/* Cut anywhere, a good chain is refused or accepted, and never gives away more
 * than its length. */
static void test_every_beginning(void **state)
{
	static const char chain[] =
		"fscache:1G:/c:compress:zstd:3:fault:put@1=lost:"
		"s3:https://KEY:" SECRET "@h.example.com:80/p?bucket=b&timeout=1s";

	(void)state;
	for (size_t len = 0; len < sizeof chain; len++) {
		char *part = test_malloc(len + 1);
		struct err err = { 0 };

		memcpy(part, chain, len);
		part[len] = '\0';
		if (store_check_url(part, &err) < 0)
			assert_int_equal(err.code, ERR_CONFIG);
		assert_null(strstr(err.msg, "wJalr"));
		assert_null(strstr(err.hint, "wJalr"));
		test_free(part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_posix_chain),     cmocka_unit_test(test_levels_are_optional),
		cmocka_unit_test(test_s3_defaults),     cmocka_unit_test(test_s3_parameters),
		cmocka_unit_test(test_virtual_host),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
