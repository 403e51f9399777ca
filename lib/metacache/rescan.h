/* Rescan: make the registry say just what is on disk. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "metacache/metacache.h"

struct rescan_totals {
	uint64_t users;
	uint64_t units;
	uint64_t bytes;
	uint64_t changed; /* homes that the registry did not know, or knew differently */
	uint64_t removed; /* users of the registry that have no home */
	uint64_t strange; /* files and directories that are nobody's home */
	uint64_t failed;  /* homes that could not be looked at: their rows are kept */
};

typedef void rescan_progress_fn(void *ctx, uint64_t users);

/* 0; 1 when a part could not be read (err says which first): then nothing is
 * removed from the registry; -1 when it could not be done at all. */
int rescan_all(const struct metacache *mc, rescan_progress_fn *progress, void *ctx,
	       struct rescan_totals *totals_r, struct err *err);
