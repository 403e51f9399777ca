/* Temporaries that killed programs left in a cache directory. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Delete each file in tmp/ that nobody is fetching into. 0, or -1 when tmp/ can't be
 * read. What does not belong there is told to `foreign` (may be NULL). */
int fscache_sweep(int dirfd, uint64_t *files_r, uint64_t *bytes_r,
		  void (*foreign)(void *ctx, const char *path, const char *what), void *ctx,
		  struct err *err);
