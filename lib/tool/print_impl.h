/* What print.c and the formatters share. Not for commands. */
#pragma once

#include <pthread.h>

#include "base/buf.h"
#include "tool/print.h"

struct print_column {
	const struct print_field *field;
	size_t index; /* in the values of a row */
	char *prefix; /* what comes before the value, made once: {"name": or name= */
	size_t prefix_len;
};

/* A formatter appends to printer->out; print.c writes it out at row ends. */
struct print_formatter {
	void (*start)(struct printer *printer); /* columns are set */
	void (*row)(struct printer *printer, const struct print_value *values);
	void (*summary)(struct printer *printer, const struct print_column *columns, size_t count,
			const struct print_value *values);
	void (*finish)(struct printer *printer); /* may be NULL */
	void (*free)(struct printer *printer);   /* of printer->state; may be NULL */
};

struct printer {
	const struct print_formatter *formatter;
	struct print_column *columns;
	size_t column_count;
	char *rows;
	bool no_header;
	bool live;
	unsigned width;
	struct progress *progress;
	int fd;
	int write_errno;
	int64_t written_ms; /* when out was last written, on the monotonic clock */
	struct buf out;
	uint64_t row_count;
	bool summary_done;
	void *state; /* of the formatter */
	pthread_mutex_t lock;
};

extern const struct print_formatter print_flow;
extern const struct print_formatter print_pager;
extern const struct print_formatter print_tab;
extern const struct print_formatter print_table;
extern const struct print_formatter print_json;
extern const struct print_formatter print_jsonl;

/* The title of pager and table. */
const char *print_title(const struct print_field *field);

/* A value as flow and pager have it: numbers plain, yes/no, "" where absent. */
void print_plain(struct buf *out, const struct print_value *value);
