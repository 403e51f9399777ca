/* metacache-dump: what is in Dovecot's index files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/quote.h"
#include "rows.h"

#define LOG_NAME "dovecot.index.log"
#define LIST_LOG_NAME "dovecot.list.index.log"
#define CACHE_NAME "dovecot.index.cache"

static struct {
	bool log, map, list, changes, cache;
	const char *since;
} options;

static const struct tool_option own_options[] = {
	{ "log", '\0', TOOL_FLAG, &options.log, .help = "the records of a transaction log" },
	{ "map", '\0', TOOL_FLAG, &options.map, .help = "the mails: index and log together" },
	{ "list", '\0', TOOL_FLAG, &options.list, .help = "folders, from the mailbox list index" },
	{ "cache", '\0', TOOL_FLAG, &options.cache, .help = "the fields of dovecot.index.cache" },
	{ "changes", '\0', TOOL_FLAG, &options.changes,
	  .help = "whether what the log says since --since is important" },
	{ "since", '\0', TOOL_TEXT, &options.since, .arg = "POSITION",
	  .help = "a position that --changes printed; else the beginning of the index" },
};

static const struct tool_spec spec = {
	.program = "metacache-dump",
	.args = "PATH",
	.args_max = 1,
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_NO_SETTINGS,
};

/* What PATH names. */
struct target {
	int dirfd;
	char *log_name;   /* of the index that it is of, in dirfd */
	const char *name; /* the file; NULL: PATH is a folder */
};

static void target_close(struct target *target)
{
	cleanup_fd(&target->dirfd);
	free(target->log_name);
}

static bool strip(char *name, const char *suffix)
{
	size_t len = strlen(name), cut = strlen(suffix);

	if (len <= cut || strcmp(name + len - cut, suffix) != 0)
		return false;
	name[len - cut] = '\0';
	return true;
}

static void set_log_name(struct target *target, char *name)
{
	free(target->log_name);
	target->log_name = name;
}

/* A folder, or a file whose folder holds the others. */
static int target_open(struct target *target, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	autofree char *stem = NULL;
	struct stat st;

	target->log_name = xstrdup(LOG_NAME);
	if (stat(path, &st) < 0)
		return err_sys(err, errno, "open");
	target->dirfd =
		open(S_ISDIR(st.st_mode) ? path : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->dirfd < 0)
		return err_sys(err, errno, "open");
	if (S_ISDIR(st.st_mode)) {
		if (options.list || faccessat(target->dirfd, LOG_NAME, F_OK, 0) < 0)
			set_log_name(target, xstrdup(LIST_LOG_NAME));
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_NOINPUT, "neither a file nor a folder");
	target->name = slash ? slash + 1 : path;
	stem = xstrdup(target->name);
	if (!strip(stem, ".log") && !strip(stem, ".log.2"))
		strip(stem, ".cache");
	set_log_name(target, xasprintf("%s.log", stem));
	return 0;
}

/* One file alone: what PATH names, else `name` in that folder. */
static int dump_file(struct tool *tool, const char *path, const struct target *target,
		     const char *name, rows_file_fn *rows)
{
	autofd int fd = openat(target->dirfd, target->name ? target->name : name,
			       O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct err err = { 0 };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_sys(&err, errno, "open");
		return tool_error(tool, path, &err);
	}
	return rows(tool, path, fd, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
}

static int dump_index(struct tool *tool, const char *path, const struct target *target,
		      const struct index_position *from)
{
	autoindexfiles struct index_files files;
	struct err err = { 0 };

	if (index_files_open(target->dirfd, target->log_name, &files, &err) < 0)
		return tool_error(tool, path, &err);
	if (options.changes)
		return rows_changes(tool, path, &files, from);
	return options.list || (!options.map && files.is_list) ? rows_list(tool, path, &files)
							       : rows_map(tool, path, &files);
}

static int parse_position(const char *text, struct index_position *position, struct err *err)
{
	unsigned long long indexid, file_seq, offset;
	int end = 0;

	/* Signs and blanks, which sscanf would take, are none of it. */
	if (strspn(text, "0123456789:") == strlen(text) &&
	    sscanf(text, "%llu:%llu:%llu%n", &indexid, &file_seq, &offset, &end) == 3 &&
	    text[end] == '\0' && indexid <= UINT32_MAX && file_seq <= UINT32_MAX) {
		*position =
			(struct index_position){ (uint32_t)indexid, (uint32_t)file_seq, offset };
		return 0;
	}
	return err_set(err, ERR_USAGE, "--since %s: expected INDEXID:FILE-SEQ:OFFSET",
		       quote_str(text).s);
}

static int chosen(void)
{
	return options.log + options.map + options.list + options.cache + options.changes;
}

static int check_usage(const struct tool *tool, struct index_position *from, struct err *err)
{
	if (tool->args.count != 1)
		return err_set(err, ERR_USAGE, "a PATH is needed");
	if (chosen() > 1)
		return err_set(err, ERR_USAGE,
			       "only one of --log, --map, --list, --cache, --changes");
	if (options.since && !options.changes)
		return err_set(err, ERR_USAGE, "--since is for --changes");
	return options.since ? parse_position(options.since, from, err) : 0;
}

/* Whether that is asked for, or else what the file's name says. */
static bool wants(bool asked, const struct target *target, const char *suffix)
{
	autofree char *name = xstrdup(target->name ? target->name : "");

	return asked || (chosen() == 0 && strip(name, suffix));
}

static int run(struct tool *tool)
{
	CLEANUP(target_close) struct target target = { .dirfd = -1 };
	struct index_position from;
	struct err err = { 0 };
	const char *path;

	if (check_usage(tool, &from, &err) < 0)
		return tool_error(tool, NULL, &err);
	path = tool->args.items[0];
	if (target_open(&target, path, &err) < 0)
		return tool_error(tool, path, &err);
	if (wants(options.log, &target, ".log") || wants(false, &target, ".log.2"))
		return dump_file(tool, path, &target, target.log_name, rows_log);
	if (wants(options.cache, &target, ".cache"))
		return dump_file(tool, path, &target, CACHE_NAME, rows_cache);
	return dump_index(tool, path, &target, options.since ? &from : NULL);
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
