/* Owners from a map and from a program: what is not said, or not clearly, is unknown. */
#include "owner_fixture.h"

#include <signal.h>

#include "base/buf.h"
#include "base/clock.h"

static void open_map(void **state, struct asked *asked, const char *text, const char *here)
{
	const struct scratch *scratch = *state;
	autofree char *director = xasprintf("map:%s/map", scratch->path);

	put(scratch->fd, "map", text);
	asked_open(asked, director, here);
}

static void open_command(void **state, struct asked *asked, const char *script, const char *here)
{
	const struct scratch *scratch = *state;
	autofree char *director = xasprintf("command:%s/program first  second", scratch->path);
	autobuf struct buf text = { 0 };

	buf_printf(&text, "#!/bin/sh\ncd %s\n%s\n", scratch->path, script);
	put(scratch->fd, "program", buf_str(&text));
	assert_int_equal(fchmodat(scratch->fd, "program", 0700, 0), 0);
	asked_open(asked, director, here);
}

/* ---- settings ---- */

static void test_settings(void **state)
{
	static const struct {
		const char *director, *here, *says;
	} rows[] = {
		{ "", "b1", "director is not set" },
		{ "map:/m", "", "backend_host is not set" },
		{ "map:/m", "10.1", "backend_host \"10.1\"" },
		{ "map:/m", "b1:143", "backend_host" },
		{ "mapp:/m", "b1", "expected http" },
		{ "map:m", "b1", "absolute path" },
		{ "unix:run/director-admin", "b1", "absolute path" },
		{ "unix:/"
		  "123456789012345678901234567890123456789012345678901234567890123456789012345"
		  "67890123456789012345678901234567890",
		  "b1", "absolute path" },
		{ "command:program", "b1", "absolute path" },
		{ "http://user:SECRET@h", "b1", "has a user in it" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct settings settings;
		struct owner *owner = NULL;
		struct err err = { 0 };

		asked_settings(&settings, rows[i].director, rows[i].here);
		if (owner_open(&settings, &owner, &err) == 0 || err.code != ERR_CONFIG ||
		    !strstr(err.msg, rows[i].says))
			fail_msg("row %zu: %s", i, err.msg);
		assert_null(strstr(err.msg, "SECRET"));
		settings_free(&settings);
	}
}

static void test_names(void **state)
{
	char too_long[257];
	struct asked asked;

	memset(too_long, 'a', 256);
	too_long[256] = '\0';
	open_map(state, &asked, "a\tb1\n", "b1");
	assert_int_equal(ask(&asked, "", "a\tb1", "a\nb", "\x01", "\xff", too_long, "a"), 0);
	for (size_t i = 0; i < 6; i++)
		assert_answer(&asked, i, OWNER_UNKNOWN, "such a name");
	assert_answer(&asked, 6, OWNER_HERE, "b1");
	asked_close(&asked);
}

static void test_nobody(void **state)
{
	struct asked asked;

	open_map(state, &asked, "nonsense", "b1");
	assert_int_equal(owner_lookup(asked.owner, NULL, 0, &asked.err), 0);
	asked_close(&asked);
}

/* ---- map ---- */

static void test_map(void **state)
{
	struct asked asked;

	open_map(state, &asked,
		 "# who is where\n\na@x\tb1\nB@x\tB2\n12345\tb2\nempty@x\t\nbad@x\t10.1\n"
		 "addr@x\t10.0.0.1\nfqdn@x\tb1.example.com\n\tb3\n",
		 "b1");
	assert_int_equal(ask(&asked, "a@x", "A@X", "b@x", "12345", "nobody@x", "b@x"), 0);
	assert_answer(&asked, 0, OWNER_HERE, "b1");
	assert_answer(&asked, 1, OWNER_HERE, "b1");
	assert_answer(&asked, 2, OWNER_ELSEWHERE, "b2");
	assert_answer(&asked, 3, OWNER_ELSEWHERE, "b2");
	assert_answer(&asked, 4, OWNER_UNKNOWN, "no answer");
	assert_answer(&asked, 5, OWNER_ELSEWHERE, "b2");
	assert_int_equal(ask(&asked, "empty@x", "bad@x", "addr@x", "fqdn@x"), 0);
	assert_answer(&asked, 0, OWNER_UNKNOWN, "no name or address");
	assert_answer(&asked, 1, OWNER_UNKNOWN, "no name or address");
	assert_answer(&asked, 2, OWNER_UNKNOWN, "can't be told");
	assert_answer(&asked, 3, OWNER_UNKNOWN, "can't be told");
	asked_close(&asked);
}

static void test_map_contradicts_itself(void **state)
{
	struct asked asked;

	open_map(state, &asked,
		 "a\tb2\na\tb3\na\tb2\nb\tb2\nB\tb1\nc\tb2\nc\tB2\nd\tb2\nd\t\nd\tb2\n", "b1");
	assert_int_equal(ask(&asked, "a", "b", "c", "d"), 0);
	assert_answer(&asked, 0, OWNER_UNKNOWN, "two hosts");
	assert_answer(&asked, 1, OWNER_UNKNOWN, "two hosts");
	assert_answer(&asked, 2, OWNER_ELSEWHERE, "b2");
	assert_answer(&asked, 3, OWNER_UNKNOWN, "no name or address");
	asked_close(&asked);
}

static void test_map_addresses(void **state)
{
	struct asked asked;

	open_map(state, &asked, "a\t2001:DB8::1\nb\t[2001:db8:0::2]\nc\t::ffff:10.0.0.1\nd\tb1\n",
		 "2001:db8:0:0::1");
	assert_int_equal(ask(&asked, "a", "b", "c", "d"), 0);
	assert_answer(&asked, 0, OWNER_HERE, "2001:db8::1");
	assert_answer(&asked, 1, OWNER_ELSEWHERE, "2001:db8::2");
	assert_answer(&asked, 2, OWNER_ELSEWHERE, "10.0.0.1");
	assert_answer(&asked, 3, OWNER_UNKNOWN, "can't be told");
	asked_close(&asked);
}

static void test_bad_maps(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
		const char *says;
	} rows[] = {
		{ "", ERR_CONFIG, "names no host b1" },
		{ "a\tb2\nb\tb3\n", ERR_CONFIG, "names no host b1" },
		{ "a\tb2\nb\tb1", ERR_DATA, "no end" }, /* cut: it may have been b10 */
		{ "a\tb1\nb b2\n", ERR_DATA, "expected USER<TAB>HOST" },
		{ "a\tb1\nb\tb2\tb3\n", ERR_DATA, "expected USER<TAB>HOST" },
	};
	struct asked asked;

	for (size_t i = 0; i < ROWS(rows); i++) {
		open_map(state, &asked, rows[i].text, "b1");
		assert_int_equal(ask(&asked, "a", "b"), -1);
		assert_nothing(&asked, rows[i].code, rows[i].says);
		asked_close(&asked);
	}
	asked_open(&asked, "map:/nosuch/map", "b1");
	assert_int_equal(ask(&asked, "a", "b"), -1);
	assert_nothing(&asked, ERR_NOTFOUND, "/nosuch/map");
	asked_close(&asked);
	asked_open(&asked, "map:/dev/null", "b1");
	assert_int_equal(ask(&asked, "a"), -1);
	assert_nothing(&asked, ERR_DATA, "no file");
	asked_close(&asked);
}

static void test_long_line(void **state)
{
	autobuf struct buf text = { 0 };
	struct asked asked;

	buf_puts(&text, "a\tb1\n");
	for (int i = 0; i < 5000; i++)
		buf_putc(&text, 'x');
	buf_puts(&text, "\tb2\n");
	open_map(state, &asked, buf_str(&text), "b1");
	assert_int_equal(ask(&asked, "a"), -1);
	assert_nothing(&asked, ERR_DATA, "longer than");
	asked_close(&asked);
}

/* What it says now counts, not what it said. */
static void test_map_changes(void **state)
{
	const struct scratch *scratch = *state;
	struct asked asked;

	open_map(state, &asked, "a\tb1\n", "b1");
	assert_int_equal(ask(&asked, "a"), 0);
	assert_answer(&asked, 0, OWNER_HERE, "b1");
	put(scratch->fd, "map", "a\tb2\n\tb1\n");
	assert_int_equal(ask(&asked, "a"), 0);
	assert_answer(&asked, 0, OWNER_ELSEWHERE, "b2");
	asked_close(&asked);
}

/* ---- program ---- */

static void test_command(void **state)
{
	struct asked asked;

	open_command(state, &asked,
		     "[ \"$1 $2 $#\" = 'first second 2' ] || exit 9\n"
		     "sort -r | while read -r u; do case $u in h*) echo \"$u\tb1\";; "
		     "e*) echo \"$u\tb2\";; g*) echo \"$u\t!\";; esac; done",
		     "b1");
	assert_int_equal(ask(&asked, "h", "e", "g", "n", "E"), 0);
	assert_answer(&asked, 0, OWNER_HERE, "b1");
	assert_answer(&asked, 1, OWNER_ELSEWHERE, "b2");
	assert_answer(&asked, 2, OWNER_UNKNOWN, "no name or address");
	assert_answer(&asked, 3, OWNER_UNKNOWN, "no answer");
	assert_answer(&asked, 4, OWNER_ELSEWHERE, "b2");
	/* It is known by now that there is such a host. */
	assert_int_equal(ask(&asked, "e"), 0);
	assert_answer(&asked, 0, OWNER_ELSEWHERE, "b2");
	asked_close(&asked);
}

static void test_command_and_typo(void **state)
{
	struct asked asked;

	open_command(state, &asked, "while read -r u; do echo \"$u\tb2\"; done", "b11");
	assert_int_equal(ask(&asked, "a", "b"), -1);
	assert_nothing(&asked, ERR_CONFIG, "no host b11");
	assert_non_null(strstr(asked.err.hint, "<TAB>HOST"));
	asked_close(&asked);
	open_command(state, &asked, "printf '\\tb1\\n\\tb2\\na\\tb2\\n'", "b1");
	assert_int_equal(ask(&asked, "a"), 0);
	assert_answer(&asked, 0, OWNER_ELSEWHERE, "b2");
	asked_close(&asked);
}

static void test_bad_commands(void **state)
{
	static const struct {
		const char *script;
		enum err_code code;
		const char *says;
	} rows[] = {
		{ "printf 'a\\tb2\\n\\tb1\\n'; exit 3", ERR_UNAVAILABLE, "exited with 3" },
		{ "printf 'a\\tb2\\n\\tb1\\n'; kill -9 $$", ERR_UNAVAILABLE, "signal 9" },
		{ "printf '\\tb1\\na\\tb2'", ERR_DATA, "no end" },
		{ "printf '\\tb1\\na b2\\n'", ERR_DATA, "expected USER<TAB>HOST" },
		{ "printf '\\tb1\\na\\tb2\\n\\000\\n'", ERR_DATA, "NUL" },
		{ "exit 0", ERR_CONFIG, "no host b1" },
	};
	struct asked asked;

	for (size_t i = 0; i < ROWS(rows); i++) {
		open_command(state, &asked, rows[i].script, "b1");
		assert_int_equal(ask(&asked, "a"), -1);
		assert_nothing(&asked, rows[i].code, rows[i].says);
		asked_close(&asked);
	}
	asked_open(&asked, "command:/nosuch/program", "b1");
	assert_int_equal(ask(&asked, "a"), -1);
	assert_nothing(&asked, ERR_NOTFOUND, "/nosuch/program");
	asked_close(&asked);
}

static pid_t read_pid(void **state, const char *name)
{
	const struct scratch *scratch = *state;
	int fd = openat(scratch->fd, name, O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof text - 1) > 0);
	close(fd);
	return (pid_t)atol(text);
}

static bool is_gone(pid_t pid)
{
	char path[32], text[256] = "";
	int fd;

	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read(fd, text, sizeof text - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strstr(text, ") Z") || text[0] == '\0';
}

/* It, and what it has started, are ended, whether the pipe is open or not. */
static void test_command_hangs(void **state)
{
	static const char *const scripts[] = {
		"sleep 100 & echo $! >child; wait",
		"printf 'a\\tb2\\n\\tb1\\n'; exec >&-; sleep 100 & echo $! >child; wait",
		"printf 'a\\tb2\\n\\tb1\\n'; sleep 100 & echo $! >child; exit 0",
	};
	struct asked asked;

	for (size_t i = 0; i < ROWS(scripts); i++) {
		int64_t limit_ms = clock_mono_ms() + 10000;
		pid_t child;

		open_command(state, &asked, scripts[i], "b1");
		assert_int_equal(ask(&asked, "a"), -1);
		assert_nothing(&asked, ERR_UNAVAILABLE, "in time");
		child = read_pid(state, "child");
		while (!is_gone(child)) {
			assert_true(clock_mono_ms() < limit_ms);
			clock_sleep_ms(1);
		}
		asked_close(&asked);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_settings),
		scratch_test(test_names),
		scratch_test(test_nobody),
		scratch_test(test_map),
		scratch_test(test_map_contradicts_itself),
		scratch_test(test_map_addresses),
		scratch_test(test_bad_maps),
		scratch_test(test_long_line),
		scratch_test(test_map_changes),
		scratch_test(test_command),
		scratch_test(test_command_and_typo),
		scratch_test(test_bad_commands),
		scratch_test(test_command_hangs),
	};

	return cmocka_run_group_tests_name("owner by lines", tests, NULL, NULL);
}
