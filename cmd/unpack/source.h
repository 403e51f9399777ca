/* Where a bundle comes from. */
#pragma once

#include "base/err.h"
#include "base/spool.h"
#include "conf/settings.h"

/* Append all of a bundle to `into`: with settings the object of that name in
 * obox_index_fs, else a file or a pipe, or "-" for standard input. 0, or -1:
 * ERR_NOTFOUND, ERR_NOINPUT where there is none. */
int source_read(const struct settings *settings, const char *name, struct spool *into,
		struct err *err);
