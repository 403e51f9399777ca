#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "tool/print_impl.h"
#include "tool/text.h"

/* Columns are as wide as these first rows need; later rows that are wider push
 * their line out. So a million rows are not held to measure them. */
enum {
	BATCH_ROWS = 1000,
	BATCH_BYTES = 1024 * 1024,
	BATCH_LIVE_MS = 1000,
	CUT_WIDTH_MIN = 12,
};

VEC(size_vec, size_t);

struct table {
	size_t *widths;
	struct buf text;      /* the cells of the batch, one behind the other */
	struct size_vec ends; /* where each cell of the batch ends in text */
	bool sized;
	int64_t started_ms;
};

static bool is_right(const struct print_field *field)
{
	return (field->flags & (PRINT_RIGHT | PRINT_SIZE)) != 0;
}

static void cell_time(struct buf *out, int64_t secs)
{
	time_t when = (time_t)secs;
	char text[64];
	struct tm tm;

	if (secs == 0)
		buf_puts(out, "-");
	else if (!localtime_r(&when, &tm) ||
		 strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		text_int(out, secs);
	else
		buf_puts(out, text);
}

static void cell(struct buf *out, const struct print_field *field, const struct print_value *value)
{
	bool is_number = value->kind == PRINT_INT || value->kind == PRINT_UINT;
	/* Beyond INT64_MAX or below zero is neither a size nor a time. */
	bool is_sane = is_number && value->i >= 0;

	if (value->kind == PRINT_NULL || (value->kind == PRINT_STR && *value->s == '\0'))
		buf_puts(out, "-");
	else if (is_sane && (field->flags & PRINT_SIZE) != 0)
		buf_puts(out, units_format_size_short(value->u).s);
	else if (is_sane && (field->flags & PRINT_TIME) != 0)
		cell_time(out, value->i);
	else
		print_plain(out, value);
}

static void put_blanks(struct buf *out, size_t count)
{
	memset(buf_reserve(out, count), ' ', count);
	out->len += count;
	out->data[out->len] = '\0';
}

/* Bytes of the first `width` code points. */
static size_t bytes_of_width(const char *s, size_t len, size_t width)
{
	size_t at = 0;

	while (at < len) {
		if (((unsigned char)s[at] & 0xc0) != 0x80 && width-- == 0)
			break;
		at++;
	}
	return at;
}

static void put_cell(struct printer *printer, size_t column, const char *s, size_t len)
{
	const struct table *table = printer->state;
	const struct print_field *field = printer->columns[column].field;
	size_t width = text_width(s, len);
	size_t room = table->widths[column];
	bool is_cut = width > room && printer->width > 0 && (field->flags & PRINT_CUT) != 0;
	size_t pad = width < room ? room - width : 0;

	if (column > 0)
		text_put(&printer->out, "  ", 2);
	if (pad > 0 && is_right(field))
		put_blanks(&printer->out, pad);
	text_put(&printer->out, s, is_cut ? bytes_of_width(s, len, room - 1) : len);
	if (is_cut)
		buf_puts(&printer->out, "…");
	/* No blanks at the end of a line. */
	if (pad > 0 && !is_right(field) && column + 1 < printer->column_count)
		put_blanks(&printer->out, pad);
}

/* Take from the columns that may be cut what the terminal is too narrow for. */
static void fit_width(struct printer *printer)
{
	struct table *table = printer->state;
	size_t total = 0;

	for (size_t i = 0; i < printer->column_count; i++)
		total += table->widths[i] + (i > 0 ? 2 : 0);
	for (size_t i = printer->column_count; i-- > 0 && total > printer->width;) {
		size_t least = text_width(print_title(printer->columns[i].field),
					  strlen(print_title(printer->columns[i].field)));
		size_t spare, excess = total - printer->width;

		if (least < CUT_WIDTH_MIN)
			least = CUT_WIDTH_MIN;
		if ((printer->columns[i].field->flags & PRINT_CUT) == 0 ||
		    table->widths[i] <= least)
			continue;
		spare = table->widths[i] - least;
		if (spare > excess)
			spare = excess;
		table->widths[i] -= spare;
		total -= spare;
	}
}

static void put_header(struct printer *printer)
{
	for (size_t i = 0; i < printer->column_count; i++) {
		const char *title = print_title(printer->columns[i].field);

		put_cell(printer, i, title, strlen(title));
	}
	text_put(&printer->out, "\n", 1);
}

static void size_columns(struct printer *printer)
{
	struct table *table = printer->state;
	size_t start = 0;

	for (size_t i = 0; i < printer->column_count; i++) {
		const char *title = print_title(printer->columns[i].field);

		table->widths[i] = printer->no_header ? 1 : text_width(title, strlen(title));
	}
	for (size_t i = 0; i < table->ends.count; i++) {
		size_t *widest = &table->widths[i % printer->column_count];
		size_t width = text_width(table->text.data + start, table->ends.items[i] - start);

		if (width > *widest)
			*widest = width;
		start = table->ends.items[i];
	}
	if (printer->width > 0)
		fit_width(printer);
}

/* The batch goes out; from here on rows stream. */
static void flush_batch(struct printer *printer)
{
	struct table *table = printer->state;
	const size_t columns = printer->column_count;
	size_t start = 0;

	table->sized = true;
	if (columns == 0)
		return;
	size_columns(printer);
	if (!printer->no_header)
		put_header(printer);
	for (size_t i = 0; i < table->ends.count; i++) {
		size_t column = i % columns;

		put_cell(printer, column, table->text.data + start, table->ends.items[i] - start);
		if (column + 1 == columns)
			text_put(&printer->out, "\n", 1);
		start = table->ends.items[i];
	}
	vec_free(&table->ends);
	buf_truncate(&table->text, 0);
}

static void table_start(struct printer *printer)
{
	struct table *table = xcalloc(1, sizeof *table);

	table->widths = xcalloc(printer->column_count, sizeof *table->widths);
	printer->state = table;
}

static void stream_row(struct printer *printer, const struct print_value *values)
{
	struct table *table = printer->state;

	for (size_t i = 0; i < printer->column_count; i++) {
		const struct print_column *column = &printer->columns[i];

		buf_truncate(&table->text, 0);
		cell(&table->text, column->field, &values[column->index]);
		put_cell(printer, i, table->text.data, table->text.len);
	}
	text_put(&printer->out, "\n", 1);
}

static void table_row(struct printer *printer, const struct print_value *values)
{
	struct table *table = printer->state;

	if (table->sized) {
		stream_row(printer, values);
		return;
	}
	if (printer->row_count == 0)
		table->started_ms = clock_mono_ms();
	for (size_t i = 0; i < printer->column_count; i++) {
		const struct print_column *column = &printer->columns[i];

		cell(&table->text, column->field, &values[column->index]);
		vec_push(&table->ends, table->text.len);
	}
	if (printer->row_count + 1 >= BATCH_ROWS || table->text.len >= BATCH_BYTES ||
	    (printer->live && clock_mono_ms() - table->started_ms >= BATCH_LIVE_MS))
		flush_batch(printer);
}

static void table_finish(struct printer *printer)
{
	const struct table *table = printer->state;

	if (!table->sized)
		flush_batch(printer);
}

static void table_summary(struct printer *printer, const struct print_column *columns, size_t count,
			  const struct print_value *values)
{
	size_t widest = 0;

	table_finish(printer);
	for (size_t i = 0; i < count; i++) {
		const char *title = print_title(columns[i].field);

		if (text_width(title, strlen(title)) > widest)
			widest = text_width(title, strlen(title));
	}
	buf_puts(&printer->out, "\n");
	for (size_t i = 0; i < count; i++) {
		const char *title = print_title(columns[i].field);

		buf_printf(&printer->out, "%s: ", title);
		put_blanks(&printer->out, widest - text_width(title, strlen(title)));
		cell(&printer->out, columns[i].field, &values[i]);
		buf_puts(&printer->out, "\n");
	}
}

static void table_free(struct printer *printer)
{
	struct table *table = printer->state;

	if (!table)
		return;
	free(table->widths);
	buf_free(&table->text);
	vec_free(&table->ends);
	free(table);
}

const struct print_formatter print_table = {
	.start = table_start,
	.row = table_row,
	.summary = table_summary,
	.finish = table_finish,
	.free = table_free,
};
