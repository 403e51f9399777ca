/* Where a status is written. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Replace the regular file `path` by rename, readable for everybody; NULL: write to stdout. A
 * failure leaves the old file. */
int common_output_write(const char *path, const struct buf *text, struct err *err);
