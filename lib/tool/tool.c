#include "tool/tool.h"

#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <syslog.h>
#include <unistd.h>

#include "base/mem.h"
#include "tool/text.h"
#include "tool/tool_options.h"

#define LINE_MAX_BYTES 4096

/* The compressors' tables are megabytes that malloc would map and unmap for
 * every bundle; a few arenas are enough for a few dozen threads. */
static void tune_malloc(void)
{
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 32 * 1024 * 1024);
}

static int drop_rights(const struct settings *settings, struct err *err)
{
	gid_t gid = settings->has_mail_gid ? settings->mail_gid : getgid();
	uid_t uid = settings->has_mail_uid ? settings->mail_uid : getuid();

	if (geteuid() != 0 || (!settings->has_mail_uid && !settings->has_mail_gid))
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(err, errno, "become uid %u, gid %u", (unsigned)uid, (unsigned)gid);
	if (uid != 0 && setuid(0) == 0)
		return err_set(err, ERR_BUG, "the rights of root could be taken back");
	return 0;
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
	if (tool->spec->uses & TOOL_NO_SETTINGS)
		return 0;
	if (settings_load(&tool->settings, options->config, &options->overrides, err) < 0)
		return -1;
	return drop_rights(&tool->settings, err);
}

int tool_start(struct tool *tool, const struct tool_spec *spec, int argc, char **argv)
{
	struct tool_options options = { 0 };
	struct err err = { 0 };
	int code;

	*tool = (struct tool){ .spec = spec };
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
	str_vec_free(&tool->user_files);
	str_vec_free(&tool->args);
	str_vec_free(&tool->texts);
	return code;
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
		.live = isatty(STDOUT_FILENO),
		.width = width_of(STDOUT_FILENO),
		.progress = tool->progress,
	};
	struct err err = { 0 };
	struct printer *printer;

	if (options.format == PRINT_AUTO)
		options.format = isatty(STDOUT_FILENO) ? PRINT_TABLE : PRINT_TAB;
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

int tool_worst(int a, int b)
{
	static const int order[] = { 0, 75, 67, 65, 66, 64, 77, 69, 73, 74, 78, 70 };
	int rank_a = -1, rank_b = -1;

	for (int i = 0; i < (int)(sizeof order / sizeof *order); i++) {
		if (order[i] == a)
			rank_a = i;
		if (order[i] == b)
			rank_b = i;
	}
	return rank_a >= rank_b ? a : b;
}

static int each_line(FILE *file, tool_user_fn *fn, void *ctx, struct err *err)
{
	autofree char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, file)) >= 0) {
		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		if (memchr(line, '\0', (size_t)len) || len > LINE_MAX_BYTES)
			return err_set(err, ERR_USAGE, "a line is no user name");
		if (len > 0 && fn(ctx, line) < 0)
			return 0;
	}
	return ferror(file) ? err_sys(err, errno, "read") : 0;
}

static int each_in_file(struct tool *tool, const char *name, tool_user_fn *fn, void *ctx)
{
	bool is_stdin = strcmp(name, "-") == 0;
	FILE *file = is_stdin ? stdin : fopen(name, "re");
	struct err err = { 0 };
	int ret;

	if (!file) {
		err_sys(&err, errno, "open the list of users");
		return tool_error(tool, name, &err);
	}
	ret = each_line(file, fn, ctx, &err);
	if (!is_stdin)
		fclose(file);
	return ret < 0 ? tool_error(tool, is_stdin ? "standard input" : name, &err) : 0;
}

int tool_each_user(struct tool *tool, tool_user_fn *fn, void *ctx)
{
	int code = 0;

	for (size_t i = 0; i < tool->users.count; i++) {
		if (fn(ctx, tool->users.items[i]) < 0)
			return 0;
	}
	for (size_t i = 0; i < tool->user_files.count; i++)
		code = tool_worst(code, each_in_file(tool, tool->user_files.items[i], fn, ctx));
	return code;
}
