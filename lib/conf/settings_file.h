/* A file of `key = value` lines. Lines that begin with # or ; are comments, so is
 * what follows " ;" in a line. No sections, no continued lines. */
#pragma once

#include "base/err.h"

/* A setting; -1 with err ends the reading. Texts live during the call. */
typedef int settings_file_fn(void *ctx, const char *key, const char *value, unsigned line,
			     struct err *err);

/* 1, 0 when there is no such file, -1 (ERR_CONFIG) for one that cannot be read or
 * has a bad line; an error of `fn` gets "<file> line <n>: " in front. */
int settings_file_read(const char *file, settings_file_fn *fn, void *ctx, struct err *err);
