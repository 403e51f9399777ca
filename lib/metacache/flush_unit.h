/* One unit of a flush; flush.h is the whole. */
#pragma once

#include "metacache/flush.h"
#include "metacache/state.h"

struct flush_unit {
	/* In. All of it is the caller's and is only read. */
	const struct metacache *mc;
	const struct metacache_home *home;
	int homefd;
	const struct unit *unit; /* as scanned under the user's lock */
	const struct flush_options *options;
	struct tidy *tidy;
	/* It was deleted when the root indexes were last uploaded and is here again: what storage
	 * has under its id is of the folder before. */
	bool reborn;
	/* Root unit: the folders that are here now and the ids of those that are gone; NULL else.
	 */
	const struct str_vec *folders;
	const struct str_vec *gone;
	/* Out. */
	enum flush_outcome outcome;
	uint64_t bytes;
	struct err err;
};

void flush_unit(struct flush_unit *job);
