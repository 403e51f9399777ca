#include "tool/log_sink.h"

#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tool/progress.h"
#include "tool/text.h"

static void put_time(struct buf *line)
{
	time_t now = (time_t)(clock_now_ns() / 1000000000);
	char text[32];
	struct tm tm;

	if (gmtime_r(&now, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		buf_puts(line, text);
}

static void put_value(struct buf *line, const struct log_field *field, bool json)
{
	switch (field->kind) {
	case LOG_KIND_STR:
		if (json)
			text_json(line, field->s);
		else
			text_quoted(line, field->s);
		break;
	case LOG_KIND_INT:
		text_int(line, field->i);
		break;
	case LOG_KIND_UINT:
		text_uint(line, field->u);
		break;
	case LOG_KIND_BOOL:
		buf_puts(line, json ? (field->b ? "true" : "false") : (field->b ? "yes" : "no"));
		break;
	}
}

static bool is_absent(const struct log_field *field)
{
	return field->kind == LOG_KIND_STR && !field->s;
}

static void render_text(struct buf *line, const struct log_sink *sink,
			const struct log_event *event)
{
	if (!sink->to_syslog) {
		put_time(line);
		buf_printf(line, " %s ", log_level_name(event->level));
	}
	text_shown(line, event->name);
	for (size_t i = 0; i < event->field_count; i++) {
		if (is_absent(&event->fields[i]))
			continue;
		buf_puts(line, " ");
		text_shown(line, event->fields[i].name);
		buf_puts(line, "=");
		put_value(line, &event->fields[i], false);
	}
}

static void render_json(struct buf *line, const struct log_sink *sink,
			const struct log_event *event)
{
	buf_puts(line, "{");
	if (!sink->to_syslog) {
		buf_puts(line, "\"time\":\"");
		put_time(line);
		buf_printf(line, "\",\"level\":\"%s\",", log_level_name(event->level));
	}
	buf_puts(line, "\"event\":");
	text_json(line, event->name);
	for (size_t i = 0; i < event->field_count; i++) {
		if (is_absent(&event->fields[i]))
			continue;
		buf_puts(line, ",");
		text_json(line, event->fields[i].name);
		buf_puts(line, ":");
		put_value(line, &event->fields[i], true);
	}
	buf_puts(line, "}");
}

void log_sink_render(struct buf *line, const struct log_sink *sink, const struct log_event *event)
{
	if (sink->format == LOG_SINK_JSON)
		render_json(line, sink, event);
	else
		render_text(line, sink, event);
}

static int syslog_priority(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return LOG_ERR;
	case LOG_LEVEL_WARNING:
		return LOG_WARNING;
	case LOG_LEVEL_INFO:
		return LOG_INFO;
	case LOG_LEVEL_DEBUG:
		break;
	}
	return LOG_DEBUG;
}

static void sink_write(void *ctx, const struct log_event *event)
{
	const struct log_sink *sink = ctx;
	autobuf struct buf line = { 0 };

	log_sink_render(&line, sink, event);
	if (sink->to_syslog) {
		syslog(syslog_priority(event->level), "%s", buf_str(&line));
		return;
	}
	buf_putc(&line, '\n');
	if (sink->progress)
		progress_clear(*sink->progress);
	(void)!write(sink->fd, line.data, line.len);
}

void log_sink_attach(struct log *log, struct log_sink *sink)
{
	log->write = sink_write;
	log->ctx = sink;
}
