/* Records of the log put on top of a map, as mail-index-sync-update.c does it; a part
 * of index_map. */
#pragma once

#include "base/buf.h"
#include "index/index_map.h"
#include "index/index_record.h"

struct index_map_apply {
	struct index_map *map;
	struct buf base;       /* the base header's bytes, which header updates write to */
	struct index_ext *ext; /* of the last introduction; NULL: none yet. Valid until
				  the next one */
	bool ignore;           /* that introduction was of an older reset */
	uint16_t record_size;  /* in that introduction */
	uint64_t modseq;       /* of the log at this record */
};

void index_map_apply_free(struct index_map_apply *apply);
#define autoindexapply CLEANUP(index_map_apply_free)

/* How the record moves the log's modseq; with records that are not applied, too. */
void index_map_apply_modseq(struct index_map_apply *apply, const struct index_record *record,
			    uint8_t log_minor);

/* 0, or -1 with ERR_DATA. */
int index_map_apply_record(struct index_map_apply *apply, const struct index_record *record,
			   struct err *err);
