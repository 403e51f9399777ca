#include "tool/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/mem.h"
#include "tool/text.h"
#include "tool/tool_options.h"
#include "tool/tool_users.h"

/* A compressor's workspace is megabytes, needed again for the next bundle: below
 * these limits malloc keeps it instead of mapping and unmapping it each time. 32 MiB
 * is the most that mallopt(3) documents for the first. What a thread's own arena
 * holds no other can use, so two arenas bound the memory of many threads. */
static void tune_malloc(void)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
}

/* With stdout or stderr closed the first file that is opened would get their number,
 * and rows or errors would be written into it. What stands there instead refuses. */
static void occupy_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			abort();
	}
}

static int drop_to(const struct passwd *known, uid_t uid, gid_t gid, struct err *err)
{
	uid_t uids[3];
	gid_t gids[3];

	if ((known ? initgroups(known->pw_name, gid) : setgroups(1, &gid)) < 0 ||
	    setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(err, errno, "become uid %u, gid %u", (unsigned)uid, (unsigned)gid);
	if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) < 0 || (uid != 0 && setuid(0) == 0))
		return err_set(err, ERR_BUG, "the rights of root could be taken back");
	for (int i = 0; i < 3; i++) {
		if (uids[i] != uid || gids[i] != gid)
			return err_set(err, ERR_BUG, "the rights of root stayed");
	}
	return 0;
}

/* On a new host: the folder above it is root's, as a rule. It gets its name when it has its owner,
 * so that a kill leaves none that nobody can use, and only if no other run was faster. */
static int make_state_dir(const char *dir, uid_t uid, gid_t gid, struct err *err)
{
	size_t len = strlen(dir);
	autofree char *new = NULL;
	int ret = 0;

	while (len > 1 && dir[len - 1] == '/')
		len--;
	new = xasprintf("%.*s.new", (int)len, dir);
	/* Whoever needs it says why it can't be made. */
	if (faccessat(AT_FDCWD, dir, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	    (mkdir(new, 0700) < 0 && errno != EEXIST))
		return 0;
	if (lchown(new, uid, gid) < 0 ||
	    renameat2(AT_FDCWD, new, AT_FDCWD, dir, RENAME_NOREPLACE) < 0)
		ret = errno;
	if (ret == EEXIST)
		(void)rmdir(new);
	/* Gone: another run has given it its name. */
	if (ret == 0 || ret == EEXIST || ret == ENOENT)
		return 0;
	return err_sys(err, ret, "make the state directory %s", dir);
}

/* The groups of mail_uid come along, as they do for Dovecot's processes. */
static int drop_rights(const struct settings *settings, unsigned uses, struct err *err)
{
	uid_t uid = settings->has_mail_uid ? settings->mail_uid : 0;
	const struct passwd *known = settings->has_mail_uid ? getpwuid(uid) : NULL;
	gid_t gid;

	if (geteuid() != 0 || (!settings->has_mail_uid && !settings->has_mail_gid))
		return 0;
	if (!settings->has_mail_gid && !known) {
		err_set(err, ERR_CONFIG,
			"mail_uid %u is in no passwd entry that would tell its group",
			(unsigned)uid);
		return err_hint(err, "set mail_gid, too");
	}
	gid = settings->has_mail_gid ? settings->mail_gid : known->pw_gid;
	if (!(uses & TOOL_NO_STATE) && make_state_dir(settings->state_dir, uid, gid, err) < 0)
		return -1;
	return drop_to(known, uid, gid, err);
}

static void start_log(struct tool *tool, const struct tool_options *options)
{
	tool->log.level = tool->debug     ? LOG_LEVEL_DEBUG
			  : tool->verbose ? LOG_LEVEL_INFO
			  : tool->quiet   ? LOG_LEVEL_ERROR
					  : LOG_LEVEL_WARNING;
	tool->sink = (struct log_sink){
		.format = options->log_json ? LOG_SINK_JSON : LOG_SINK_TEXT,
		.to_syslog = options->log_syslog,
		.fd = STDERR_FILENO,
		.progress = &tool->progress,
	};
	if (options->log_syslog)
		openlog(tool->spec->program, LOG_PID, LOG_MAIL);
	log_sink_attach(&tool->log, &tool->sink);
}

static int load(struct tool *tool, const struct tool_options *options, struct err *err)
{
	/* While the rights are still the caller's: a list in root's home is readable. */
	if (tool_users_open(tool, err) < 0)
		return -1;
	if (tool->spec->uses & TOOL_NO_SETTINGS)
		return 0;
	if (settings_load(&tool->settings, options->config, &options->overrides, err) < 0)
		return -1;
	if (tool->spec->as_caller && tool->spec->as_caller(tool, err) < 0)
		return -1;
	return drop_rights(&tool->settings, tool->spec->uses, err);
}

int tool_start(struct tool *tool, const struct tool_spec *spec, int argc, char **argv)
{
	struct tool_options options = { 0 };
	struct err err = { 0 };
	int code;

	*tool = (struct tool){ .spec = spec };
	occupy_standard_fds();
	tune_malloc();
	signal(SIGPIPE, SIG_IGN); /* a reader that left is an error to report, not a death */
	code = tool_options_read(tool, &options, argc, argv, &err);
	if (code == 0) {
		start_log(tool, &options);
		code = load(tool, &options, &err) < 0 ? tool_error(tool, NULL, &err) : -1;
	} else if (code == ERR_USAGE) {
		err_hint(&err, "try %s --help", spec->program);
		tool_error(tool, NULL, &err);
	} else {
		code = 0; /* --help or --version was printed */
	}
	tool_options_free(&options);
	return code;
}

int tool_finish(struct tool *tool, int code)
{
	struct err err = { 0 };

	progress_free(tool->progress);
	tool->progress = NULL;
	if (fflush(stdout) != 0 || close(STDOUT_FILENO) < 0) {
		err_sys(&err, errno, "write the output");
		err.code = ERR_IO;
		code = tool_worst(code, tool_error(tool, NULL, &err));
	}
	settings_free(&tool->settings);
	str_vec_free(&tool->fields);
	str_vec_free(&tool->users);
	tool_users_close(tool);
	str_vec_free(&tool->args);
	str_vec_free(&tool->texts);
	return code;
}

int tool_main(const struct tool_spec *spec, tool_run_fn *run, int argc, char **argv)
{
	struct tool tool;
	int code = tool_start(&tool, spec, argc, argv);

	if (code < 0)
		code = run(&tool);
	return tool_finish(&tool, code);
}

static unsigned width_of(int fd)
{
	struct winsize size;

	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

struct printer *tool_printer(struct tool *tool, const char *rows, const struct print_field *fields,
			     size_t field_count)
{
	struct print_options options = {
		.format = tool->format,
		.fd = STDOUT_FILENO,
		.rows = rows,
		.fields = fields,
		.field_count = field_count,
		.selected = &tool->fields,
		.no_header = tool->no_header,
		.live = isatty(STDOUT_FILENO),
		.width = width_of(STDOUT_FILENO),
		.progress = tool->progress,
	};
	struct err err = { 0 };
	struct printer *printer;

	printer = print_new(&options, &err);
	if (!printer)
		tool_error(tool, NULL, &err);
	return printer;
}

void tool_progress(struct tool *tool, const char *what, uint64_t total)
{
	struct progress_options options = {
		.fd = STDERR_FILENO,
		.what = what,
		.total = total,
		.width = width_of(STDERR_FILENO),
	};

	if (!tool->quiet && isatty(STDERR_FILENO))
		tool->progress = progress_new(&options);
}

int tool_error(struct tool *tool, const char *subject, const struct err *err)
{
	autobuf struct buf line = { 0 };

	if (tool->first_err.code == ERR_NONE)
		tool->first_err = *err;
	buf_printf(&line, "%s: ", tool->spec->program);
	if (subject) {
		text_shown(&line, subject);
		buf_puts(&line, ": ");
	}
	text_shown(&line, err->msg);
	if (err->hint[0] != '\0') {
		buf_puts(&line, " (");
		text_shown(&line, err->hint);
		buf_putc(&line, ')');
	}
	buf_putc(&line, '\n');
	progress_clear(tool->progress);
	/* Nowhere is left to say that this failed. */
	(void)!write(STDERR_FILENO, line.data, line.len);
	return err_exit_code(err->code);
}

static int rank(int code)
{
	static const int order[] = { 0, 75, 67, 65, 66, 64, 77, 69, 73, 74, 78, 70 };
	int count = sizeof order / sizeof *order;

	for (int i = 0; i < count; i++) {
		if (order[i] == code)
			return i;
	}
	return count;
}

int tool_worst(int a, int b)
{
	return rank(a) >= rank(b) ? a : b;
}
