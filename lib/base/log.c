#include "base/log.h"

void log_write(const struct log *log, enum log_level level, const char *name,
	       const struct log_field *fields, size_t field_count)
{
	struct log_event event = {
		.level = level,
		.name = name,
		.fields = fields,
		.field_count = field_count,
	};

	if (log_wants(log, level))
		log->write(log->ctx, &event);
}

const char *log_level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "unknown";
}
