/* A monitoring plugin's line and exit code, as Nagios reads them. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "tool/tool.h"

enum common_check_code {
	COMMON_CHECK_OK,
	COMMON_CHECK_WARNING,
	COMMON_CHECK_CRITICAL,
	COMMON_CHECK_UNKNOWN,
};

struct common_check {
	enum common_check_code code; /* the worst so far */
	struct buf problems;         /* ", "-separated */
	struct buf perf;             /* " "-separated */
};
void common_check_free(struct common_check *check);
#define autocheck CLEANUP(common_check_free)

/* What is above a limit (warning, critical) is a problem. */
enum common_check_code common_check_judge(uint64_t value, const uint64_t limits[2]);

/* The text of a problem is to be appended to what this returns. */
struct buf *common_check_problem(struct common_check *check, enum common_check_code code);

/* Text without what could end it early, or the line. */
void common_check_safe(struct buf *out, const char *s);

/* "12 minutes" */
void common_check_age(struct buf *out, uint64_t age_s);

/* A label of performance data in quotes: 'disk /var/lib'. */
void common_check_label(struct buf *perf, const char *what, const char *path);

/* "TITLE OK - problems; " */
void common_check_begin(const struct common_check *check, const char *title, struct buf *out);

/* The exit code for Nagios, which reads stdout and knows no code above 3: what is above failed
 * before its line, which is then printed. */
int common_check_plugin(const char *title, const struct tool *tool, int code);
