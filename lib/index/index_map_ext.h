/* What extensions hold for each mail, as one column an extension; a part of
 * index_map. */
#pragma once

#include "index/index_map.h"
#include "index/index_map_apply.h"

#define INDEX_MAP_EXT_KEYWORDS "keywords"
#define INDEX_MAP_EXT_MODSEQ "modseq"

/* The extension that holds keywords' bits or modseqs; NULL where there is none. */
struct index_ext *index_map_ext_find(const struct index_map *map, const char *name);

/* Room for `record_size` bytes a mail; what is added is zero. -1 with ERR_DATA where all
 * would need more than INDEX_MAP_BYTES_MAX. */
int index_map_ext_resize(struct index_map *map, struct index_ext *ext, size_t record_size,
			 struct err *err);

/* One mail more at the end of every column, of zeros. */
int index_map_ext_append(struct index_map *map, struct err *err);

/* The number of the keyword, which is added where it is new. -1 with ERR_DATA. */
int index_map_ext_keyword(struct index_map *map, const char *name, size_t len, size_t *keyword_r,
			  struct err *err);

/* Give the mails of [first, end) this modseq if theirs is lower. */
void index_map_ext_raise(const struct index_map *map, size_t first, size_t end, uint64_t modseq);

/* EXT_INTRO, EXT_RESET, EXT_HDR_UPDATE, EXT_REC_UPDATE, EXT_ATOMIC_INC. */
int index_map_ext_record(struct index_map_apply *apply, const struct index_record *record,
			 struct err *err);
