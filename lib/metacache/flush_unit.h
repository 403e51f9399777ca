/* One unit of a flush, in two steps; flush.h is the whole. */
#pragma once

#include "metacache/changes.h"
#include "metacache/flush.h"
#include "metacache/remote.h"
#include "metacache/state.h"

struct flush_unit {
	/* In. All of it is the caller's and is only read. */
	const struct metacache *mc;
	const struct metacache_home *home;
	int homefd;
	struct unit *unit; /* as scanned under the user's lock; updated by an upload */
	const struct flush_options *options;
	struct tidy *tidy;
	/* It was deleted when the root indexes were last uploaded and is here again: what storage
	 * had under its id then is of the folder before. NULL else. */
	const struct bundle_gone *reborn;
	/* Root unit: the folders that are here now and those that are gone; NULL else. */
	const struct str_vec *folders;
	const struct bundle_gone_vec *gone;
	/* What storage has of it, where the caller listed it already; else NULL. */
	const struct remote_unit *listed;
	/* Out. */
	enum flush_outcome outcome;
	uint64_t bytes;
	struct err err;
	/* Between the steps. */
	int unitfd;
	struct state state;
	bool changed;   /* has to be uploaded, or only tidied up: storage is asked */
	bool only_tidy; /* superseded bundles are left of an earlier upload */
	bool known;     /* there is a readable .state, and it says what `state` says */
	bool named;     /* state.next is on disk, or would be the same again */
	enum state_standing standing; /* as storage was found */
	struct changes_found found;   /* once they were looked for: has a reason then */
};

/* Look at the unit, without asking storage: either it is `changed` and has to be
 * uploaded, or the outcome stands. */
void flush_unit_look(struct flush_unit *job);

/* Upload it; sets the outcome. */
void flush_unit_upload(struct flush_unit *job);

/* Which changes it has now that are not uploaded. */
enum registry_changes flush_unit_changes(struct flush_unit *job);

void flush_unit_free(struct flush_unit *job);
