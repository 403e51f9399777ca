#include "base/mem.h"
#include "tool/print_impl.h"
#include "tool/text.h"

static void flow_start(struct printer *printer)
{
	for (size_t i = 0; i < printer->column_count; i++) {
		struct print_column *column = &printer->columns[i];

		column->prefix = xasprintf("%s%s=", i > 0 ? " " : "", column->field->name);
		column->prefix_len = strlen(column->prefix);
	}
}

static void flow_value(struct buf *out, const struct print_value *value)
{
	if (value->kind == PRINT_STR && *value->s != '\0')
		text_quoted(out, value->s);
	else
		print_plain(out, value);
}

static void flow_row(struct printer *printer, const struct print_value *values)
{
	for (size_t i = 0; i < printer->column_count; i++) {
		const struct print_column *column = &printer->columns[i];

		text_put(&printer->out, column->prefix, column->prefix_len);
		flow_value(&printer->out, &values[column->index]);
	}
	text_put(&printer->out, "\n", 1);
}

static void flow_summary(struct printer *printer, const struct print_column *columns, size_t count,
			 const struct print_value *values)
{
	buf_puts(&printer->out, "summary:");
	for (size_t i = 0; i < count; i++) {
		buf_printf(&printer->out, " %s=", columns[i].field->name);
		flow_value(&printer->out, &values[i]);
	}
	text_put(&printer->out, "\n", 1);
}

const struct print_formatter print_flow = {
	.start = flow_start,
	.row = flow_row,
	.summary = flow_summary,
};
