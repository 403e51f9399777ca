/* Where the event log goes: stderr or syslog, as text or JSON, one line an
 * event, written in one piece so that threads never mix within a line.
 *
 *   text    2026-11-23T09:41:18Z info metacache_upload_finished user=a@b bytes=12
 *   json    {"time":"…","level":"info","event":"metacache_upload_finished",…}
 *   syslog  without time and level, which syslog has itself */
#pragma once

#include "base/buf.h"
#include "base/log.h"

struct progress;

enum log_sink_format { LOG_SINK_TEXT, LOG_SINK_JSON };

struct log_sink {
	enum log_sink_format format;
	bool to_syslog;                   /* openlog() is the program's */
	int fd;                           /* written to where not to syslog */
	struct progress *const *progress; /* taken off the screen first; may be NULL */
};

/* Let `log` write to `sink`, which must live as long. The level stays. A line
 * that cannot be written is lost: there is nowhere to say so. */
void log_sink_attach(struct log *log, struct log_sink *sink);

/* One event without a newline, as `sink` would write it. */
void log_sink_render(struct buf *line, const struct log_sink *sink, const struct log_event *event);
