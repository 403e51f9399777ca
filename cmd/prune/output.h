/* What metacache-prune prints. */
#pragma once

#include "metacache/prune.h"
#include "tool/print.h"

#define OUTPUT_FIELDS 11
extern const struct print_field output_fields[OUTPUT_FIELDS];

int output_row(struct printer *printer, const struct prune_result *result, struct err *err);

/* With the requests that were made since `mc` was opened. */
int output_summary(struct printer *printer, const struct metacache *mc,
		   const struct prune_totals *totals, int64_t duration_ms, struct err *err);
