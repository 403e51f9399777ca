/* The forms in which metacache-status tells what it read. */
#pragma once

#include "base/buf.h"
#include "common/common_check.h"
#include "metacache/status.h"
#include "tool/tool.h"

struct forms {
	const struct settings *settings;
	const struct status *status;
};

/* Tables one below the other, in the tool's format. */
int sections_print(struct tool *tool, const struct forms *forms, struct err *err);

/* One JSON document in a line. */
void document_print(const struct forms *forms, struct buf *out);

/* Prometheus' text exposition format. */
void prometheus_print(const struct forms *forms, struct buf *out);

/* A monitoring plugin's thresholds; what is above one is a problem. */
struct check_limits {
	uint64_t unflushed_s[2]; /* warning, critical */
	uint64_t usage_percent[2];
	uint64_t disk_percent[2];
	uint64_t rescan_s[2];
};

/* One line with performance data; returns the worst. */
enum common_check_code check_print(const struct forms *forms, const struct check_limits *limits,
				   struct buf *out);
