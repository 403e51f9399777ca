/* Prometheus' text exposition format. */
#pragma once

#include <stdint.h>

#include "base/buf.h"

/* What stands in front of the samples of one name; type is "gauge" or "counter". */
void common_metrics_family(struct buf *out, const char *name, const char *type, const char *help);

/* A label's value: UTF-8, with \ " and newline escaped. */
void common_metrics_label(struct buf *out, const char *s);

/* A family of one sample without labels. */
void common_metrics_gauge(struct buf *out, const char *name, const char *help, uint64_t value);
