#include "fixture.h"

#include "base/buf.h"
#include "base/clock.h"
#include "bundle/bundle_name.h"

#define U1 "00112233445566778899aabbccddeeff"
#define U2 "ffeeddccbbaa99887766554433221100"

static void test_parse(void **state)
{
	static const struct {
		const char *name;
		bool is_name, is_diff;
		int64_t time_us;
	} table[] = {
		{ "bundle.6553f100.1e240." U1, true, false, 1700000000123456 },
		{ "bundle.6553f100.1e240." U1 "-" U2, true, true, 1700000000123456 },
		{ "bundle.0.00000." U1, true, false, 0 },
		{ "bundle.1.f423f." U1, true, false, 1999999 },
		{ "bundle.8637bd05af5.f423f." U1, true, false, INT64_C(9223372036853999999) },
		/* usecs over a million, secs over what an int64_t of microseconds holds */
		{ "bundle.1.f4240." U1, false, false, 0 },
		{ "bundle.8637bd05af6.00000." U1, false, false, 0 },
		{ "bundle.fffffffffff.00000." U1, false, false, 0 },
		{ "bundle.ffffffffffffffffffff.00000." U1, false, false, 0 },
		{ "bundle.06553f100.1e240." U1, false, false, 0 },
		{ "bundle.00.1e240." U1, false, false, 0 },
		{ "bundle..1e240." U1, false, false, 0 },
		{ "bundle.6553F100.1e240." U1, false, false, 0 },
		{ "bundle.6553f100.1e24." U1, false, false, 0 },
		{ "bundle.6553f100.01e240." U1, false, false, 0 },
		{ "bundle.6553f100.1e240." U1 "0", false, false, 0 },
		{ "bundle.6553f100.1e240." U1 "-", false, false, 0 },
		{ "bundle.6553f100.1e240." U1 "-" U2 "0", false, false, 0 },
		{ "bundle.6553f100.1e240." U1 "-" U2 "-" U2, false, false, 0 },
		{ "bundle.6553f100.1e240.0011", false, false, 0 },
		{ "bundle.6553f100.1e240.00112233445566778899AABBCCDDEEFF", false, false, 0 },
		{ "bundle.6553f100.1e240", false, false, 0 },
		{ "bundle.6553f100", false, false, 0 },
		{ "bundle.", false, false, 0 },
		{ "bundle", false, false, 0 },
		{ "", false, false, 0 },
		{ "xbundle.0.00000." U1, false, false, 0 },
		{ "bundle.-1.00000." U1, false, false, 0 },
		{ "bundle. 1.00000." U1, false, false, 0 },
		{ "bundle.0.00000." U1 "\n", false, false, 0 },
	};
	struct bundle_name name;

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (bundle_name_parse(table[i].name, &name) != table[i].is_name)
			fail_msg("%s", table[i].name);
		if (!table[i].is_name)
			continue;
		assert_int_equal(name.is_diff, table[i].is_diff);
		assert_int_equal(name.base_time_us, table[i].time_us);
		assert_string_equal(name.base_unique, U1);
		assert_string_equal(name.diff_unique, table[i].is_diff ? U2 : "");
		assert_string_equal(bundle_name_own_unique(&name), table[i].is_diff ? U2 : U1);
	}
}

/* Every beginning of a name is no name. */
static void test_cut(void **state)
{
	static const char whole[] = "bundle.6553f100.1e240." U1 "-" U2;
	struct bundle_name name;

	(void)state;
	for (size_t len = 0; len < sizeof whole - 1; len++) {
		autofree char *cut = xstrndup(whole, len);

		assert_int_equal(bundle_name_parse(cut, &name),
				 len == strlen("bundle.6553f100.1e240." U1));
	}
}

static void test_make(void **state)
{
	static const int64_t times[] = { 0, 1, 999, 1000, 1700000000123456789, INT64_MAX, -5 };

	(void)state;
	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		autobuf struct buf base = { 0 }, diff = { 0 };
		struct bundle_name name;

		bundle_name_base(&base, times[i], U1);
		assert_true(bundle_name_parse(buf_str(&base), &name));
		assert_int_equal(name.base_time_us, times[i] < 0 ? 0 : times[i] / 1000);
		bundle_name_diff(&diff, buf_str(&base), U2);
		assert_true(bundle_name_parse(buf_str(&diff), &name));
		assert_true(name.is_diff);
	}
}

static void test_unique(void **state)
{
	char a[BUNDLE_UNIQUE_HEX + 1], b[BUNDLE_UNIQUE_HEX + 1];

	(void)state;
	bundle_name_unique(a);
	bundle_name_unique(b);
	assert_int_equal(strspn(a, "0123456789abcdef"), BUNDLE_UNIQUE_HEX);
	assert_int_equal(strlen(a), BUNDLE_UNIQUE_HEX);
	assert_string_not_equal(a, b);
}

static struct bundle_name parsed(const char *text)
{
	struct bundle_name name;

	assert_true(bundle_name_parse(text, &name));
	return name;
}

/* Tries of one writer are known by what they begin with, and ordered by their time. */
static void test_tries(void **state)
{
	autobuf struct buf early = { 0 }, late = { 0 }, base = { 0 };
	char try[BUNDLE_UNIQUE_HEX + 1];

	(void)state;
	bundle_name_base(&base, INT64_C(1700000000500000000), U2);
	bundle_name_try(U2, INT64_C(1700000000000000000), try);
	assert_int_equal(strlen(try), BUNDLE_UNIQUE_HEX);
	bundle_name_diff(&early, "bundle.1.00000." U1, try);
	bundle_name_try(U2, INT64_C(1700000001000000000), try);
	bundle_name_diff(&late, "bundle.1.00000." U1, try);

	const struct bundle_name first = parsed(buf_str(&early)), last = parsed(buf_str(&late));
	const struct bundle_name middle = parsed(buf_str(&base));

	assert_true(bundle_name_is_try_of(&first, U2));
	assert_true(bundle_name_is_try_of(&middle, U2));
	assert_false(bundle_name_is_try_of(&first, U1));
	assert_true(bundle_name_is_earlier_try(&first, &last));
	assert_false(bundle_name_is_earlier_try(&last, &first));
	assert_false(bundle_name_is_earlier_try(&first, &first));
	assert_true(bundle_name_is_earlier_try(&first, &middle));
	assert_true(bundle_name_is_earlier_try(&middle, &last));
	assert_false(bundle_name_is_earlier_try(&last, &middle));

	const struct bundle_name other = parsed("bundle.1.00000." U1);

	assert_false(bundle_name_is_earlier_try(&other, &last));
}

static void test_order(void **state)
{
	static const char *const sorted[] = {
		"bundle.1.00000." U2,        "bundle.2.00000." U1, "bundle.2.00000." U1 "-" U1,
		"bundle.2.00000." U1 "-" U2, "bundle.2.00000." U2, "bundle.2.00001." U1,
		"bundle.10.00000." U1, /* by time, not by text */
	};
	struct bundle_name a, b;

	(void)state;
	for (int i = 0; i < 7; i++)
		for (int j = 0; j < 7; j++) {
			int order;

			assert_true(bundle_name_parse(sorted[i], &a));
			assert_true(bundle_name_parse(sorted[j], &b));
			order = bundle_name_compare(&a, &b);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
}

static void test_allowed(void **state)
{
	static const struct {
		const char *name;
		unsigned depth_max; /* the least with which it is allowed; 0: never */
	} table[] = {
		{ "dovecot.index", 1 },
		{ ".hidden", 1 },
		{ "...", 1 },
		{ "a b", 1 },
		{ "-rf", 1 },
		{ "\xc3\xbc", 1 },
		{ "a/b", 2 },
		{ "a/b/c", 3 },
		{ "a/..b", 2 },
		{ "", 0 },
		{ "/", 0 },
		{ "/a", 0 },
		{ "a/", 0 },
		{ "a//b", 0 },
		{ ".", 0 },
		{ "..", 0 },
		{ "a/..", 0 },
		{ "../a", 0 },
		{ "a/./b", 0 },
		{ "./a", 0 },
		{ "a\nb", 0 },
		{ "a\x7f", 0 },
		{ "a\x1b[31m", 0 },
		{ "\xff", 0 },
		{ "\xc0\xaf", 0 },
		{ "\xed\xa0\x80", 0 },
		{ "a\xc2\x85", 0 },
		{ "\xe2\x80\xae"
		  "a",
		  0 },
		{ ".state", 0 },
		{ ".state.blocks", 0 },
		{ ".manifest.json", 0 },
		{ "a/.state", 0 },
		{ ".state/a", 0 },
		{ ".state.block", 1 },
		{ ".State", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		for (unsigned depth = 1; depth < 5; depth++)
			if (bundle_name_allowed(table[i].name, depth) !=
			    (table[i].depth_max != 0 && depth >= table[i].depth_max))
				fail_msg("\"%s\" at depth %u", table[i].name, depth);
}

static void test_allowed_length(void **state)
{
	char name[1200];

	(void)state;
	memset(name, 'a', sizeof name);
	name[255] = '\0';
	assert_true(bundle_name_allowed(name, 1));
	name[255] = 'a';
	name[256] = '\0';
	assert_false(bundle_name_allowed(name, 1));
	name[256] = 'a';
	for (size_t i = 200; i < sizeof name; i += 200)
		name[i] = '/';
	name[1024] = '\0';
	assert_true(bundle_name_allowed(name, 16));
	name[1024] = 'a';
	name[1025] = '\0';
	assert_false(bundle_name_allowed(name, 16));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),   cmocka_unit_test(test_cut),
		cmocka_unit_test(test_make),    cmocka_unit_test(test_unique),
		cmocka_unit_test(test_tries),   cmocka_unit_test(test_order),
		cmocka_unit_test(test_allowed), cmocka_unit_test(test_allowed_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
