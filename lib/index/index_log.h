/* A transaction log (dovecot.index.log, .log.2, dovecot.list.index.log) of Dovecot
 * 2.3 and 2.4, read without trusting it.
 *
 * The caller gives an open file and the size up to which it is to be read: a
 * live log only grows, so what is before that size stays as it is. It is read with
 * pread() into a bounded buffer: a file that is cut meanwhile is the end of the
 * reading, never a signal. Thread-safe; the file's own offset is not used. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "index/index_record.h"

#define INDEX_LOG_RECORD_MAX (64U * 1024 * 1024) /* a larger record is refused */

/* struct mail_transaction_log_header; fields that an older header lacks are 0. */
struct index_log_header {
	uint8_t major, minor;
	uint8_t compat_flags;
	uint16_t hdr_size;         /* where the first record is */
	uint32_t indexid;          /* shared with dovecot.index and the cache */
	uint32_t file_seq;         /* grows with each rotation */
	uint32_t prev_file_seq;    /* of the log before it; 0: there is none */
	uint32_t prev_file_offset; /* where that one ended */
	uint32_t create_stamp;     /* UNIX seconds */
	uint64_t initial_modseq;
};

/* -1 with ERR_DATA: too short, another version or byte order, or marked as corrupt
 * by Dovecot (indexid 0); ERR_IO. */
int index_log_header(int fd, uint64_t size_bytes, struct index_log_header *header_r,
		     struct err *err);

/* Called for each record, which is valid until it returns: 0 go on, 1 stop, -1
 * failed, with err. */
typedef int index_log_fn(void *ctx, const struct index_record *record, struct err *err);

/* Go through the records from `offset` (that of a record, or of the end; hdr_size
 * for all) to size_bytes. Records of a group (a boundary record and what follows
 * it) only come once the whole group is there. A record that is still being written
 * ends the reading; *end_r is up to where the log is complete, or where the callback
 * stopped (behind that record), or where it is corrupt.
 *
 * 0; -1: what the callback returned, ERR_IO, or ERR_DATA where a record is
 * corrupt: the message names its offset. */
int index_log_read(int fd, uint64_t size_bytes, uint64_t offset, index_log_fn *fn, void *ctx,
		   uint64_t *end_r, struct err *err);
