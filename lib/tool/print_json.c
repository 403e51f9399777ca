#include "base/mem.h"
#include "tool/print_impl.h"
#include "tool/text.h"

static void json_value(struct buf *out, const struct print_value *value)
{
	switch (value->kind) {
	case PRINT_NULL:
		text_put(out, "null", 4);
		break;
	case PRINT_STR:
		text_json(out, value->s);
		break;
	case PRINT_INT:
		text_int(out, value->i);
		break;
	case PRINT_UINT:
		text_uint(out, value->u);
		break;
	case PRINT_BOOL:
		text_put(out, value->b ? "true" : "false", value->b ? 4 : 5);
		break;
	}
}

/* The names are escaped once, not once a row. */
static void make_prefixes(struct printer *printer)
{
	for (size_t i = 0; i < printer->column_count; i++) {
		struct print_column *column = &printer->columns[i];
		struct buf prefix = { 0 };

		buf_putc(&prefix, i > 0 ? ',' : '{');
		text_json(&prefix, column->field->name);
		buf_putc(&prefix, ':');
		column->prefix_len = prefix.len;
		column->prefix = buf_steal(&prefix);
	}
}

static void json_object(struct printer *printer, const struct print_value *values)
{
	if (printer->column_count == 0)
		text_put(&printer->out, "{", 1);
	for (size_t i = 0; i < printer->column_count; i++) {
		const struct print_column *column = &printer->columns[i];

		text_put(&printer->out, column->prefix, column->prefix_len);
		json_value(&printer->out, &values[column->index]);
	}
	text_put(&printer->out, "}", 1);
}

static void json_summary_member(struct buf *out, const struct print_column *columns, size_t count,
				const struct print_value *values)
{
	buf_puts(out, "\"summary\":{");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_putc(out, ',');
		text_json(out, columns[i].field->name);
		buf_putc(out, ':');
		json_value(out, &values[i]);
	}
	buf_putc(out, '}');
}

static void json_start(struct printer *printer)
{
	make_prefixes(printer);
	buf_putc(&printer->out, '{');
	text_json(&printer->out, printer->rows);
	buf_puts(&printer->out, ":[");
}

/* One row a line: a long document can be looked at and cut with line tools. */
static void json_row(struct printer *printer, const struct print_value *values)
{
	if (printer->row_count > 0)
		text_put(&printer->out, ",", 1);
	text_put(&printer->out, "\n", 1);
	json_object(printer, values);
}

static void json_end_rows(struct printer *printer)
{
	buf_puts(&printer->out, printer->row_count > 0 ? "\n]" : "]");
}

static void json_summary(struct printer *printer, const struct print_column *columns, size_t count,
			 const struct print_value *values)
{
	json_end_rows(printer);
	buf_puts(&printer->out, ",");
	json_summary_member(&printer->out, columns, count, values);
}

static void json_finish(struct printer *printer)
{
	if (!printer->summary_done)
		json_end_rows(printer);
	buf_puts(&printer->out, "}\n");
}

static void jsonl_row(struct printer *printer, const struct print_value *values)
{
	json_object(printer, values);
	text_put(&printer->out, "\n", 1);
}

static void jsonl_summary(struct printer *printer, const struct print_column *columns, size_t count,
			  const struct print_value *values)
{
	buf_putc(&printer->out, '{');
	json_summary_member(&printer->out, columns, count, values);
	buf_puts(&printer->out, "}\n");
}

const struct print_formatter print_json = {
	.start = json_start,
	.row = json_row,
	.summary = json_summary,
	.finish = json_finish,
};

const struct print_formatter print_jsonl = {
	.start = make_prefixes,
	.row = jsonl_row,
	.summary = jsonl_summary,
};
