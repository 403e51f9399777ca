/* %variables: the same bytes as Dovecot, and back. The table of expansions was
 * made with var_expand() of libdovecot 2.3.19. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/expand.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
	const char *user, *pattern, *text;
} expansions[] = {
	{ "user@example.com", "%u", "user@example.com" },
	{ "user@example.com", "%n", "user" },
	{ "user@example.com", "%d", "example.com" },
	{ "user@example.com", "%{user}|%{username}|%{domain}",
	  "user@example.com|user|example.com" },
	{ "user@example.com", "%2Mu/%2.3Mu", "b5/899" },
	{ "user@example.com", "%4Nu", "3" },
	{ "user@example.com", "%2.256Nu", "87" },
	{ "user@example.com", "%8.16Nu", "00000007" },
	{ "user@example.com", "%2Hu", "1" },
	{ "user@example.com", "%Hu", "14d67dd" },
	{ "user@example.com", "%50Hu", "1b" },
	{ "user@example.com", "%4.8Hn", "0002" },
	{ "user@example.com", "%Nu", "4c56387" },
	{ "user@example.com", "%Lu", "user@example.com" },
	{ "user@example.com", "%Uu", "USER@EXAMPLE.COM" },
	{ "user@example.com", "%Ru", "moc.elpmaxe@resu" },
	{ "user@example.com", "%3u", "use" },
	{ "user@example.com", "%3.2u", "r@" },
	{ "user@example.com", "%3.-2u", "r@example.c" },
	{ "user@example.com", "%-3.2u", "co" },
	{ "user@example.com", "%-3u", "use" },
	{ "user@example.com", "%0.-1u", "user@example.co" },
	{ "user@example.com", "%-4.-1u", ".co" },
	{ "user@example.com", "%020n", "0000000000000000user" },
	{ "user@example.com", "%03n", "user" },
	{ "user@example.com", "%1.020n", "00000000000000000ser" },
	{ "user@example.com", "%30.2u", "" },
	{ "user@example.com", "%Du", "user@example,dc=com" },
	{ "user@example.com", "%Eu", "user@example.com" },
	{ "user@example.com", "%Tu", "user@example.com" },
	{ "user@example.com", "%Xn", "0" },
	{ "user@example.com", "%LMu", "b58996c504c5638798eb6b511e6f49af" },
	{ "user@example.com", "%MLu", "b58996c504c5638798eb6b511e6f49af" },
	{ "user@example.com", "%MMu", "87a0750d0b444a819b6bafe5102f2d70" },
	{ "user@example.com", "%RLu", "moc.elpmaxe@resu" },
	{ "user@example.com", "%u%%%n", "user@example.com%user" },
	{ "user@example.com", "%5%", "%" },
	{ "user@example.com", "%LLLLLLLLLLu", "user@example.com" },
	{ "user@example.com", "%-100.2u", "us" },
	{ "user@example.com", "%.-100u", "user@example.com" },
	{ "user@example.com", "%.-16u", "" },
	{ "user@example.com", "%2.02u", "er@example.com" },
	{ "user@example.com", "%0.05d", "example.com" },
	{ "user@example.com", "%-2.-1Nu", "4c56387" },
	{ "user@example.com", "%R{user}", "moc.elpmaxe@resu" },
	{ "Bob", "%2Mu/%2.3Mu", "2f/c1c" },
	{ "Bob", "%4Nu", "0" },
	{ "Bob", "%2.256Nu", "70" },
	{ "Bob", "%8.16Nu", "00000000" },
	{ "Bob", "%2Hu", "0" },
	{ "Bob", "%Hu", "4952" },
	{ "Bob", "%50Hu", "14" },
	{ "Bob", "%4.8Hn", "0002" },
	{ "Bob", "%Nu", "b992cd70" },
	{ "Bob", "%Lu", "bob" },
	{ "Bob", "%Uu", "BOB" },
	{ "Bob", "%Ru", "boB" },
	{ "Bob", "%3u", "Bob" },
	{ "Bob", "%3.2u", "" },
	{ "Bob", "%3.-2u", "" },
	{ "Bob", "%-3.2u", "Bo" },
	{ "Bob", "%-3u", "Bob" },
	{ "Bob", "%0.-1u", "Bo" },
	{ "Bob", "%-4.-1u", "Bo" },
	{ "Bob", "%020n", "00000000000000000Bob" },
	{ "Bob", "%03n", "Bob" },
	{ "Bob", "%1.020n", "000000000000000000ob" },
	{ "Bob", "%30.2u", "" },
	{ "Bob", "%Du", "Bob" },
	{ "Bob", "%Eu", "Bob" },
	{ "Bob", "%Tu", "Bob" },
	{ "Bob", "%Xn", "0" },
	{ "Bob", "%LMu", "9f9d51bc70ef21ca5c14f307980a29d8" },
	{ "Bob", "%MLu", "2fc1c0beb992cd7096975cfebf9d5c3b" },
	{ "Bob", "%MMu", "a75b847bc81579bb60bbeea2e4b6b792" },
	{ "Bob", "%RLu", "bob" },
	{ "Bob", "%u%%%n", "Bob%Bob" },
	{ "a.b@c@D.e", "%2Mu/%2.3Mu", "82/fcc" },
	{ "a.b@c@D.e", "%4Nu", "1" },
	{ "a.b@c@D.e", "%2.256Nu", "8d" },
	{ "a.b@c@D.e", "%8.16Nu", "0000000d" },
	{ "a.b@c@D.e", "%2Hu", "1" },
	{ "a.b@c@D.e", "%Hu", "6672305" },
	{ "a.b@c@D.e", "%50Hu", "13" },
	{ "a.b@c@D.e", "%4.8Hn", "0002" },
	{ "a.b@c@D.e", "%Nu", "2e654a8d" },
	{ "a.b@c@D.e", "%Lu", "a.b@c@d.e" },
	{ "a.b@c@D.e", "%Uu", "A.B@C@D.E" },
	{ "a.b@c@D.e", "%Ru", "e.D@c@b.a" },
	{ "a.b@c@D.e", "%3u", "a.b" },
	{ "a.b@c@D.e", "%3.2u", "@c" },
	{ "a.b@c@D.e", "%3.-2u", "@c@D" },
	{ "a.b@c@D.e", "%-3.2u", "D." },
	{ "a.b@c@D.e", "%-3u", "a.b" },
	{ "a.b@c@D.e", "%0.-1u", "a.b@c@D." },
	{ "a.b@c@D.e", "%-4.-1u", "@D." },
	{ "a.b@c@D.e", "%020n", "00000000000000000a.b" },
	{ "a.b@c@D.e", "%03n", "a.b" },
	{ "a.b@c@D.e", "%1.020n", "000000000000000000.b" },
	{ "a.b@c@D.e", "%30.2u", "" },
	{ "a.b@c@D.e", "%Du", "a,dc=b@c@D,dc=e" },
	{ "a.b@c@D.e", "%Eu", "a.b@c@D.e" },
	{ "a.b@c@D.e", "%Tu", "a.b@c@D.e" },
	{ "a.b@c@D.e", "%Xn", "0" },
	{ "a.b@c@D.e", "%LMu", "3fdf04315a776f40465df04a0afe9952" },
	{ "a.b@c@D.e", "%MLu", "82fcc0b32e654a8db9f8ed53a29c1dc6" },
	{ "a.b@c@D.e", "%MMu", "9d3963eb79de7814d05099ae0b4929e7" },
	{ "a.b@c@D.e", "%RLu", "e.d@c@b.a" },
	{ "a.b@c@D.e", "%u%%%n", "a.b@c@D.e%a.b" },
	{ "a\"b'c\\d", "%Eu", "a\\\"b\\'c\\\\d" },
	{ "12345@7", "%Xn/%Xd/%Xu", "3039/7/0" },
	{ "99999999999999999999@x", "%Xn", "0" },
	{ "x @y", "%Tn|%n|", "x|x |" },
	{ "alone", "%n,%d,%u", "alone,,alone" },
	{ "a@b@c", "%n,%d", "a,b@c" },
	{ "\xc3\x89t\xc3\xa9", "%Lu", "\xc3\x89t\xc3\xa9" },
};

static void test_expansions(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(expansions); i++) {
		autobuf struct buf out = { 0 };
		struct expand_user user;
		struct err err = { 0 };

		buf_puts(&out, ">");
		if (expand_user_init(&user, expansions[i].user, &err) < 0 ||
		    expand_text(expansions[i].pattern, &user, &out, &err) < 0)
			fail_msg("%s: %s", expansions[i].pattern, err.msg);
		if (strcmp(buf_str(&out) + 1, expansions[i].text) != 0)
			fail_msg("%s of %s: %s, not %s", expansions[i].pattern, expansions[i].user,
				 buf_str(&out) + 1, expansions[i].text);
	}
}

static void test_bad_patterns(void **state)
{
	static const char *const bad[] = {
		"%",         "a/%2.3M",   "%x",
		"%{nope}",   "%{user",    "%{}",
		"%h",        "%{home}",   "%99999999999u",
		"%05000u",   "%5000.3Nu", "%{user}%",
		"%2.3",      "%-",        "%LLLLLLLLLLLu",
		"%{user:x}", "%{{user}}",
	};
	autobuf struct buf out = { 0 };
	struct expand_user user;

	(void)state;
	assert_int_equal(expand_user_init(&user, "u@d", NULL), 0);
	buf_puts(&out, "kept");
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct err err = { 0 };

		if (expand_text(bad[i], &user, &out, &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_string_equal(buf_str(&out), "kept");
	}
}

static void test_home_variable(void **state)
{
	autobuf struct buf out = { 0 };
	struct expand_user user;

	(void)state;
	assert_int_equal(expand_user_init(&user, "u@d", NULL), 0);
	user.home = "/home/u";
	assert_int_equal(expand_text("%h,%{home},%2h", &user, &out, NULL), 0);
	assert_string_equal(buf_str(&out), "/home/u,/home/u,/h");
}

static void test_too_long(void **state)
{
	autobuf struct buf pattern = { 0 };
	autobuf struct buf out = { 0 };
	struct expand_user user;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(expand_user_init(&user, "0123456789", NULL), 0);
	for (int i = 0; i < 409; i++)
		buf_puts(&pattern, "%u");
	assert_int_equal(expand_text(buf_str(&pattern), &user, &out, &err), 0);
	buf_puts(&pattern, "%u");
	assert_int_equal(expand_text(buf_str(&pattern), &user, &out, &err), -1);
	assert_int_equal(out.len, 4090);
}

static void test_users(void **state)
{
	static const char *const good[] = {
		"user@example.com",
		"12345",
		"-x",
		"a@b@c",
		"h\xc3\xa9@x",
		"a%b",
		"x..y",
		"a b",
		"*",
	};
	static const char *const bad[] = {
		"",          ".",     "..", ".trash", "../x", "a/b",      "a\nb", "a\x7f",
		"a\xc2\x85", "a\xff", "@x", "a@",     "@",    "\xc0\xaf", "/etc", "a\xe2\x80\xae",
	};
	char longest[257];

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_int_equal(expand_user_check(good[i], NULL), 0);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct err err = { 0 };

		if (expand_user_check(bad[i], &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_USAGE);
		for (const char *p = err.msg; *p != '\0'; p++)
			assert_true((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
	}
	memset(longest, 'x', 256);
	longest[256] = '\0';
	assert_int_equal(expand_user_check(longest, NULL), -1);
	longest[255] = '\0';
	assert_int_equal(expand_user_check(longest, NULL), 0);
}

static void test_unsafe_paths(void **state)
{
	static const struct {
		const char *user, *pattern;
	} cases[] = {
		{ "bob", "%d/%n" },       { "bob", "%n/%d" },     { "ab@..", "%d/%n" },
		{ "ab@.", "x/%d/%u" },    { "..x@d", "%n" },      { "a..@d", "%2.2n/%u" },
		{ "a..b@d", "%1.2u/%u" }, { "a.@d", "%1.1u/%u" }, { "abc", "%u//x" },
		{ "abc", "%u/" },         { "abc", "" },          { "abc", "%9.1u/%u" },
		{ "abc", "%0256u" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		autobuf struct buf out = { 0 };
		struct expand_user user;
		struct err err = { 0 };

		if (expand_user_init(&user, cases[i].user, NULL) < 0)
			continue;
		if (expand_path(cases[i].pattern, &user, &out, &err) == 0)
			fail_msg("%s of %s: %s", cases[i].pattern, cases[i].user, buf_str(&out));
		assert_int_equal(out.len, 0);
		assert_int_equal(err.code, ERR_USAGE);
	}
}

static void test_inverse(void **state)
{
	static const struct {
		const char *pattern, *path, *user; /* NULL: nobody's */
	} cases[] = {
		{ "%2Mu/%u", "b5/user@example.com", "user@example.com" },
		{ "%2Mu/%u", "b6/user@example.com", NULL },
		{ "%2Mu/%u", "b5/USER@example.com", NULL },
		{ "%2Mu/%2.3Mu/%u", "b5/899/user@example.com", "user@example.com" },
		{ "%2Mu/%2.3Mu/%u", "b5/user@example.com", NULL },
		{ "%2Mu/%2.3Mu/%u", "b5/899/user@example.com/x", NULL },
		{ "%2Mu/%2.3Mu/%u", "b5/899/user@example.com/", NULL },
		{ "%2Mu/%2.3Mu/%u", "b5//user@example.com", NULL },
		{ "/srv/%d/%n", "/srv/example.com/user", "user@example.com" },
		{ "/srv/%d/%n", "srv/example.com/user", NULL },
		{ "/srv/%d/%n", "/srw/example.com/user", NULL },
		{ "/srv/%d/%n", "/srv/example.com/us@er", NULL },
		{ "%n/%d/mail", "user/example.com/mail", "user@example.com" },
		{ "%n/%d/mail", "user/example.com/mai", NULL },
		{ "%n/%d/mail", "user/example.com/mail2", NULL },
		{ "%n@%d", "user@example.com", "user@example.com" },
		{ "%n@%d", "user", NULL },
		{ "%n@%d", "a@b@c", "a@b@c" },
		{ "%d/u-%n.mail", "d/u-joe.mail", "joe@d" },
		{ "%d/u-%n.mail", "d/u-.mail", NULL },
		{ "%d/u-%n.mail", "d/u-mail", NULL },
		{ "d_%d/%n", "d_/joe", "joe" },
		{ "%{domain}/%{username}", "d/joe", "joe@d" },
		{ "100%%/%u", "100%/joe", "joe" },
		{ "%u/%u", "joe/joe", "joe" },
		{ "%u/%u", "joe/jim", NULL },
		{ "%Lu/%u", "joe@d/Joe@D", "Joe@D" },
		{ "%u.%2Mu/%u", "joe@d.x/joe@d", NULL },
		{ "%u", ".trash", NULL },
		{ "%u", "..", NULL },
		{ "%u", "a\nb", NULL },
		{ "%u", "a\xff", NULL },
		{ "%u", "", NULL },
		{ "%u", "a@", NULL },
		{ "x/%u", "x", NULL },
		{ "x/%u", "x/", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		autobuf struct buf user = { 0 };
		struct err err = { 0 };
		int ret = expand_invert(cases[i].pattern, cases[i].path, &user, &err);

		if (ret != (cases[i].user != NULL) ||
		    (ret > 0 && strcmp(buf_str(&user), cases[i].user) != 0))
			fail_msg("%s, %s: %d %s %s", cases[i].pattern, cases[i].path, ret,
				 buf_str(&user), err.msg);
		assert_int_equal(expand_check(cases[i].pattern, NULL), 0);
	}
}

static void test_not_invertible(void **state)
{
	static const struct {
		const char *pattern, *path;
	} cases[] = {
		{ "%n", "x" },    { "%d", "x" },       { "%Lu", "x" },  { "%4u", "x" },
		{ "%2Mu", "x" },  { "%n-%d", "x" },    { "%u%n", "x" }, { "%d@%n", "x@y" },
		{ "x/y", "x/y" }, { "%Ln/%d", "x/y" },
	};
	static const char *const bad[] = {
		"", "/", "%u/", "a//%u", "./%u", "../%u", "%u/..", "%x/%u", "%u/%h", "%u%",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		autobuf struct buf user = { 0 };
		struct err err = { 0 };

		assert_int_equal(expand_check(cases[i].pattern, &err), -1);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_non_null(strstr(err.hint, "%u"));
		assert_int_equal(expand_check_text(cases[i].pattern, NULL), 0);
		assert_int_equal(expand_invert(cases[i].pattern, cases[i].path, &user, NULL), -1);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct err err = { 0 };

		if (expand_check(bad[i], &err) == 0 || expand_check_text(bad[i], NULL) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_CONFIG);
	}
}

static void test_static_prefix(void **state)
{
	static const struct {
		const char *pattern, *prefix, *rest;
		size_t depth; /* of the rest */
	} cases[] = {
		{ "/srv/mail/%d/%n", "/srv/mail", "%d/%n", 2 },
		{ "/var/lib/metacache/%2Mu/%2.3Mu/%u", "/var/lib/metacache", "%2Mu/%2.3Mu/%u", 3 },
		{ "/srv/m%d/%n/x", "/srv", "m%d/%n/x", 3 },
		{ "/%u", "", "%u", 1 },
		{ "%u/x", "", "%u/x", 2 },
		{ "a/b/%u", "a/b", "%u", 1 },
		{ "/srv/100%%/%u", "/srv/100%", "%u", 1 },
		{ "/srv/mail", "/srv/mail", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		autobuf struct buf prefix = { 0 };

		buf_puts(&prefix, "old");
		assert_string_equal(expand_static_prefix(cases[i].pattern, &prefix), cases[i].rest);
		assert_string_equal(buf_str(&prefix), cases[i].prefix);
		assert_int_equal(expand_depth(cases[i].rest), cases[i].depth);
	}
}

static void test_mask(void **state)
{
	static const struct {
		const char *pattern, *mask;
	} cases[] = {
		{ "", "" },
		{ "%4Nu", "*" },
		{ "x%4Nu/%2.3Mu.%Ld", "x*/*.*" },
		{ "%{user}/a", "*/a" },
		{ "100%%", "100%" },
	};
	autobuf struct buf mask = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(expand_mask(cases[i].pattern, &mask, NULL), 0);
		assert_string_equal(buf_str(&mask), cases[i].mask);
	}
	assert_int_equal(expand_mask("%4", &mask, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expansions),    cmocka_unit_test(test_bad_patterns),
		cmocka_unit_test(test_home_variable), cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_users),         cmocka_unit_test(test_unsafe_paths),
		cmocka_unit_test(test_inverse),       cmocka_unit_test(test_not_invertible),
		cmocka_unit_test(test_static_prefix), cmocka_unit_test(test_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
