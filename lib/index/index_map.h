/* The mails of a folder as Dovecot sees them: dovecot.index with what its log says
 * since, or the logs alone where there is no dovecot.index yet. Read without
 * trusting it; strict: what Dovecot would repair is ERR_DATA here. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "index/index_files.h"
#include "index/index_header.h"

#define INDEX_MAP_BYTES_MAX ((size_t)256 * 1024 * 1024) /* more is refused */
#define INDEX_MAP_KEYWORDS_MAX 4096

struct index_map_mail {
	uint32_t uid;
	uint8_t flags; /* INDEX_FLAG_* */
	bool gone;     /* expunged, on the way through the log: never in a map that was loaded */
};

struct index_map {
	struct index_header header; /* today's: counts, next_uid, UIDVALIDITY */
	uint64_t highest_modseq;
	struct index_ext_vec exts;                         /* in the order that ext_id counts */
	struct str_vec keywords;                           /* by their bit */
	VEC(index_map_mails, struct index_map_mail) mails; /* UIDs ascend */
	/* Up to where the log was read; 0 where there is none. */
	uint32_t log_file_seq;
	uint64_t log_offset;
	bool modseqs; /* whether mails have modseqs of their own */
};

/* No log is no error if there is an index. -1 with ERR_NOTFOUND (neither), ERR_DATA
 * (corrupt, or the log does not reach back to the index), ERR_IO. To be freed in any
 * case. */
int index_map_load(const struct index_files *files, struct index_map *map_r, struct err *err);
void index_map_free(struct index_map *map);
#define autoindexmap CLEANUP(index_map_free)

/* Of the i-th mail. */
uint64_t index_map_modseq(const struct index_map *map, size_t i);
bool index_map_has_keyword(const struct index_map *map, size_t i, size_t keyword);

/* The ext's bytes for the i-th mail: ext->record_size of them; NULL where it has none. */
const unsigned char *index_map_record(const struct index_ext *ext, size_t i);

/* The first mail with that UID or a higher one. */
size_t index_map_find(const struct index_map *map, uint32_t uid);
