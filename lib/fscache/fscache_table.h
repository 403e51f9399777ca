/* What a log says that a cache directory holds, without the names: twelve bytes a
 * queue entry, so that a million files are compared in less than 20 MiB. A name is known
 * by 48 bits (its folder and 40 of a hash), an inode by 24: a rescan of a million
 * files mistakes one for another once in a hundred million runs, and the next finds
 * it, since each table has a key of its own.
 *
 * A log may name a file twice (one entry is dead then), so this is a bag. The part of a
 * folder belongs to one thread at a time; only fscache_table_add() may be called by
 * several at once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct fscache_table;

struct fscache_print {
	uint64_t name; /* 40 bits */
	unsigned folder;
	uint32_t inode; /* 24 bits */
};

enum fscache_table_state {
	FSCACHE_TABLE_ABSENT = 1, /* in the log, and not seen on disk */
	FSCACHE_TABLE_PRESENT,    /* seen */
	FSCACHE_TABLE_RESIZED,    /* seen with other bytes, which it has since then */
	FSCACHE_TABLE_EXPIRED,    /* seen and deleted by us */
	FSCACHE_TABLE_TAKEN,      /* written to a new log */
};

/* Room for so many entries, spread evenly; it grows. */
struct fscache_table *fscache_table_new(uint64_t entries);
void fscache_table_free(struct fscache_table **table);
#define autofscachetable CLEANUP(fscache_table_free)

/* `name` is that of the file in the folder. */
struct fscache_print fscache_table_print(const struct fscache_table *table, unsigned folder,
					 const char *name, size_t len, uint64_t inode);

/* One more entry, absent so far. Thread-safe. */
void fscache_table_add(struct fscache_table *table, struct fscache_print print, uint64_t bytes);

/* This will be asked for soon: bring it into the processor's cache. */
void fscache_table_fetch(struct fscache_table *table, struct fscache_print print);

/* The file is on disk with these bytes: its entry is present, or resized; `was_r` has then
 * the bytes that the log had. false: no entry is of this file. */
bool fscache_table_see(struct fscache_table *table, struct fscache_print print, uint64_t bytes,
		       uint64_t *was_r);

/* Its entry that was seen, if there is one, is expired. */
void fscache_table_expire(struct fscache_table *table, struct fscache_print print);

/* Whatever was seen of this name, whichever the inode, is void: absent. */
void fscache_table_doubt(struct fscache_table *table, struct fscache_print print);

/* One entry of the file was consumed, and the file is not there any more: that entry is
 * gone from the table, and others of the same file are absent. */
void fscache_table_remove(struct fscache_table *table, struct fscache_print print);

/* The first entry of the file that is present or resized becomes taken. Its bytes on
 * disk; false where there is none. */
bool fscache_table_take(struct fscache_table *table, struct fscache_print print, uint64_t *bytes_r);

/* What was taken is present again. */
void fscache_table_untake(struct fscache_table *table);

/* Whether any entry is of this file. */
bool fscache_table_has(struct fscache_table *table, struct fscache_print print);

/* Entries of that state and their bytes. */
struct fscache_table_sum {
	uint64_t files, bytes;
};
struct fscache_table_sum fscache_table_sum(struct fscache_table *table,
					   enum fscache_table_state state);
