/* What every program does alike: options, settings, rights, one-line errors,
 * exit codes, and a stdout whose every byte is known to have arrived.
 *
 *   int main(int argc, char **argv)
 *   {
 *           return tool_main(&spec, run, argc, argv);
 *   }
 *
 * Only this module knows popt. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "conf/settings.h"
#include "tool/log_sink.h"
#include "tool/print.h"
#include "tool/progress.h"

enum tool_option_type {
	TOOL_FLAG,  /* target: bool */
	TOOL_TEXT,  /* target: const char *; the text lives as long as the tool */
	TOOL_TEXTS, /* target: struct str_vec, owned by the target's owner */
	TOOL_COUNT, /* target: unsigned; decimal digits only, at most `max` */
};

struct tool_option {
	const char *long_name;
	char short_name; /* '\0': none */
	enum tool_option_type type;
	void *target;
	unsigned max;     /* of a TOOL_COUNT */
	const char *arg;  /* what --help calls the argument */
	const char *help; /* one line */
};

/* Which of the common options a program takes, beside -c -o -v -q -D --log
 * --log-format --version --help. */
enum tool_uses {
	TOOL_FORMAT = 1,      /* -f, --field, --no-header */
	TOOL_USERS = 2,       /* -u, -A, -F; one of them is needed, or an argument: a mask */
	TOOL_DRY_RUN = 4,     /* -n */
	TOOL_NO_SETTINGS = 8, /* runs without a configuration and as whoever calls */
	TOOL_NO_STATE = 16,   /* has nothing to do with state_dir */
};

struct tool;

struct tool_spec {
	const char *program; /* "metacache-flush" */
	const char *args;    /* of --help, after the options: "[MASK]"; NULL: none */
	unsigned args_max;   /* arguments beyond the options */
	const struct tool_option *options;
	size_t option_count;
	unsigned uses;
	/* Called with the settings read and the rights still the caller's: for what only root
	 * can look at. 0 or -1. NULL: nothing. */
	int (*as_caller)(struct tool *tool, struct err *err);
};

struct tool {
	const struct tool_spec *spec;
	struct settings settings;
	struct log log;
	struct log_sink sink;
	struct progress *progress; /* NULL unless a person watches */
	enum print_format format;
	struct str_vec fields;
	bool quiet, verbose, debug, dry_run, no_header;
	bool all_users;            /* -A */
	struct str_vec users;      /* -u */
	struct str_vec user_files; /* -F */
	struct tool_lists *lists;  /* those files, open */
	struct str_vec args;
	struct str_vec texts; /* what TOOL_TEXT targets point to */
	struct err first_err; /* that tool_error() said */
};

/* Read the command line and the settings, open the lists of -F, and drop to
 * mail_uid and mail_gid (and its groups) where they are set and the caller is root.
 * -1: go on; else the exit code to leave with: everything was said. Before any
 * thread is started. */
int tool_start(struct tool *tool, const struct tool_spec *spec, int argc, char **argv);

/* Close stdout and check that all of it was taken (else 74), free everything,
 * and return the exit code. */
int tool_finish(struct tool *tool, int code);

/* The two around `run`, which gets what was read and returns an exit code. */
typedef int tool_run_fn(struct tool *tool);
int tool_main(const struct tool_spec *spec, tool_run_fn *run, int argc, char **argv);

/* A printer with the operator's format and fields; NULL after an error was
 * said (the code is then 64). `rows` is what JSON calls them. */
struct printer *tool_printer(struct tool *tool, const char *rows, const struct print_field *fields,
			     size_t field_count);

/* Start the progress line, where a person watches. */
void tool_progress(struct tool *tool, const char *what, uint64_t total);

/* Say one error in one line on stderr: "program: subject: message (hint)", with
 * whatever could act on a terminal escaped. `subject` may be NULL. Returns the
 * exit code that belongs to it. */
int tool_error(struct tool *tool, const char *subject, const struct err *err);

/* The exit code of a run in which both happened: the one that asks more of the
 * operator, so that a run over many users is judged by its worst. From "run it
 * again" over single users to what stands in everybody's way:
 *
 *   0    nothing
 *   75   run it again: busy, or partly done
 *   67   a user is not here
 *   65   a user's data need a decision (conflict, corrupt)
 *   66   an input is missing
 *   64   the call was wrong
 *   77   rights are missing
 *   69   storage does not answer
 *   73   the disk is full
 *   74   the disk, or who reads the output, fails
 *   78   the settings are wrong
 *   70   a bug; also any other number */
int tool_worst(int a, int b);

/* Return 0 to go on, -1 to stop. */
typedef int tool_user_fn(void *ctx, const char *user);

/* Every user named by -u and -F, read line by line: however many there are, none
 * is held. Blank lines are passed over; one that can be no name (a NUL, thousands of
 * bytes) is said and passed over, with code 64. -A is the caller's. 0, or the worst
 * of the codes. Call it once. */
int tool_each_user(struct tool *tool, tool_user_fn *fn, void *ctx);
