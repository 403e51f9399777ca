#include "fixture.h"

#include <sys/file.h>

#include "base/clock.h"
#include "metacache/boot.h"

#define HEADER "metacache-tools reboots 1\n"
#define S INT64_C(1000000000)

/* Boots of "b1" that began at 1000, 2000, …, each two seconds after its /proc was made, noted
 * with an uptime that fits a clock which nobody has set. */
#define STAMP(n) n "998.000000000"
#define LINE(n, clean, host) STAMP(n) " " n "999.000000000 0.000000000 " clean " " host "\n"
#define AT(n, s) (((n)*1000 + 999 + (s)) * S)
#define NOW AT(9, 0)

/* The running boot's uptime has to be of this machine: it is "now", and began at 8999. */
static void put_reboots(int dirfd, const char *text)
{
	put(dirfd, "reboots", text);
}

static char *running_line(const char *clean)
{
	int64_t uptime_ms = clock_mono_ms() - (NOW - AT(8, 0)) / 1000000;

	/* A machine that is up for less than that would need a time before its start. */
	if (uptime_ms < 0)
		uptime_ms = 0;
	return xasprintf(STAMP("8") " 8999.000000000 %lld.%03lld000000 %s b1\n",
			 (long long)(uptime_ms / 1000), (long long)(uptime_ms % 1000), clean);
}

static void load(int dirfd, struct boots *boots_r)
{
	boot_load(dirfd, "b1", STAMP("8"), boots_r);
}

static void test_judge(void **state)
{
	const struct scratch *scratch = *state;
	static const struct {
		const char *before; /* lines before the running one */
		const char *stamp, *host;
		int64_t newest_ns;
		enum boot_verdict verdict;
		const char *why;
	} rows[] = {
		/* In this boot, and in a clean and a crashed one. */
		{ "", STAMP("8"), "b1", AT(8, 5), BOOT_WHOLE, NULL },
		{ LINE("1", "1999.500000000", "b1"), STAMP("1"), "b1", AT(1, 0), BOOT_WHOLE, NULL },
		{ LINE("1", "-", "b1"), STAMP("1"), "b1", AT(1, 5), BOOT_CRASHED, NULL },
		{ LINE("1", "-", "b1"), STAMP("1"), "b1", AT(0, 0), BOOT_CRASHED, NULL },
		/* Before a clean stop: whatever crashed since. */
		{ LINE("1", "1999.500000000", "b1") LINE("2", "-", "b1"), STAMP("1"), "b1",
		  AT(1, 0), BOOT_WHOLE, NULL },
		/* Dovecot wrote later: in a boot that crashed, one that did not, this one. */
		{ LINE("1", "1999.500000000", "b1") LINE("2", "-", "b1"), STAMP("1"), "b1",
		  AT(2, 0), BOOT_CRASHED, NULL },
		{ LINE("1", "-", "b1") LINE("2", "3000.000000000", "b1"), STAMP("1"), "b1",
		  AT(2, 1), BOOT_WHOLE, NULL },
		{ LINE("1", "-", "b1") LINE("2", "-", "b1"), STAMP("1"), "b1", AT(8, 0), BOOT_WHOLE,
		  NULL },
		{ LINE("1", "-", "b1"), STAMP("1"), "b1", AT(99, 0), BOOT_WHOLE, NULL },
		/* Soon after the mark, and when it was not taken off by who went on for longer. */
		{ LINE("1", "1999.500000000", "b1"), STAMP("1"), "b1", AT(1, 30), BOOT_UNKNOWN,
		  "after its boot was marked clean" },
		{ LINE("1", "1999.500000000", "b1"), STAMP("1"), "b1", AT(1, 100), BOOT_CRASHED,
		  NULL },
		{ LINE("1", "1999.500000000", "b1"), NULL, NULL, AT(1, 100), BOOT_CRASHED, NULL },
		/* The next one ran, but was not noted yet; another host's is not the next. */
		{ LINE("1", "1999.500000000",
		       "b1") "2500.000000000 4999.000000000 0.000000000 - b1\n",
		  STAMP("1"), "b1", AT(2, 0), BOOT_UNKNOWN, "after its boot was marked clean" },
		{ LINE("1", "1999.500000000", "b1") LINE("1", "-", "b2"), STAMP("1"), "b1",
		  AT(2, 0), BOOT_CRASHED, NULL },
		/* Times that can't be. */
		{ LINE("1", "1999.500000000", "b1") LINE("3", "-", "b1") LINE("2", "-", "b1"),
		  STAMP("1"), "b1", AT(1, 100), BOOT_UNKNOWN, "one after the other" },
		/* Not listed, another host's, another host's line. */
		{ LINE("1", "-", "b1"), STAMP("3"), "b1", AT(1, 0), BOOT_UNKNOWN,
		  "not in reboots" },
		{ LINE("1", "-", "b1"), STAMP("1"), "b2", AT(1, 0), BOOT_UNKNOWN, "another host" },
		{ LINE("1", "-", "b2"), STAMP("1"), "b1", AT(1, 0), BOOT_UNKNOWN,
		  "not in reboots" },
		{ LINE("1", "-", "b 1"), STAMP("1"), "b1", AT(1, 0), BOOT_UNKNOWN,
		  "not in reboots" },
		/* Times that can't be: from the future, out of order, before the last one's mark.
		 */
		{ LINE("9000000", "-", "b1"), STAMP("9000000"), "b1", AT(1, 0), BOOT_UNKNOWN,
		  "one after the other" },
		{ LINE("2", "-", "b1") LINE("1", "-", "b1"), STAMP("2"), "b1", AT(0, 0),
		  BOOT_UNKNOWN, "one after the other" },
		{ LINE("1", "3500.000000000", "b1") LINE("2", "-", "b1"), STAMP("1"), "b1",
		  AT(1, 3), BOOT_WHOLE, NULL },
		{ LINE("1", "3500.000000000", "b1") LINE("2", "-", "b1"), STAMP("1"), "b1",
		  AT(2, 200), BOOT_UNKNOWN, "one after the other" },
		{ LINE("1", "3500.000000000", "b1") LINE("2", "-", "b1"), NULL, NULL, AT(2, 200),
		  BOOT_UNKNOWN, "one after the other" },
		/* Another host's lines are not asked. */
		{ LINE("1", "-", "b1") LINE("9000000", "-", "b2"), STAMP("1"), "b1", AT(1, 0),
		  BOOT_CRASHED, NULL },
		/* A torn .state: by time alone. */
		{ LINE("1", "-", "b1") LINE("2", "3000.000000000", "b1"), NULL, NULL, AT(1, 0),
		  BOOT_CRASHED, NULL },
		{ LINE("1", "-", "b1") LINE("2", "3000.000000000", "b1"), NULL, NULL, AT(2, 1),
		  BOOT_WHOLE, NULL },
		{ LINE("1", "-", "b1"), NULL, NULL, AT(0, 0), BOOT_UNKNOWN, "not in reboots" },
		/* No lines before, but of it. */
		{ "", STAMP("1"), "b1", AT(1, 0), BOOT_UNKNOWN, "not in reboots" },
	};

	clock_set_for_test(NOW);
	for (size_t i = 0; i < ROWS(rows); i++) {
		autofree char *running = running_line("-");
		autofree char *text = xasprintf(HEADER "%s%s", rows[i].before, running);
		autoboots struct boots boots = { 0 };
		enum boot_verdict verdict;
		const char *why = NULL;

		put_reboots(scratch->fd, text);
		load(scratch->fd, &boots);
		assert_int_equal(boots.unknown.code, ERR_NONE);
		verdict = boot_judge(&boots, rows[i].stamp, rows[i].host, rows[i].newest_ns, &why);
		if (verdict != rows[i].verdict)
			fail_msg("row %zu: %d, not %d", i, verdict, rows[i].verdict);
		if (rows[i].why && (!why || !strstr(why, rows[i].why)))
			fail_msg("row %zu: %s", i, why ? why : "no reason");
	}
	clock_set_for_test(0);
}

/* What is wrong with the file leaves nothing but this boot known. */
static void test_unknown(void **state)
{
	const struct scratch *scratch = *state;
	autofree char *running = running_line("-");
	const struct {
		const char *text;
		const char *why;
		enum err_code code;
	} rows[] = {
		{ NULL, "no such file", ERR_NOTFOUND },
		{ "", "damaged", ERR_DATA },
		{ HEADER, "this boot is not in it", ERR_DATA },
		{ HEADER LINE("1", "-", "b1"), "this boot is not in it", ERR_DATA },
		{ xasprintf(HEADER "%s" LINE("1", "-", "b1"), running), "after the one that runs",
		  ERR_DATA },
		{ xasprintf("%s" HEADER, running), "line 1 is damaged", ERR_DATA },
		{ xasprintf(HEADER "1998.000000000 1999.00\n%s", running), "line 2", ERR_DATA },
		{ xasprintf(HEADER "%.20s", running), "damaged", ERR_DATA },
		{ xasprintf(HEADER "%s\n", running), "line 3", ERR_DATA },
		{ xasprintf(HEADER LINE("1", "0.000000000", "b1") "%s", running), "line 2",
		  ERR_DATA },
		{ xasprintf(HEADER LINE("1", "-", "") "%s", running), "line 2", ERR_DATA },
		{ xasprintf(HEADER LINE("99999999", "-", "b1") "%s", running), "line 2", ERR_DATA },
		{ "metacache-tools reboots 2\nanything\n", "later version", ERR_DATA },
	};

	clock_set_for_test(NOW);
	for (size_t i = 0; i < ROWS(rows); i++) {
		autoboots struct boots boots = { 0 };
		const char *why = NULL;

		if (rows[i].text)
			put_reboots(scratch->fd, rows[i].text);
		load(scratch->fd, &boots);
		if (boots.unknown.code != rows[i].code)
			fail_msg("row %zu: code %d", i, boots.unknown.code);
		assert_message(&boots.unknown, rows[i].why);
		assert_int_equal(boot_judge(&boots, STAMP("1"), "b1", AT(1, 0), &why),
				 BOOT_UNKNOWN);
		assert_non_null(strstr(why, rows[i].why));
		assert_int_equal(boot_judge(&boots, STAMP("8"), "b1", AT(8, 0), &why), BOOT_WHOLE);
		assert_false(boot_any_over(&boots));
		if (i > 3 && rows[i].text != rows[ROWS(rows) - 1].text)
			free((char *)rows[i].text);
	}
	clock_set_for_test(0);
}

static void test_unreadable(void **state)
{
	const struct scratch *scratch = *state;
	autoboots struct boots boots = { 0 };
	struct err err = { 0 };

	assert_int_equal(symlinkat("elsewhere", scratch->fd, "reboots"), 0);
	load(scratch->fd, &boots);
	assert_int_not_equal(boots.unknown.code, ERR_NONE);
	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("8"), &err), -1);
	assert_false(has(scratch->fd, "elsewhere"));
}

/* A clock that was ahead when the boot was noted, and has been set right since. */
static void test_clock_set_back(void **state)
{
	const struct scratch *scratch = *state;
	autoboots struct boots boots = { 0 };
	struct err err = { 0 };

	clock_set_for_test(AT(1, 0));
	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("1"), &err), 0);
	clock_set_for_test(AT(8, 0) + 3600 * S);
	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("8"), &err), 0);
	clock_set_for_test(AT(8, 30));
	load(scratch->fd, &boots);
	assert_int_equal(boots.unknown.code, ERR_NONE);
	assert_int_equal(boot_judge(&boots, STAMP("1"), "b1", AT(8, 30), NULL), BOOT_WHOLE);
	assert_int_equal(boot_judge(&boots, STAMP("1"), "b1", AT(1, 30), NULL), BOOT_CRASHED);
	clock_set_for_test(0);
}

/* Files from the time when the clock was ahead are not after the mark. */
static void test_mark_after_clock_set_back(void **state)
{
	const struct scratch *scratch = *state;
	int64_t up_ns = clock_mono_ms() * 1000000;
	autoboots struct boots boots = { 0 };
	struct err err = { 0 };

	/* Noted when this machine came up, which by that clock is so long ago. */
	put_reboots(scratch->fd, HEADER LINE("1", "-", "b1"));
	clock_set_for_test(AT(1, 0) + up_ns / 4);
	assert_int_equal(boot_stop(scratch->fd, "b1", STAMP("1"), &err), 0);
	clock_set_for_test(AT(1, 0) + 2 * up_ns);
	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("8"), &err), 0);
	load(scratch->fd, &boots);
	assert_int_equal(boots.unknown.code, ERR_NONE);
	assert_int_equal(boot_judge(&boots, STAMP("1"), "b1", AT(1, 0) + up_ns / 2, NULL),
			 BOOT_WHOLE);
	clock_set_for_test(0);
}

static void assert_ends(int dirfd, const char *stamp, const char *expected)
{
	autoboots struct boots boots = { 0 };
	autobuf struct buf ends = { 0 };

	boot_load(dirfd, "b1", stamp, &boots);
	for (size_t i = 0; i < boots.items.count; i++)
		buf_printf(&ends, "%s ", boot_end_name(&boots, &boots.items.items[i]));
	assert_string_equal(buf_str(&ends), expected);
}

static void test_start_and_stop(void **state)
{
	const struct scratch *scratch = *state;
	const int fd = scratch->fd;
	struct err err = { 0 };

	assert_int_equal(boot_stop(fd, "b1", STAMP("1"), &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_false(has(fd, "reboots"));
	assert_int_equal(boot_start(fd, "b1", STAMP("1"), &err), 0);
	assert_int_equal(boot_start(fd, "b1", STAMP("1"), &err), 0);
	assert_ends(fd, STAMP("1"), "running ");
	assert_int_equal(boot_stop(fd, "b1", STAMP("1"), &err), 0);
	assert_int_equal(boot_stop(fd, "b1", STAMP("1"), &err), 0);
	assert_ends(fd, STAMP("1"), "stopped ");
	/* The boot goes on. */
	assert_int_equal(boot_start(fd, "b1", STAMP("1"), &err), 0);
	assert_ends(fd, STAMP("1"), "running ");
	assert_ends(fd, STAMP("2"), "crashed ");
	assert_int_equal(boot_stop(fd, "b1", STAMP("2"), &err), -1);
	assert_message(&err, "this boot is not in it");
	assert_int_equal(boot_start(fd, "b1", STAMP("2"), &err), 0);
	assert_int_equal(boot_start(fd, "b 2", STAMP("2"), &err), 0);
	assert_int_equal(boot_stop(fd, "b1", STAMP("2"), &err), 0);
	assert_ends(fd, STAMP("2"), "crashed stopped other_host ");
	assert_ends(fd, STAMP("3"), "crashed clean other_host ");
	/* The older of two that share the file knows nothing of the other's any more. */
	assert_int_equal(boot_stop(fd, "b1", STAMP("1"), &err), -1);
	assert_message(&err, "after the one that runs");
	assert_int_equal(boot_start(fd, "b\n1", STAMP("3"), &err), -1);
	assert_int_equal(err.code, ERR_CONFIG);
}

static void test_damaged(void **state)
{
	const struct scratch *scratch = *state;
	struct err err = { 0 };
	int fd;

	put_reboots(scratch->fd,
		    HEADER LINE("1", "-", "b1") "garbage\n" LINE("2", "-", "b1") "199");
	assert_int_equal(boot_stop(scratch->fd, "b1", STAMP("2"), &err), -1);
	assert_message(&err, "damaged");
	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("8"), &err), 0);
	assert_ends(scratch->fd, STAMP("8"), "crashed crashed running ");
	assert_true(has(scratch->fd, "reboots.damaged"));
	put_reboots(scratch->fd, "metacache-tools reboots 2\n");
	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("8"), &err), -1);
	assert_message(&err, "later version");
	/* A NUL in it. */
	fd = openat(scratch->fd, "reboots", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, HEADER "a\0b\n", sizeof HEADER + 3), sizeof HEADER + 3);
	close(fd);
	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("8"), &err), 0);
	assert_ends(scratch->fd, STAMP("8"), "running ");
}

static void test_oldest_are_forgotten(void **state)
{
	const struct scratch *scratch = *state;
	autoboots struct boots boots = { 0 };
	autobuf struct buf text = { 0 };
	struct err err = { 0 };

	buf_puts(&text, HEADER);
	for (int i = 1; i <= BOOTS_MAX; i++)
		buf_printf(&text, "%d.000000000 %d.000000000 0.000000000 - b1\n", i, i);
	put_reboots(scratch->fd, buf_str(&text));
	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("8"), &err), 0);
	load(scratch->fd, &boots);
	assert_int_equal(boots.items.count, BOOTS_MAX);
	assert_string_equal(boots.items.items[0].stamp, "2.000000000");
	assert_int_equal(boot_judge(&boots, "1.000000000", "b1", S, NULL), BOOT_UNKNOWN);
}

static void test_locked(void **state)
{
	const struct scratch *scratch = *state;
	struct flock held = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	struct err err = { 0 };
	int fd;

	assert_int_equal(boot_start(scratch->fd, "b1", STAMP("1"), &err), 0);
	fd = openat(scratch->fd, "reboots.lock", O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &held), 0);
	assert_int_equal(boot_stop(scratch->fd, "b1", STAMP("1"), &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	close(fd);
	assert_ends(scratch->fd, STAMP("1"), "running ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_judge),
		TEST(test_unknown),
		TEST(test_unreadable),
		TEST(test_clock_set_back),
		TEST(test_mark_after_clock_set_back),
		TEST(test_start_and_stop),
		TEST(test_damaged),
		TEST(test_oldest_are_forgotten),
		TEST(test_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
