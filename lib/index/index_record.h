/* One record of a transaction log: what its type says and what it holds.
 *
 * The format is that of Dovecot's mail-transaction-log.h. A record that
 * index_record_set_type() accepted can be walked with index_record_next() without
 * any further check. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* enum mail_transaction_type. */
enum index_record_type {
	INDEX_RECORD_EXPUNGE = 0x00000001,
	INDEX_RECORD_APPEND = 0x00000002,
	INDEX_RECORD_FLAG_UPDATE = 0x00000004,
	INDEX_RECORD_HEADER_UPDATE = 0x00000020,
	INDEX_RECORD_EXT_INTRO = 0x00000040,
	INDEX_RECORD_EXT_RESET = 0x00000080,
	INDEX_RECORD_EXT_HDR_UPDATE = 0x00000100,
	INDEX_RECORD_EXT_REC_UPDATE = 0x00000200,
	INDEX_RECORD_KEYWORD_UPDATE = 0x00000400,
	INDEX_RECORD_KEYWORD_RESET = 0x00000800,
	INDEX_RECORD_EXT_ATOMIC_INC = 0x00001000,
	INDEX_RECORD_EXPUNGE_GUID = 0x00002000,
	INDEX_RECORD_MODSEQ_UPDATE = 0x00008000,
	INDEX_RECORD_EXT_HDR_UPDATE32 = 0x00010000,
	INDEX_RECORD_INDEX_DELETED = 0x00020000,
	INDEX_RECORD_INDEX_UNDELETED = 0x00040000,
	INDEX_RECORD_BOUNDARY = 0x00080000,
	INDEX_RECORD_ATTRIBUTE_UPDATE = 0x00100000,
};

/* Beside the type in the same 32 bits. */
#define INDEX_RECORD_TYPE_MASK 0x0fffffffU
#define INDEX_RECORD_EXPUNGE_PROT 0x0000cd90U /* an expunge without it is corrupt */
#define INDEX_RECORD_EXTERNAL 0x10000000U
#define INDEX_RECORD_SYNC 0x20000000U

#define INDEX_RECORD_HEADER_SIZE 8

/* Bits of a mail's flags (mail-types.h, mail-index.h). */
#define INDEX_FLAG_ANSWERED 0x01
#define INDEX_FLAG_FLAGGED 0x02
#define INDEX_FLAG_DELETED 0x04
#define INDEX_FLAG_SEEN 0x08
#define INDEX_FLAG_DRAFT 0x10
#define INDEX_FLAGS_VISIBLE 0x1f /* what a client sees; the rest is Dovecot's own */

struct index_record {
	uint64_t offset;     /* of the record in its file */
	uint32_t size_bytes; /* with its 8 bytes of header */
	enum index_record_type type;
	bool external; /* has already happened; an expunge that is not is a request */
	bool sync;     /* came from another server (dsync) */
	const unsigned char *data;
	size_t data_len;
};

/* Keywords of a KEYWORD_UPDATE are added, removed, or replace all others. */
enum index_record_modify {
	INDEX_RECORD_ADD = 0,
	INDEX_RECORD_REMOVE = 1,
};

/* One of a record's items. Which members are set depends on its type:
 *
 *   APPEND                     uid1 = uid2, add_flags
 *   EXPUNGE, KEYWORD_RESET     uid1, uid2
 *   KEYWORD_UPDATE             uid1, uid2; see index_record_keyword()
 *   EXPUNGE_GUID               uid1 = uid2, data (the GUID)
 *   FLAG_UPDATE                uid1, uid2, add_flags, remove_flags, modseq_inc
 *   MODSEQ_UPDATE              uid1 = uid2 (0: of the whole folder), modseq
 *   EXT_ATOMIC_INC             uid1 = uid2, diff
 *   HEADER_UPDATE, EXT_HDR_*   offset, data
 *   EXT_INTRO                  intro, data (the name; none where ext_id is known)
 *   ATTRIBUTE_UPDATE           data (name, behind "+p", "-p", "+s" or "-s")
 *   BOUNDARY                   offset: the bytes of the whole group
 *   others                     data: all of it, once
 *
 * EXT_REC_UPDATE comes as one run of bytes: the size of its items is only known
 * from the extension that was introduced before. */
struct index_record_item {
	uint32_t uid1, uid2;
	uint8_t add_flags, remove_flags;
	bool modseq_inc;
	int32_t diff;
	uint64_t modseq;
	uint32_t offset;
	const unsigned char *data;
	size_t len;
	struct index_record_intro {
		uint32_t ext_id; /* (uint32_t)-1: a new one, by name */
		uint32_t reset_id, hdr_size;
		uint16_t record_size, record_align, flags;
	} intro;
};
#define INDEX_RECORD_EXT_NEW UINT32_MAX
#define INDEX_RECORD_INTRO_NO_SHRINK 0x01

/* Fill in type and marks from the 32 bits of the header, and check that sizes, ranges
 * and names in the data are as they must be. 0, or -1 with ERR_DATA: that, no known
 * type, or an expunge without its protection. */
int index_record_set_type(struct index_record *record, uint32_t bits, struct err *err);

/* The item at *at (0 to begin with), which moves behind it. False at the end. */
bool index_record_next(const struct index_record *record, size_t *at,
		       struct index_record_item *item_r);

/* The keyword of a KEYWORD_UPDATE: not NUL-terminated, in the record's data. */
struct index_record_keyword {
	enum index_record_modify modify;
	const char *name;
	size_t len;
};
struct index_record_keyword index_record_keyword(const struct index_record *record);

/* "append", "flag-update", … */
const char *index_record_type_name(enum index_record_type type);
