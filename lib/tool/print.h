/* Commands emit fields, formatters print: a command says what its rows are
 * made of and never knows which format was asked for.
 *
 *   static const struct print_field fields[] = {
 *           { .name = "username" },
 *           { .name = "bytes-used", .flags = PRINT_SIZE },
 *   };
 *   struct print_options options = { .fd = STDOUT_FILENO, .rows = "users", … };
 *   autoprinter struct printer *out = print_new(&options, err);
 *   print_row(out, (struct print_value[]){ print_str(user), print_uint(bytes) }, err);
 *   print_finish(&out, err);
 *
 * A program gets one with the operator's choices in it from tool_printer().
 *
 * flow   key=value key=value, one row a line; values with blanks are quoted
 * pager  "key: value" lines; a form feed line between rows, as doveadm's pager
 * tab    a header line, then one row a line; tab, newline, CR, NUL and \001 are
 *        escaped with \001 as in Dovecot's own protocols (str_tabescape)
 * table  for people: aligned, sizes and times in words, "-" for what is absent
 * json   one document: {"<rows>":[{…},…],"summary":{…}}
 * jsonl  one object a line; a summary is a last line {"summary":{…}}
 *
 * All stream: memory does not grow with the number of rows. In JSON numbers are
 * numbers and the text is valid UTF-8 whatever the values hold. Control
 * characters never reach a flow, pager or table reader as they are: they become
 * \n, \t or \x1b. tab does not print a summary, so that every line is a row. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"

struct progress;
struct printer;

enum print_format {
	PRINT_AUTO = 0, /* table on a terminal, tab where another program reads */
	PRINT_FLOW,
	PRINT_PAGER,
	PRINT_TAB,
	PRINT_TABLE,
	PRINT_JSON,
	PRINT_JSONL,
};

/* Of a field; PRINT_SIZE and PRINT_TIME change nothing outside table. */
enum print_flags {
	PRINT_RIGHT = 1,  /* aligned to the right in a table */
	PRINT_HIDDEN = 2, /* only shown when it is asked for by name, or with "all" */
	PRINT_SIZE = 4,   /* a number of bytes: a table says 1.5M; implies PRINT_RIGHT */
	PRINT_TIME = 8,   /* UNIX seconds: a table says local date and time, "-" for 0 */
	PRINT_CUT = 16,   /* a table may cut it with "…" to fit the terminal */
};

struct print_field {
	const char *name;  /* as in JSON, flow, tab and --field */
	const char *title; /* of pager and table; NULL = the name */
	unsigned flags;
};

enum print_kind { PRINT_NULL = 0, PRINT_STR, PRINT_INT, PRINT_UINT, PRINT_BOOL };

struct print_value {
	enum print_kind kind;
	union {
		const char *s;
		int64_t i;
		uint64_t u;
		bool b;
	};
};

/* The text need only live until print_row() returns; NULL prints as absent. */
static inline struct print_value print_str(const char *s)
{
	return (struct print_value){ .kind = s ? PRINT_STR : PRINT_NULL, .s = s };
}

static inline struct print_value print_int(int64_t i)
{
	return (struct print_value){ .kind = PRINT_INT, .i = i };
}

static inline struct print_value print_uint(uint64_t u)
{
	return (struct print_value){ .kind = PRINT_UINT, .u = u };
}

/* true/false in JSON, yes/no elsewhere. */
static inline struct print_value print_bool(bool b)
{
	return (struct print_value){ .kind = PRINT_BOOL, .b = b };
}

/* null in JSON, "-" in a table, empty elsewhere. */
static inline struct print_value print_null(void)
{
	return (struct print_value){ .kind = PRINT_NULL };
}

struct print_options {
	enum print_format format;
	int fd;           /* written to, never closed */
	const char *rows; /* what JSON calls the array: "users" */
	const struct print_field *fields;
	size_t field_count;
	const struct str_vec *selected; /* fields asked for, in their order; NULL or empty =
					   all that are not PRINT_HIDDEN */
	bool no_header;                 /* of tab and table */
	bool live;                      /* somebody watches: write each row at once */
	unsigned width;                 /* columns of the terminal, 0 = do not cut */
	struct progress *progress;      /* taken off the screen before rows are written;
					   NULL = none */
};

/* The fields are used until the printer is gone; the rest of the options is
 * copied. NULL with ERR_USAGE where a selected field does not exist: the hint
 * names those that do. */
struct printer *print_new(const struct print_options *options, struct err *err);

/* Drop without writing what is still buffered: JSON stays visibly cut. NULL is
 * fine. After print_finish() there is nothing left to free. */
void print_free(struct printer *printer);

void print_cleanup(struct printer **printer);
#define autoprinter CLEANUP(print_cleanup)

/* One row; `values` are as many as the options had fields, in that order.
 * Thread-safe: rows never mix. Returns -1 with ERR_IO when writing failed (a
 * full disk, a closed pipe), and from then on always: stop then. */
int print_row(struct printer *printer, const struct print_value *values, struct err *err);

/* What the run as a whole came to, once, after the last row. All fields are
 * printed, PRINT_HIDDEN or not. Thread-safe. */
int print_summary(struct printer *printer, const struct print_field *fields,
		  const struct print_value *values, size_t count, struct err *err);

/* Complete the document, write everything, free; *printer becomes NULL. -1 with
 * ERR_IO unless every byte was taken. NULL is fine: success. */
int print_finish(struct printer **printer, struct err *err);

/* "flow" → PRINT_FLOW and so on; -1 with ERR_USAGE names the accepted ones. */
int print_format_parse(const char *name, enum print_format *format_r, struct err *err);
