/* The lines of fscache.log, version 1. Text, one line a record, fields separated
 * by one blank, numbers in decimal:
 *
 *   + <time> <bytes> <inode> <name>            added
 *   - <time> <bytes> <inode> <cursor> <name>   evicted, or found to be gone
 *   ~ <time> <bytes> <inode> <cursor> <name>   used since, so spared: queued again
 *   ! <time> <hits> <passed>                   what one process counted since its last
 *   = <time> <offset> <bytes> <files> <cursor> <hits> <misses> <passed> <evictions> <why>
 *
 * time is UNIX seconds, bytes are blocks in use (st_blocks * 512), offsets are
 * those of this file. The first line of the file is "fscache.log 1".
 *
 * The + and ~ lines are a queue. Its head is the cursor: each entry is consumed
 * once, by the - or ~ line whose <cursor> is the offset behind that entry. A
 * checkpoint (=) says what all lines before <offset> add up to. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define FSCACHE_RECORD_MAX 512 /* bytes of a line; a longer one is damaged */

enum fscache_record_kind {
	FSCACHE_ADDED = '+',
	FSCACHE_REMOVED = '-',
	FSCACHE_SPARED = '~',
	FSCACHE_COUNTED = '!',
	FSCACHE_CHECKPOINT = '=',
};

/* What the lines up to some offset add up to. */
struct fscache_totals {
	uint64_t bytes, files; /* of what is in the queue */
	uint64_t cursor;
	uint64_t hits;
	uint64_t misses; /* fetched and kept: the + lines */
	uint64_t passed; /* fetched and not kept */
	uint64_t evictions;
};

struct fscache_record {
	enum fscache_record_kind kind;
	int64_t when_s;
	uint64_t bytes, inode;        /* + - ~ */
	uint64_t cursor;              /* - ~ */
	uint64_t offset;              /* = */
	struct fscache_totals totals; /* = all; ! hits and passed */
	const char *name;             /* + - ~; of = the why: one word */
};

/* Append the line with its newline. */
void fscache_record_format(struct buf *out, const struct fscache_record *record);

/* Read a line of `len` bytes without its newline, at line[len] is a NUL.
 * record_r->name points into it. false: it is no such line. */
bool fscache_record_parse(const char *line, size_t len, struct fscache_record *record_r);

/* Add the record whose line begins at `start` to the totals of all before it. A
 * checkpoint says nothing new and adds nothing. false: a cursor that cannot be
 * there; the totals are as before. */
bool fscache_record_apply(struct fscache_totals *totals, const struct fscache_record *record,
			  uint64_t start);
