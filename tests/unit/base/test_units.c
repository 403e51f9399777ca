/* Sizes and times, as Dovecot 2.3 reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/units.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "1000", 1000 },
		{ "5B", 5 },
		{ "5 b", 5 },
		{ "512M", 536870912 },
		{ "512m", 536870912 },
		{ "1 GiB", 1073741824 },
		{ "1ki", 1024 },
		{ "3kb", 3072 },
		{ "2T", 2199023255552 },
		{ "7 ", 7 },
		{ "18446744073709551615", UINT64_MAX },
		{ "16777215T", 16777215ULL << 40 },
	};
	static const char *const bad[] = {
		"",
		" 1",
		"-1",
		"+1",
		"M",
		"1.5M",
		"1P",
		"1KK",
		"1BB",
		"1Bi",
		"1iB",
		"1M ",
		"18446744073709551616",
		"16777216T",
		"0x10",
		"1e3",
		"1,0K",
		"1K1",
		"99999999999999999999999",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		uint64_t bytes = 77;

		if (units_parse_size(good[i].text, &bytes) < 0 || bytes != good[i].bytes)
			fail_msg("%s", good[i].text);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint64_t bytes;

		if (units_parse_size(bad[i], &bytes) == 0)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{ "0", 0 },
		{ "0 ", 0 },
		{ "5min", 300000 },
		{ "5 minutes", 300000 },
		{ "5m", 300000 },
		{ "5MI", 300000 },
		{ "2s", 2000 },
		{ "2 SECS", 2000 },
		{ "2second", 2000 },
		{ "250ms", 250 },
		{ "250 milli", 250 },
		{ "250mse", 250 },
		{ "8h", 28800000 },
		{ "1d", 86400000 },
		{ "2 weeks", 1209600000 },
		{ "49710d", 49710 * INT64_C(86400000) },
		{ "4294967295s", UNITS_TIME_MAX_MS },
	};
	static const char *const bad[] = {
		"",
		"5",
		"5 ",
		"s",
		"-1s",
		"5parsecs",
		"5minutess",
		"5y",
		"1.5h",
		"5s ",
		"49711d",
		"4294967296s",
		"99999999999999999999s",
		"1h30m",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		int64_t ms = 77;

		if (units_parse_time(good[i].text, &ms) < 0 || ms != good[i].ms)
			fail_msg("%s", good[i].text);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		int64_t ms;

		if (units_parse_time(bad[i], &ms) == 0)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void test_problems(void **state)
{
	(void)state;
	assert_string_equal(units_time_problem("5"), "is missing units (add e.g. 's' for seconds)");
	assert_string_equal(units_time_problem("50000d"), "is too large");
	assert_non_null(strstr(units_time_problem("x"), "is not a time"));
	assert_string_equal(units_size_problem("99999999T"), "is too large");
	assert_non_null(strstr(units_size_problem("x"), "is not a size"));
}

static void test_formats(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *exact, *brief;
	} sizes[] = {
		{ 0, "0", "0" },
		{ 999, "999", "999" },
		{ 1000, "1000", "1.0K" },
		{ 1024, "1K", "1.0K" },
		{ 1536, "1536", "1.5K" },
		{ 10239, "10239", "10K" },
		{ 1572864, "1536K", "1.5M" },
		{ 1048575, "1048575", "1.0M" },
		{ 536870912, "512M", "512M" },
		{ 1ULL << 50, "1024T", "1.0P" },
		{ UINT64_MAX, "18446744073709551615", "16E" },
	};
	static const struct {
		int64_t ms;
		const char *text;
	} times[] = {
		{ 0, "0" },          { 1, "1ms" },        { 1500, "1500ms" }, { 2000, "2s" },
		{ 90000, "90s" },    { 300000, "5min" },  { 28800000, "8h" }, { 86400000, "1d" },
		{ 604800000, "7d" }, { 90000000, "25h" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct units_text text = units_format_size(sizes[i].bytes);
		uint64_t again;

		assert_string_equal(text.s, sizes[i].exact);
		assert_int_equal(units_parse_size(text.s, &again), 0);
		assert_true(again == sizes[i].bytes);
		assert_string_equal(units_format_size_short(sizes[i].bytes).s, sizes[i].brief);
	}
	for (size_t i = 0; i < COUNT(times); i++) {
		struct units_text text = units_format_time(times[i].ms);
		int64_t again;

		assert_string_equal(text.s, times[i].text);
		assert_int_equal(units_parse_time(text.s, &again), 0);
		assert_true(again == times[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_problems),
		cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
