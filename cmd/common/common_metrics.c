#include "common/common_metrics.h"

#include <string.h>

#include "base/utf8.h"

void common_metrics_label(struct buf *out, const char *s)
{
	while (*s != '\0') {
		size_t len = utf8_char_len(s, strnlen(s, 4));

		if (*s == '\n')
			buf_puts(out, "\\n");
		else if (*s == '"' || *s == '\\')
			buf_printf(out, "\\%c", *s);
		else if (len > 0)
			buf_append(out, s, len);
		else
			buf_puts(out, "\xEF\xBF\xBD");
		s += len > 0 ? len : 1;
	}
}

void common_metrics_family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void common_metrics_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
	common_metrics_family(out, name, "gauge", help);
	buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}
