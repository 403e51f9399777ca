/* Rescan: make the registry say just what is on disk; and take away what the crash rule gives up
 * (crash.h), if `mc` was opened with METACACHE_CRASHED. */
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
	/* What the registry's rows had wrong; kept in it, too, as notes of the last rescan that
	 * was complete. */
	uint64_t added;     /* homes that it did not know */
	uint64_t corrected; /* rows with other sizes, changes, conflicts or root */
	uint64_t bytes_off; /* the sum of all differences in size, removed and added users' too */
	uint64_t strange;   /* files and directories that are nobody's home */
	uint64_t failed;    /* homes that could not be looked at: their rows are kept */
	/* Units that were being written when the host crashed. */
	uint64_t discarded;           /* taken away */
	uint64_t discarded_important; /* of these, with changes that are not in storage: kept aside
				       */
	uint64_t suspect;             /* still here; */
	struct err suspect_err;       /* why the first one is */
};

/* Names of the notes. */
#define RESCAN_NOTE_WHEN "last_rescan"
#define RESCAN_NOTE_ADDED "rescan_added"
#define RESCAN_NOTE_CORRECTED "rescan_corrected"
#define RESCAN_NOTE_REMOVED "rescan_removed"
#define RESCAN_NOTE_BYTES_OFF "rescan_bytes_off"

typedef void rescan_progress_fn(void *ctx, uint64_t users);

/* 0; 1 when a part could not be read (err says which first): then nothing is
 * removed from the registry; -1 when it could not be done at all. */
int rescan_all(const struct metacache *mc, rescan_progress_fn *progress, void *ctx,
	       struct rescan_totals *totals_r, struct err *err);
