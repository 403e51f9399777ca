/* Cleaning until all indexes together use no more than a limit, the lowest cleanup
 * weight first (weight.h). What has changes is flushed before.
 *
 * Who goes first is taken from the registry; what is done is decided by clean.h's
 * rules, whatever the registry said. A user that can't be cleaned now is passed
 * over; one for whom there was no space left is tried again when there is some. Where
 * nothing makes any, .trash's reserve does (trash.h). Where storage has newer indexes
 * than a changed user's, those are fetched, and then cleaned. */
#pragma once

#include "metacache/clean.h"
#include "metacache/flush.h"

struct clean_limit_totals {
	uint64_t limit_bytes;
	/* Used by all indexes, by the registry; of what was cleaned, by what was there. */
	uint64_t before_bytes, after_bytes;
	uint64_t users; /* of whom something was removed */
	uint64_t units;
	uint64_t flushed; /* units that were uploaded before */
	uint64_t passed;  /* users that were not cleaned: busy, dirty, failed */
};

/* Called for each user that was cleaned or passed over. Return 0, or -1 to stop. */
typedef int clean_limit_fn(void *ctx, const char *user, const struct clean_result *result,
			   struct err *err);

/* The registry must be open. `options` as in clean_user(): what they leave out is not
 * cleaned. `tidy` as in flush_user(). 0, also when the limit could not be reached
 * (after_bytes tells); -1 with err. */
int clean_to_limit(const struct metacache *mc, uint64_t limit_bytes,
		   const struct clean_options *options, struct workers *pool, struct tidy *tidy,
		   clean_limit_fn *fn, void *ctx, struct clean_limit_totals *totals_r,
		   struct err *err);
