/* The header of dovecot.index (and dovecot.list.index): struct mail_index_header of
 * mail-index.h, and the extensions that follow it. Thread-safe. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

#define INDEX_HEADER_BASE_MIN 120                        /* MAIL_INDEX_HEADER_MIN_SIZE */
#define INDEX_HEADER_MAX ((size_t)64 * 1024 * 1024)      /* base and extensions */
#define INDEX_HEADER_EXT_DATA_MAX (16 * 1024 * 1024 - 1) /* of one extension */
#define INDEX_HEADER_EXTS_MAX 1024

#define INDEX_HEADER_CORRUPTED 0x1
#define INDEX_HEADER_HAVE_DIRTY 0x2
#define INDEX_HEADER_FSCKD 0x4

/* Where fields are in the file, for header updates. */
#define INDEX_HEADER_AT_FLAGS 20
#define INDEX_HEADER_AT_UID_VALIDITY 24
#define INDEX_HEADER_AT_NEXT_UID 28
#define INDEX_HEADER_AT_FIRST_RECENT 48
#define INDEX_HEADER_AT_LOG_TAIL 64

struct index_header {
	uint8_t major, minor, compat_flags;
	uint16_t base_header_size;
	uint32_t header_size; /* with the extensions */
	uint32_t record_size;
	uint32_t indexid, flags;
	uint32_t uid_validity, next_uid;
	uint32_t messages_count, seen_messages_count, deleted_messages_count;
	uint32_t first_recent_uid, first_unseen_uid_lowwater, first_deleted_uid_lowwater;
	uint32_t log_file_seq, log_file_tail_offset, log_file_head_offset;
	uint32_t day_stamp;
};

/* Cheap: one read. -1 with ERR_DATA: too short, another version or byte order,
 * sizes that cannot be; ERR_IO. A header marked as corrupt is read. */
int index_header_read(int fd, uint64_t size_bytes, struct index_header *header_r, struct err *err);

/* The fields from the bytes in the file, of which there are base_size. */
void index_header_parse(const unsigned char *bytes, size_t base_size,
			struct index_header *header_r);

/* struct mail_index_ext_header. */
struct index_ext {
	char *name;
	uint32_t reset_id;
	uint16_t record_offset, record_size, record_align;
	struct buf data;   /* its own header */
	struct buf column; /* record_size bytes for each mail; of index_map only */
};
VEC(index_ext_vec, struct index_ext);

void index_header_free_exts(struct index_ext_vec *exts);
#define autoexts CLEANUP(index_header_free_exts)

/* The extension of that name, or NULL. */
struct index_ext *index_header_ext(const struct index_ext_vec *exts, const char *name, size_t len);

/* Whether the name and sizes of an extension are such as Dovecot accepts. 0, or -1
 * with ERR_DATA. */
int index_header_check_ext(const char *name, size_t name_len, uint64_t hdr_size,
			   const struct index_ext *ext, struct err *err);

/* The extensions of an index file, in their order: it is what ext_id in the log
 * counts. -1 with ERR_DATA, ERR_IO; what was added before stays. */
int index_header_read_exts(int fd, uint64_t size_bytes, const struct index_header *header,
			   struct index_ext_vec *exts, struct err *err);
