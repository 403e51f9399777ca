/* The event log, handed in by the caller: the library says what happened, the
 * program decides whether and where it is written (tool/log_sink.h).
 *
 *   log_info(log, "metacache_upload_finished", log_str("user", user),
 *            log_uint("bytes", bytes));
 *
 * Events have Dovecot's names. A NULL log is silent, and fields of an event that
 * nobody wants are not evaluated. Thread-safe if the sink is. A field never
 * carries a secret. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 1, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_kind { LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_UINT, LOG_KIND_BOOL };

struct log_field {
	const char *name;
	enum log_kind kind;
	union {
		const char *s; /* NULL: the field is left out */
		int64_t i;
		uint64_t u;
		bool b;
	};
};

struct log_event {
	enum log_level level;
	const char *name;
	const struct log_field *fields;
	size_t field_count;
};

struct log {
	enum log_level level; /* events above this are dropped; 0 drops all */
	void (*write)(void *ctx, const struct log_event *event);
	void *ctx;
};

static inline struct log_field log_str(const char *name, const char *s)
{
	return (struct log_field){ .name = name, .kind = LOG_KIND_STR, .s = s };
}

static inline struct log_field log_int(const char *name, int64_t i)
{
	return (struct log_field){ .name = name, .kind = LOG_KIND_INT, .i = i };
}

static inline struct log_field log_uint(const char *name, uint64_t u)
{
	return (struct log_field){ .name = name, .kind = LOG_KIND_UINT, .u = u };
}

static inline struct log_field log_bool(const char *name, bool b)
{
	return (struct log_field){ .name = name, .kind = LOG_KIND_BOOL, .b = b };
}

static inline bool log_wants(const struct log *log, enum log_level level)
{
	return log && log->write && level <= log->level;
}

/* What the macros below call. */
void log_write(const struct log *log, enum log_level level, const char *name,
	       const struct log_field *fields, size_t field_count);

#define log_event(log_, level_, name_, ...)                                                        \
	do {                                                                                       \
		const struct log *to_ = (log_);                                                    \
		if (log_wants(to_, (level_))) {                                                    \
			const struct log_field fields_[] = { __VA_ARGS__ };                        \
			log_write(to_, (level_), (name_), fields_,                                 \
				  sizeof fields_ / sizeof(struct log_field));                      \
		}                                                                                  \
	} while (0)

#define log_error(log, name, ...) log_event(log, LOG_LEVEL_ERROR, name, __VA_ARGS__)
#define log_warning(log, name, ...) log_event(log, LOG_LEVEL_WARNING, name, __VA_ARGS__)
#define log_info(log, name, ...) log_event(log, LOG_LEVEL_INFO, name, __VA_ARGS__)
#define log_debug(log, name, ...) log_event(log, LOG_LEVEL_DEBUG, name, __VA_ARGS__)

/* "error", "warning", "info", "debug". */
const char *log_level_name(enum log_level level);
