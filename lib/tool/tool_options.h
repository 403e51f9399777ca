/* The command line: a program's own options and the common ones, through popt. */
#pragma once

#include <stdbool.h>

#include "tool/tool.h"

/* What only tool_start() needs. */
struct tool_options {
	char *config;
	struct str_vec overrides;
	bool log_syslog, log_json;
};

void tool_options_free(struct tool_options *options);

/* Fill in the tool, the options and the program's own targets. 0; ERR_USAGE with
 * err; -1 when --help or --version was printed. */
int tool_options_read(struct tool *tool, struct tool_options *options, int argc, char **argv,
		      struct err *err);
