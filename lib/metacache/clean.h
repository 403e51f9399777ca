/* Clean: remove local copies of what storage holds, and nothing else.
 *
 * Each unit must be unchanged since its upload, and storage must list its bundle
 * now. Nobody may have its files open, and the user's lock is taken without
 * waiting. A tree is renamed into .trash (whole or not at all), looked at once
 * more, put back if anything happened to it meanwhile, and only then deleted.
 * None of that needs free space. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "metacache/metacache.h"

struct clean_options {
	unsigned priority_min; /* units of this priority and below; 0: the whole home */
	int64_t unused_s;      /* only users not accessed for so long; 0: all */
	bool dry_run;
};

enum clean_outcome {
	CLEAN_NOTHING, /* no such unit here, or it was used too recently */
	CLEAN_CLEANED,
	CLEAN_BUSY,  /* locked, or a session has it open */
	CLEAN_DIRTY, /* not fully in storage, or holds what is in no bundle */
	CLEAN_FAILED,
};
const char *clean_outcome_name(enum clean_outcome outcome);

struct clean_result {
	enum clean_outcome outcome;
	unsigned units; /* removed, or that would be */
	uint64_t bytes; /* freed, the same */
	struct err err; /* why not */
};

/* One user. 0 with result_r, -1 when nothing could be looked at (a bad name, no such user here:
 * ERR_NOUSER, storage that does not answer). */
int clean_user(const struct metacache *mc, const char *user, const struct clean_options *options,
	       struct clean_result *result_r, struct err *err);
