#include "tool/print.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/quote.h"
#include "tool/print_impl.h"
#include "tool/progress.h"
#include "tool/text.h"

enum {
	OUT_BYTES = 64 * 1024,
	/* A reader of a slow run's pipe sees rows within about this time. */
	OUT_HELD_MS = 1000,
};

static const struct {
	const char *name;
	const struct print_formatter *formatter;
} formats[] = {
	[PRINT_AUTO] = { NULL, NULL },
	[PRINT_FLOW] = { "flow", &print_flow },
	[PRINT_PAGER] = { "pager", &print_pager },
	[PRINT_TAB] = { "tab", &print_tab },
	[PRINT_TABLE] = { "table", &print_table },
	[PRINT_JSON] = { "json", &print_json },
	[PRINT_JSONL] = { "jsonl", &print_jsonl },
};

int print_format_parse(const char *name, enum print_format *format_r, struct err *err)
{
	for (size_t i = PRINT_AUTO + 1; i < sizeof formats / sizeof *formats; i++) {
		if (strcmp(name, formats[i].name) == 0) {
			*format_r = (enum print_format)i;
			return 0;
		}
	}
	err_set(err, ERR_USAGE, "unknown output format %s", quote_str(name).s);
	return err_hint(err, "use flow, pager, tab, table, json or jsonl");
}

const char *print_title(const struct print_field *field)
{
	return field->title ? field->title : field->name;
}

void print_plain(struct buf *out, const struct print_value *value)
{
	switch (value->kind) {
	case PRINT_NULL:
		break;
	case PRINT_STR:
		text_shown(out, value->s);
		break;
	case PRINT_INT:
		text_int(out, value->i);
		break;
	case PRINT_UINT:
		text_uint(out, value->u);
		break;
	case PRINT_BOOL:
		buf_puts(out, value->b ? "yes" : "no");
		break;
	}
}

static void add_column(struct printer *printer, const struct print_options *options, size_t index)
{
	for (size_t i = 0; i < printer->column_count; i++) {
		if (printer->columns[i].index == index)
			return;
	}
	printer->columns[printer->column_count++] =
		(struct print_column){ .field = &options->fields[index], .index = index };
}

static int no_such_field(const struct print_options *options, const char *name, struct err *err)
{
	autobuf struct buf known = { 0 };

	for (size_t i = 0; i < options->field_count; i++)
		buf_printf(&known, "%s%s", i > 0 ? " " : "", options->fields[i].name);
	err_set(err, ERR_USAGE, "no such field: %s", quote_str(name).s);
	return err_hint(err, "fields: %s", buf_str(&known));
}

static int select_field(struct printer *printer, const struct print_options *options,
			const char *name, struct err *err)
{
	bool all = strcmp(name, "all") == 0;
	bool found = all;

	for (size_t i = 0; i < options->field_count; i++) {
		if (!all && strcmp(name, options->fields[i].name) != 0)
			continue;
		add_column(printer, options, i);
		found = true;
	}
	return found ? 0 : no_such_field(options, name, err);
}

static int select_columns(struct printer *printer, const struct print_options *options,
			  struct err *err)
{
	const struct str_vec *selected = options->selected;

	printer->columns = xcalloc(options->field_count, sizeof *printer->columns);
	if (selected && selected->count > 0) {
		for (size_t i = 0; i < selected->count; i++) {
			if (select_field(printer, options, selected->items[i], err) < 0)
				return -1;
		}
		return 0;
	}
	for (size_t i = 0; i < options->field_count; i++) {
		if ((options->fields[i].flags & PRINT_HIDDEN) == 0)
			add_column(printer, options, i);
	}
	return 0;
}

struct printer *print_new(const struct print_options *options, struct err *err)
{
	enum print_format format = options->format;
	struct printer *printer = xcalloc(1, sizeof *printer);

	if (format == PRINT_AUTO)
		format = isatty(options->fd) ? PRINT_TABLE : PRINT_TAB;
	printer->formatter = formats[format].formatter;
	printer->rows = xstrdup(options->rows);
	printer->no_header = options->no_header;
	printer->live = options->live;
	printer->width = options->width;
	printer->progress = options->progress;
	printer->fd = options->fd;
	printer->written_ms = clock_mono_ms();
	pthread_mutex_init(&printer->lock, NULL);
	if (select_columns(printer, options, err) < 0) {
		print_free(printer);
		return NULL;
	}
	buf_reserve(&printer->out, OUT_BYTES + OUT_BYTES / 8);
	printer->formatter->start(printer);
	return printer;
}

void print_free(struct printer *printer)
{
	if (!printer)
		return;
	if (printer->formatter->free)
		printer->formatter->free(printer);
	for (size_t i = 0; i < printer->column_count; i++)
		free(printer->columns[i].prefix);
	free(printer->columns);
	free(printer->rows);
	buf_free(&printer->out);
	pthread_mutex_destroy(&printer->lock);
	free(printer);
}

void print_cleanup(struct printer **printer)
{
	print_free(*printer);
}

static void write_out(struct printer *printer)
{
	size_t done = 0;

	progress_clear(printer->progress);
	while (done < printer->out.len && printer->write_errno == 0) {
		ssize_t n = write(printer->fd, printer->out.data + done, printer->out.len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			printer->write_errno = EIO;
		else if (errno != EINTR)
			printer->write_errno = errno;
	}
	buf_truncate(&printer->out, 0);
}

static bool is_due(struct printer *printer)
{
	int64_t now_ms;

	if (printer->out.len >= OUT_BYTES)
		return true;
	/* Looking at the clock costs more than a short row: every 16th will do
	 * for the rest, and a slow run's rows are all looked at. */
	if (printer->live)
		return printer->out.len > 0;
	if (printer->row_count % 16 != 0 && printer->row_count > 1024)
		return false;
	now_ms = clock_mono_ms();
	if (now_ms - printer->written_ms < OUT_HELD_MS)
		return false;
	printer->written_ms = now_ms;
	return true;
}

static int write_result(const struct printer *printer, struct err *err)
{
	if (printer->write_errno == 0)
		return 0;
	err_sys(err, printer->write_errno, "cannot write the output");
	/* A full disk under the output is not one under the caches. */
	if (err)
		err->code = ERR_IO;
	return -1;
}

int print_row(struct printer *printer, const struct print_value *values, struct err *err)
{
	int ret;

	pthread_mutex_lock(&printer->lock);
	if (printer->write_errno == 0) {
		printer->formatter->row(printer, values);
		printer->row_count++;
		if (is_due(printer))
			write_out(printer);
	}
	ret = write_result(printer, err);
	pthread_mutex_unlock(&printer->lock);
	return ret;
}

int print_summary(struct printer *printer, const struct print_field *fields,
		  const struct print_value *values, size_t count, struct err *err)
{
	autofree struct print_column *columns = xcalloc(count, sizeof *columns);
	int ret;

	for (size_t i = 0; i < count; i++)
		columns[i] = (struct print_column){ .field = &fields[i], .index = i };
	pthread_mutex_lock(&printer->lock);
	if (printer->summary_done) {
		ret = err_set(err, ERR_BUG, "the summary was printed twice");
	} else {
		printer->summary_done = true;
		printer->formatter->summary(printer, columns, count, values);
		ret = write_result(printer, err);
	}
	pthread_mutex_unlock(&printer->lock);
	return ret;
}

int print_finish(struct printer **printer, struct err *err)
{
	struct printer *p = steal_ptr(printer);
	int ret;

	if (!p)
		return 0;
	if (p->formatter->finish)
		p->formatter->finish(p);
	write_out(p);
	ret = write_result(p, err);
	print_free(p);
	return ret;
}
