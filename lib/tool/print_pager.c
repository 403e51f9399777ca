#include "tool/print_impl.h"
#include "tool/text.h"

static void pager_start(struct printer *printer)
{
	(void)printer;
}

static void pager_page(struct printer *printer, const struct print_column *columns, size_t count,
		       const struct print_value *values)
{
	/* doveadm separates pages, it does not end them. */
	if (printer->row_count > 0)
		text_put(&printer->out, "\f\n", 2);
	for (size_t i = 0; i < count; i++) {
		const char *title = print_title(columns[i].field);

		text_put(&printer->out, title, strlen(title));
		text_put(&printer->out, ": ", 2);
		print_plain(&printer->out, &values[columns[i].index]);
		text_put(&printer->out, "\n", 1);
	}
}

static void pager_row(struct printer *printer, const struct print_value *values)
{
	pager_page(printer, printer->columns, printer->column_count, values);
}

const struct print_formatter print_pager = {
	.start = pager_start,
	.row = pager_row,
	.summary = pager_page,
};
