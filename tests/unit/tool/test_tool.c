/* Options, users, errors, exit codes and rights: a program in a child process,
 * with its stdin, stdout and stderr in hand. */
#include "capture.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tool/tool.h"

static struct {
	bool flag;
	const char *text;
	struct str_vec texts;
	unsigned count;
} own;

static const struct tool_option own_options[] = {
	{ "flag", 'x', TOOL_FLAG, &own.flag, .help = "a flag" },
	{ "text", '\0', TOOL_TEXT, &own.text, .arg = "T", .help = "a text" },
	{ "texts", 't', TOOL_TEXTS, &own.texts, .arg = "T", .help = "texts" },
	{ "count", 'C', TOOL_COUNT, &own.count, .max = 3, .arg = "N", .help = "a number" },
};

static const struct tool_spec plain = {
	.program = "test-tool",
	.args = "[MASK]",
	.args_max = 1,
	.options = own_options,
	.option_count = ROWS(own_options),
	.uses = TOOL_FORMAT | TOOL_DRY_RUN | TOOL_NO_SETTINGS,
};
static const struct tool_spec with_users = {
	.program = "test-tool",
	.uses = TOOL_USERS | TOOL_NO_SETTINGS,
};
static const struct tool_spec with_settings = { .program = "test-tool" };

typedef tool_run_fn run_fn;

static int run_nothing(struct tool *tool)
{
	(void)tool;
	return 0;
}

static void child_main(const struct tool_spec *spec, char **argv, run_fn *run)
{
	int argc = 0, code;

	while (argv[argc])
		argc++;
	code = tool_main(spec, run ? run : run_nothing, argc, argv);
	str_vec_free(&own.texts);
	exit(code);
}

/* A handle of -1 is closed in the child. */
static int run_tool(const struct tool_spec *spec, const char *const *argv, int in, int out, int err,
		    run_fn *run)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const int fds[] = { in, out, err };

		for (int i = 0; i < 3; i++) {
			if (fds[i] < 0)
				close(i);
			else
				dup2(fds[i], i);
		}
		child_main(spec, (char **)(uintptr_t)argv, run);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define ARGS(...) ((const char *const[]){ "test-tool", __VA_ARGS__ __VA_OPT__(, ) NULL })

/* Run it and compare code and stderr; the caller looks at stdout and closes it. */
static int expect(const struct tool_spec *spec, const char *const *argv, run_fn *run, int code,
		  const char *error)
{
	int in = open("/dev/null", O_RDONLY), out = capture_open(), err = capture_open();
	int got = run_tool(spec, argv, in, out, err, run);

	assert_captured(err, error);
	assert_int_equal(got, code);
	close(in);
	close(err);
	return out;
}

static void test_usage_errors(void **state)
{
	static const struct {
		const char *argv[5];
		const char *error;
	} cases[] = {
		{ { "test-tool", "--nope" },
		  "test-tool: \"--nope\": unknown option (try test-tool --help)\n" },
		{ { "test-tool", "-u", "a" },
		  "test-tool: \"-u\": unknown option (try test-tool --help)\n" },
		{ { "test-tool", "--text" },
		  "test-tool: \"--text\": missing argument (try test-tool --help)\n" },
		{ { "test-tool", "-f", "x\x1by" },
		  "test-tool: unknown output format \"x\\x1by\" (use flow, pager, tab, table, json "
		  "or jsonl)\n" },
		{ { "test-tool", "-C", "4" },
		  "test-tool: --count \"4\": expected a number from 0 to 3 (try test-tool "
		  "--help)\n" },
		{ { "test-tool", "--count=-1" },
		  "test-tool: --count \"-1\": expected a number from 0 to 3 (try test-tool "
		  "--help)\n" },
		{ { "test-tool", "-C", "" },
		  "test-tool: --count \"\": expected a number from 0 to 3 (try test-tool "
		  "--help)\n" },
		{ { "test-tool", "-C", "18446744073709551617" },
		  "test-tool: --count \"18446744073709551617\": expected a number from 0 to 3 (try "
		  "test-tool --help)\n" },
		{ { "test-tool", "--log", "file" },
		  "test-tool: --log \"file\": expected stderr or syslog (try test-tool --help)\n" },
		{ { "test-tool", "--log-format", "xml" },
		  "test-tool: --log-format \"xml\": expected text or json (try test-tool "
		  "--help)\n" },
		{ { "test-tool", "a", "b\n" },
		  "test-tool: one argument too many: \"b\\x0a\" (try test-tool --help)\n" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(cases); i++) {
		int out = expect(&plain, cases[i].argv, NULL, 64, cases[i].error);

		assert_captured(out, "");
		close(out);
	}
}

static void test_which_users(void **state)
{
	static const struct {
		const char *argv[6];
		const char *error;
	} cases[] = {
		{ { "test-tool" },
		  "test-tool: which users? -u USER, -F FILE or -A (try test-tool --help)\n" },
		{ { "test-tool", "-A", "-u", "a" },
		  "test-tool: -A is all users: leave out -u and -F (try test-tool --help)\n" },
		{ { "test-tool", "-A", "-F", "-" },
		  "test-tool: -A is all users: leave out -u and -F (try test-tool --help)\n" },
		{ { "test-tool", "-u", "a", "b" },
		  "test-tool: one argument too many: \"b\" (try test-tool --help)\n" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(cases); i++)
		close(expect(&with_users, cases[i].argv, NULL, 64, cases[i].error));
}

static int show_own(struct tool *tool)
{
	printf("%d %s %u", own.flag, own.text ? own.text : "-", own.count);
	for (size_t i = 0; i < own.texts.count; i++)
		printf(" t=%s", own.texts.items[i]);
	for (size_t i = 0; i < tool->fields.count; i++)
		printf(" field=%s", tool->fields.items[i]);
	for (size_t i = 0; i < tool->args.count; i++)
		printf(" arg=%s", tool->args.items[i]);
	printf(" %d%d%d%d%d %d %d\n", tool->verbose, tool->quiet, tool->debug, tool->dry_run,
	       tool->no_header, (int)tool->format, (int)tool->log.level);
	return 0;
}

static void test_options_are_read(void **state)
{
	static const struct {
		const char *argv[16];
		const char *shown;
	} cases[] = {
		{ { "test-tool" }, "0 - 0 00000 0 2\n" },
		{ { "test-tool", "-v", "--text=a b", "-x", "-C", "3", "mask*" },
		  "1 a b 3 arg=mask* 10000 0 3\n" },
		{ { "test-tool", "-q", "-n", "-t", "1", "--texts", "2", "-f", "json",
		    "--no-header" },
		  "0 - 0 t=1 t=2 01011 5 1\n" },
		{ { "test-tool", "-D", "--field", "a,b,", "--field=c", "--", "-x" },
		  "0 - 0 field=a field=b field=c arg=-x 00100 0 4\n" },
		{ { "test-tool", "--text", "1", "--text", "2" }, "0 2 0 00000 0 2\n" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(cases); i++) {
		int out = expect(&plain, cases[i].argv, show_own, 0, "");

		assert_captured(out, cases[i].shown);
		close(out);
	}
}

static void test_help_and_version(void **state)
{
	int out = expect(&plain, ARGS("--version"), show_own, 0, "");

	(void)state;
	assert_captured(out, "test-tool (metacache-tools) " METACACHE_VERSION "\n");
	close(out);
	out = expect(&plain, ARGS("--help"), show_own, 0, "");
	assert_captured_has(out, "Usage: test-tool [OPTION");
	close(out);
	out = expect(&plain, ARGS("--help"), show_own, 0, "");
	assert_captured_has(out, "-C, --count=N");
	close(out);
	out = expect(&plain, ARGS("--help"), show_own, 0, "");
	assert_captured_has(out, "--log-format=text|json");
	close(out);
}

static int print_one(struct tool *tool)
{
	static const struct print_field fields[] = { { .name = "n" } };
	struct printer *printer = tool_printer(tool, "rows", fields, 1);
	struct err err = { 0 };

	if (!printer)
		return ERR_USAGE;
	if (print_row(printer, (struct print_value[]){ print_uint(1) }, &err) < 0 ||
	    print_finish(&printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return 0;
}

static void test_printer(void **state)
{
	int out = expect(&plain, ARGS(), print_one, 0, "");

	(void)state;
	assert_captured(out, "n\n1\n");
	close(out);
	out = expect(&plain, ARGS("--no-header"), print_one, 0, "");
	assert_captured(out, "1\n");
	close(out);
	close(expect(&plain, ARGS("--field", "m"), print_one, 64,
		     "test-tool: no such field: \"m\" (fields: n)\n"));
}

/* Whatever is printed, and however: 74 and one line. */
static void test_full_stdout(void **state)
{
	static const struct {
		const char *argv[3];
		run_fn *run;
		const char *error;
	} cases[] = {
		{ { "test-tool", "--help" },
		  NULL,
		  "test-tool: write the output: No space left on device" },
		{ { "test-tool", "--version" },
		  NULL,
		  "test-tool: write the output: No space left on device" },
		{ { "test-tool" },
		  print_one,
		  "test-tool: cannot write the output: No space left on device" },
		{ { "test-tool" },
		  show_own,
		  "test-tool: write the output: No space left on device" },
	};
	int full = open("/dev/full", O_WRONLY), in = open("/dev/null", O_RDONLY);

	(void)state;
	for (size_t i = 0; i < ROWS(cases); i++) {
		int err = capture_open();

		assert_int_equal(run_tool(&plain, cases[i].argv, in, full, err, cases[i].run), 74);
		assert_captured_has(err, cases[i].error);
		close(err);
	}
	close(full);
	close(in);
}

static int open_a_file(struct tool *tool)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	return fd <= STDERR_FILENO ? ERR_BUG : print_one(tool);
}

static void test_closed_handles_are_not_reused(void **state)
{
	int err = capture_open();

	(void)state;
	assert_int_equal(run_tool(&plain, ARGS(), -1, -1, err, open_a_file), 74);
	assert_captured(err, "test-tool: cannot write the output: Bad file descriptor\n");
	close(err);
}

static void test_reader_that_left(void **state)
{
	int err = capture_open(), pipe_fds[2];

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	close(pipe_fds[0]);
	assert_int_equal(run_tool(&plain, ARGS(), STDIN_FILENO, pipe_fds[1], err, print_one), 74);
	assert_captured(err, "test-tool: cannot write the output: Broken pipe\n");
	close(pipe_fds[1]);
	close(err);
}

static int show_user(void *ctx, const char *user)
{
	(void)ctx;
	printf("<%s>", user);
	return strcmp(user, "stop") == 0 ? -1 : 0;
}

static int show_users(struct tool *tool)
{
	return tool_each_user(tool, show_user, NULL);
}

/* The name of a file with this content; the handle keeps it. */
static int list_of(const char *data, size_t len, char name[64])
{
	int fd = memfd_create("list", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	lseek(fd, 0, SEEK_SET);
	snprintf(name, 64, "/proc/%d/fd/%d", (int)getpid(), fd);
	return fd;
}

static void test_users(void **state)
{
	static const char names[] = "a@b\n\nc d\r\n-u\nlast";
	char path[64];
	int list = list_of(names, sizeof names - 1, path);
	int out = expect(&with_users, ARGS("-u", "x", "-F", path, "-u", "y"), show_users, 0, "");

	(void)state;
	assert_captured(out, "<x><y><a@b><c d\r><-u><last>");
	close(out);
	close(list);
	list = list_of("a\nstop\nb\n", 9, path);
	out = expect(&with_users, ARGS("-F", path, "-F", path), show_users, 0, "");
	assert_captured(out, "<a><stop>");
	close(out);
	close(list);
}

static void test_users_from_stdin(void **state)
{
	char path[64];
	int list = list_of("a\nb\n", 4, path), out = capture_open(), err = capture_open();

	(void)state;
	assert_int_equal(run_tool(&with_users, ARGS("-F", "-"), list, out, err, show_users), 0);
	assert_captured(out, "<a><b>");
	assert_captured(err, "");
	close(list);
	close(out);
	close(err);
}

static void test_bad_lines_are_passed_over(void **state)
{
	static char data[70000];
	char path[64], expected[256];
	int list, out;

	(void)state;
	memset(data, 'x', sizeof data);
	memcpy(data, "a\nn\0l\n", 6);
	memcpy(data + sizeof data - 3, "\nb\n", 3);
	list = list_of(data, sizeof data, path);
	snprintf(expected, sizeof expected,
		 "test-tool: %s: line 2 can be no user name\n"
		 "test-tool: %s: line 3 can be no user name\n",
		 path, path);
	out = expect(&with_users, ARGS("-F", path), show_users, 64, expected);
	assert_captured(out, "<a><b>");
	close(out);
	close(list);
}

static int ignore_user(void *ctx, const char *user)
{
	*(unsigned *)ctx += user[0] != '\0';
	return 0;
}

/* The growth of the peak in kilobytes while it reads. */
static int measure_users(struct tool *tool)
{
	struct rusage before, after;
	unsigned users = 0;
	int code;

	if (getrusage(RUSAGE_SELF, &before) < 0)
		return ERR_BUG;
	code = tool_each_user(tool, ignore_user, &users);
	if (getrusage(RUSAGE_SELF, &after) < 0)
		return ERR_BUG;
	printf("%u users, %s\n", users,
	       after.ru_maxrss - before.ru_maxrss < 2048 ? "small" : "large");
	return code;
}

/* Neither a line without an end nor a long list. */
static void test_lists_are_not_held(void **state)
{
	size_t len = 16 << 20, line = 32;
	char *data = malloc(len), path[64];
	int list, out, err = capture_open();

	(void)state;
	assert_non_null(data);
	memset(data, 'x', len);
	for (size_t i = len / 2; i < len; i += line)
		data[i] = '\n';
	list = list_of(data, len, path);
	free(data);
	out = capture_open();
	assert_int_equal(
		run_tool(&with_users, ARGS("-F", path), STDIN_FILENO, out, err, measure_users), 64);
	assert_captured(out, "262144 users, small\n");
	close(out);
	close(err);
	close(list);
}

static void test_missing_list(void **state)
{
	(void)state;
	close(expect(&with_users, ARGS("-u", "a", "-F", "/nonexistent/list"), show_users, 66,
		     "test-tool: open the list of users \"/nonexistent/list\": No such file or "
		     "directory\n"));
	close(expect(&with_users, ARGS("-F", "/"), show_users, 74,
		     "test-tool: /: read the list of users: Is a directory\n"));
}

static int say_errors(struct tool *tool)
{
	struct err err = { 0 };
	int code;

	err_set(&err, ERR_CONFLICT, "two\nlines \x1b[2J and D\\user");
	err_hint(&err, "do\tthis");
	code = tool_error(tool, "user\r@example.com", &err);
	err_set(&err, ERR_TEMP, "busy");
	return tool_worst(code, tool_error(tool, NULL, &err));
}

static void test_errors_are_one_line(void **state)
{
	(void)state;
	close(expect(
		&plain, ARGS(), say_errors, 65,
		"test-tool: user\\r@example.com: two\\nlines \\x1b[2J and D\\user (do\\tthis)\n"
		"test-tool: busy\n"));
}

static int log_something(struct tool *tool)
{
	log_info(&tool->log, "info_event", log_str("user", "a"));
	log_warning(&tool->log, "warning_event");
	return 0;
}

static void test_log_levels(void **state)
{
	int out = capture_open(), err = capture_open();

	(void)state;
	assert_int_equal(run_tool(&plain, ARGS("-q"), STDIN_FILENO, out, err, log_something), 0);
	assert_captured(err, "");
	assert_int_equal(run_tool(&plain, ARGS(), STDIN_FILENO, out, err, log_something), 0);
	assert_captured_has(err, " warning warning_event\n");
	assert_int_equal(run_tool(&plain, ARGS("-v", "--log-format", "json"), STDIN_FILENO, out,
				  err, log_something),
			 0);
	assert_captured_has(err, "\"level\":\"info\",\"event\":\"info_event\",\"user\":\"a\"}\n");
	close(out);
	close(err);
}

static void test_worst(void **state)
{
	static const int order[] = { 0, 75, 67, 65, 66, 64, 77, 69, 73, 74, 78, 70, 99 };

	(void)state;
	for (size_t i = 0; i < ROWS(order); i++) {
		for (size_t j = 0; j < ROWS(order); j++)
			assert_int_equal(tool_worst(order[i], order[j]), order[i > j ? i : j]);
	}
}

static void test_bad_settings(void **state)
{
	int out = capture_open(), err = capture_open();

	(void)state;
	assert_int_equal(
		run_tool(&with_settings, ARGS("-c", "/nonexistent"), STDIN_FILENO, out, err, NULL),
		78);
	assert_captured_has(err, "test-tool: ");
	assert_int_equal(run_tool(&with_settings, ARGS("-c", "/dev/null", "-o", "nonsense"),
				  STDIN_FILENO, out, err, NULL),
			 64);
	assert_captured_has(err, "-o takes key=value");
	close(out);
	close(err);
}

#define SETTINGS                                                                                   \
	"-c", "/dev/null", "-o", "mail_home=/srv/metacache/%u", "-o",                              \
		"obox_index_fs=posix:/srv/store", "-o", "state_dir=/srv/state"

static int show_rights(struct tool *tool)
{
	gid_t groups[64];
	int count = getgroups(64, groups);

	(void)tool;
	printf("%d %d %d %d:", (int)getuid(), (int)geteuid(), (int)getgid(), (int)getegid());
	for (int i = 0; i < count; i++)
		printf(" %d", (int)groups[i]);
	printf(" %s\n", setuid(0) == 0 || seteuid(0) == 0 ? "root again" : "for good");
	return 0;
}

static void test_rights_are_dropped(void **state)
{
	static const struct {
		const char *argv[16];
		const char *shown;
	} cases[] = {
		{ { "test-tool", SETTINGS, "-o", "mail_uid=12345", "-o", "mail_gid=12346" },
		  "12345 12345 12346 12346: 12346 for good\n" },
		{ { "test-tool", SETTINGS, "-o", "mail_uid=nobody" },
		  "65534 65534 65534 65534: 65534 for good\n" },
		{ { "test-tool", SETTINGS, "-o", "mail_gid=12346" },
		  "0 0 12346 12346: 12346 root again\n" },
	};

	(void)state;
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < ROWS(cases); i++) {
		int out = expect(&with_settings, cases[i].argv, show_rights, 0, "");

		assert_captured(out, cases[i].shown);
		close(out);
	}
	close(expect(&with_settings, ARGS(SETTINGS, "-o", "mail_uid=12345"), show_rights, 78,
		     "test-tool: mail_uid 12345 is in no passwd entry that would tell its group "
		     "(set mail_gid, too)\n"));
}

static int look_as_caller(struct tool *tool, struct err *err)
{
	if (tool->settings.mail_uid == 65534)
		return err_set(err, ERR_TEMP, "seen as %d", (int)geteuid());
	printf("seen as %d, then ", (int)geteuid());
	return 0;
}

static void test_look_as_caller(void **state)
{
	struct tool_spec spec = with_settings;

	(void)state;
	if (geteuid() != 0)
		skip();
	spec.as_caller = look_as_caller;
	int out = expect(&spec, ARGS(SETTINGS, "-o", "mail_uid=1", "-o", "mail_gid=1"), show_rights,
			 0, "");

	assert_captured(out, "seen as 0, then 1 1 1 1: 1 for good\n");
	close(out);
	close(expect(&spec, ARGS(SETTINGS, "-o", "mail_uid=65534"), show_rights, 75,
		     "test-tool: seen as 0\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage_errors),
		cmocka_unit_test(test_which_users),
		cmocka_unit_test(test_options_are_read),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_printer),
		cmocka_unit_test(test_full_stdout),
		cmocka_unit_test(test_closed_handles_are_not_reused),
		cmocka_unit_test(test_reader_that_left),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_users_from_stdin),
		cmocka_unit_test(test_bad_lines_are_passed_over),
		cmocka_unit_test(test_lists_are_not_held),
		cmocka_unit_test(test_missing_list),
		cmocka_unit_test(test_errors_are_one_line),
		cmocka_unit_test(test_log_levels),
		cmocka_unit_test(test_worst),
		cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_rights_are_dropped),
		cmocka_unit_test(test_look_as_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
