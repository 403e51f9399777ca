/* What a flush uploads of a unit: a base, or a diff where one is small enough.
 * flush.h is the whole. */
#pragma once

#include "base/buf.h"
#include "base/spool.h"
#include "metacache/blocks.h"
#include "metacache/flush_unit.h"
#include "metacache/snapshot.h"

struct flush_packed {
	struct spool *spool;
	struct buf name; /* of the object */
	int64_t time_ns; /* in its name */
	bool is_diff;
	struct str_vec superseded; /* listed objects that it stands in for: to be deleted */
	char *later;               /* the one of them that another writer may be building a diff
				      on right now: only after a later listing; NULL: none */
	struct str_vec unmerged;   /* of another writer, or needed by what is: they stay */
	struct blocks blocks;      /* of a base; without a name where a diff would never pay */
};
void flush_pack_free(struct flush_packed *packed);
#define autopacked CLEANUP(flush_pack_free)

/* Pack the snapshot of job's unit, whose objects in storage are `remote`. 0 or -1; to
 * be freed in any case. */
int flush_pack(const struct flush_unit *job, const struct snapshot *snapshot,
	       const struct remote_unit *remote, struct flush_packed *packed_r, struct err *err);

/* Where Dovecot's log ends in the snapshot; all 0 where that can't be told. */
void flush_pack_log_end(const struct unit *unit, const struct snapshot *snapshot,
			struct index_position *end_r);
