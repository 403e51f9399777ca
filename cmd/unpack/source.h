/* Where a bundle comes from. Each appends all of it to `into`; 0 or -1. */
#pragma once

#include "base/err.h"
#include "base/spool.h"
#include "conf/settings.h"

/* What is left to read, up to its end. */
int source_descriptor(int fd, struct spool *into, struct err *err);

/* A file or a pipe; ERR_NOTFOUND, ERR_NOINPUT for anything else. */
int source_file(const char *path, struct spool *into, struct err *err);

/* An object in obox_index_fs; ERR_NOINPUT where there is none of that name. */
int source_object(const struct settings *settings, const char *key, struct spool *into,
		  struct err *err);
