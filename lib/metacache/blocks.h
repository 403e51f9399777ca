/* .state.blocks: what a unit's base was made of, so that a diff can be cut without
 * keeping the base. A binary file beside .state, replaced atomically; it never
 * travels and is no file of the unit. It is a cache: without it, or when it is of
 * another base than .state says, the next upload is a base.
 *
 *   upload of a base     blocks_start(), bundle_pack(), blocks_finish(), blocks_write()
 *   download             bundle_unpack(), blocks_from_dir(), [bundle_apply(),
 *                        blocks_identify(),] blocks_write()
 *   upload of a diff     blocks_read(), [blocks_keep(),] blocks_plan(), bundle_pack()
 *
 * All integers are little-endian:
 *   "MCBLOCKS"  u32 version  u32 number of files
 *   u32 indexid  u32 log_file_seq  u64 log_offset  u16 length  the base's name
 *   for each file: u16 length  name  u64 ino  u64 size  i64 mtime  16 digest
 *                  u32 number of hashes, 16 bytes each
 *   16 XXH3-128 of all before */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"
#include "bundle/bundle.h"

#define BLOCKS_NAME ".state.blocks"
#define BLOCKS_VERSION 1
#define BLOCKS_BYTES_MAX ((size_t)128 * 1024 * 1024) /* of .state.blocks */
/* Files beyond that, summed up in the order of their names, get no hashes: they are
 * unchanged or travel whole. */
#define BLOCKS_HASHED_MAX (UINT64_C(4) << 30)

/* A file of the base. Inode, size and time are those that it has on this disk: as
 * long as they are the same, it needs not be read. */
struct blocks_file {
	char *name;
	uint64_t ino; /* 0: not here */
	uint64_t size_bytes;
	int64_t mtime_ns;
	unsigned char digest[HASH_CONTENT_SIZE];
	struct buf hashes; /* HASH_CONTENT_SIZE for each block; empty: there are none */
};
VEC(blocks_file_vec, struct blocks_file);

struct blocks {
	char *base; /* object name */
	/* Where in the log the base's dovecot.index stands; 0s: unknown. Set by
	 * blocks_note_index(), read by the caller only. */
	uint32_t indexid, log_file_seq;
	uint64_t log_offset;
	struct blocks_file_vec files; /* sorted by name */
};
void blocks_free(struct blocks *blocks);
#define autoblocks CLEANUP(blocks_free)

/* Have bundle_pack() collect the hashes of a base's sources, which must be sorted
 * by name and outlive it; sets their `blocks`. blocks_finish() takes the digests that it
 * found; the index's place in the log is still to be set. After a failure to pack all is
 * to be thrown away. -1: a source can't be looked at. */
int blocks_start(struct blocks *blocks_r, struct bundle_source *sources, size_t count,
		 struct err *err);
void blocks_finish(struct blocks *blocks, const char *base, const struct bundle_manifest *manifest);

/* Read the header of the base's dovecot.index; one that can't be read is as good as none. */
void blocks_note_index(struct blocks *blocks, int index_fd, uint64_t index_bytes);

/* The same from a base that bundle_unpack() just unpacked into `dirfd`: reads its
 * files again for the hashes. */
int blocks_from_dir(const char *base, int dirfd, const struct bundle_manifest *manifest,
		    struct blocks *blocks_r, struct err *err);

/* The tree is the one in `dirfd`, where a diff on this base was applied, whose
 * manifest this is: note which of its files are those of the base, unchanged. */
int blocks_identify(struct blocks *blocks, int dirfd, const struct bundle_manifest *manifest,
		    struct err *err);

/* Replace <unit>/.state.blocks; not fsynced. */
int blocks_write(int unitfd, const struct blocks *blocks, struct err *err);

/* 1, 0 there is none, -1 (ERR_DATA: torn, damaged, of another version). */
int blocks_read(int unitfd, struct blocks *blocks_r, struct err *err);

/* The same from bytes; 0 or -1. */
int blocks_parse(const void *data, size_t len, struct blocks *blocks_r, struct err *err);

/* The file of the base by that name, or NULL. */
const struct blocks_file *blocks_find(const struct blocks *blocks, const char *name);

/* Have the diff say that this file is as in the base, whatever it is here: its
 * size, time and digest become those of the base. For a dovecot.index that the log
 * leads to from that of the base. */
void blocks_keep(const struct blocks_file *file, struct bundle_source *source);

/* How today's files come out of the base. */
struct blocks_plan {
	struct bundle_range_vec *ranges; /* of each source; what their `ranges` point to */
	size_t count;
	uint64_t travel_bytes; /* before compression: what is not in the base */
	uint64_t base_bytes;   /* of all files of the base */
};
void blocks_plan_free(struct blocks_plan *plan);
#define autoplan CLEANUP(blocks_plan_free)

/* Decide for each source what is cheapest, and set its `from`, ranges and digests:
 * as in the base (same inode, size and time: not read; or the same content), pieces
 * of a file of the base that has its inode or its name (for NAME.log.2 also that of
 * NAME.log), or whole. A source that has `from` already is left alone. Files with
 * hashes in the base are read once, here; bundle_pack() then reads only what travels.
 * The sources borrow from `blocks` and the plan. -1: a source can't be read, or
 * ERR_BUSY when it got shorter. */
int blocks_plan(const struct blocks *blocks, struct bundle_source *sources, size_t count,
		struct blocks_plan *plan_r, struct err *err);
