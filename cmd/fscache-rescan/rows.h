/* What fscache-rescan prints of each directory. */
#pragma once

#include "fscache/fscache_rescan.h"
#include "tool/tool.h"

struct rows_outcome {
	const char *path;
	struct fscache_rescan_report report;
	int64_t duration_ms;
	struct err err;
};

/* NULL after an error was said. */
struct printer *rows_printer(struct tool *tool);

int rows_print(struct printer *printer, const struct rows_outcome *outcome, struct err *err);
