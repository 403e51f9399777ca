/* What several commands share: opening what they work with, and the rows of a flush. */
#pragma once

#include "metacache/flush.h"
#include "metacache/metacache.h"
#include "tool/tool.h"

/* metacache_open() with the tool's settings and log. 0, or the exit code of an
 * error that was said. */
int common_open(struct tool *tool, struct metacache *mc, unsigned needs);

/* Refuse to be the second run of `what` (run_lock.h; NULL: this program), unless it is a dry run.
 * 0, and the lock is held until lock_r is closed; or the exit code of what was said. */
int common_run_lock(struct tool *tool, const struct metacache *mc, const char *what, int *lock_r);

/* Run `fn` for each user that the command line names: -u, -F, or every user found
 * below the roots for -A. The exit code of what could not be read. */
int common_each_user(struct tool *tool, const struct metacache *mc, tool_user_fn *fn, void *ctx);

/* The fields of a flush, one row a user. */
#define COMMON_FLUSH_FIELDS 12
extern const struct print_field common_flush_fields[COMMON_FLUSH_FIELDS];
int common_flush_row(struct printer *printer, const struct flush_result *result, struct err *err);

/* Says the user's error, if there is one, and returns the exit code of the outcome. */
int common_flush_code(struct tool *tool, const struct flush_result *result);

/* The summary of a flush, with the requests that were made since `mc` was opened. */
int common_flush_summary(struct printer *printer, const struct metacache *mc,
			 const struct flush_totals *totals, int64_t duration_ms, struct err *err);
