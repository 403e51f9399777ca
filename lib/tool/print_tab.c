#include "tool/print_impl.h"
#include "tool/text.h"

static void tab_text(struct buf *out, const char *s)
{
	for (;;) {
		size_t run = strcspn(s, "\001\t\r\n");

		text_put(out, s, run);
		s += run;
		if (*s == '\0')
			return;
		text_put(out, "\001", 1);
		text_put(out, *s == '\001' ? "1" : *s == '\t' ? "t" : *s == '\r' ? "r" : "n", 1);
		s++;
	}
}

static void tab_start(struct printer *printer)
{
	if (printer->no_header)
		return;
	for (size_t i = 0; i < printer->column_count; i++) {
		if (i > 0)
			text_put(&printer->out, "\t", 1);
		tab_text(&printer->out, printer->columns[i].field->name);
	}
	text_put(&printer->out, "\n", 1);
}

static void tab_row(struct printer *printer, const struct print_value *values)
{
	for (size_t i = 0; i < printer->column_count; i++) {
		const struct print_value *value = &values[printer->columns[i].index];

		if (i > 0)
			text_put(&printer->out, "\t", 1);
		if (value->kind == PRINT_STR)
			tab_text(&printer->out, value->s);
		else
			print_plain(&printer->out, value);
	}
	text_put(&printer->out, "\n", 1);
}

/* Every line is a row for the program that reads this. */
static void tab_summary(struct printer *printer, const struct print_column *columns, size_t count,
			const struct print_value *values)
{
	(void)printer;
	(void)columns;
	(void)count;
	(void)values;
}

const struct print_formatter print_tab = {
	.start = tab_start,
	.row = tab_row,
	.summary = tab_summary,
};
