#include "fscache/fscache_table.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "fscache/fscache_name.h"

#define NAME_BITS 40
#define INODE_BITS 24
#define STATE_BITS 3
#define STATE_MASK ((1U << STATE_BITS) - 1)
#define ROOM_MIN 16

/* Of a slot beside those of an entry. */
enum { FREE = 0, GONE = 7 };

/* A slot is a key (name and inode) and a tag (blocks and state). */
struct part {
	uint64_t *keys;
	uint32_t *tags;
	uint32_t room, used; /* used: what is not free */
	pthread_mutex_t lock;
};

struct fscache_table {
	uint64_t seed;
	struct part parts[FSCACHE_FOLDERS];
};

static uint64_t key_of(struct fscache_print print)
{
	return print.name << INODE_BITS | print.inode;
}

/* Blocks of 512 bytes; what is no such number is none that a file can have. */
static uint32_t blocks_of(uint64_t bytes)
{
	const uint32_t none = UINT32_MAX >> STATE_BITS;

	return bytes % 512 == 0 && bytes / 512 < none ? (uint32_t)(bytes / 512) : none;
}

static uint32_t tag_of(uint64_t bytes, unsigned state)
{
	return blocks_of(bytes) << STATE_BITS | state;
}

static uint64_t bytes_of(uint32_t tag)
{
	return (uint64_t)(tag >> STATE_BITS) * 512;
}

static void make_room(struct part *part, uint32_t room)
{
	part->room = room;
	part->keys = xcalloc(room, sizeof *part->keys);
	part->tags = xcalloc(room, sizeof *part->tags);
}

struct fscache_table *fscache_table_new(uint64_t entries)
{
	struct fscache_table *table = xcalloc(1, sizeof *table);
	uint64_t room = entries / FSCACHE_FOLDERS * 5 / 4 + ROOM_MIN;

	clock_random(&table->seed, sizeof table->seed);
	for (size_t i = 0; i < FSCACHE_FOLDERS; i++) {
		pthread_mutex_init(&table->parts[i].lock, NULL);
		make_room(&table->parts[i], (uint32_t)(room < UINT32_MAX / 2 ? room : ROOM_MIN));
	}
	return table;
}

void fscache_table_free(struct fscache_table **table)
{
	if (!*table)
		return;
	for (size_t i = 0; i < FSCACHE_FOLDERS; i++) {
		free((*table)->parts[i].keys);
		free((*table)->parts[i].tags);
		pthread_mutex_destroy(&(*table)->parts[i].lock);
	}
	free(*table);
	*table = NULL;
}

struct fscache_print fscache_table_print(const struct fscache_table *table, unsigned folder,
					 const char *name, size_t len, uint64_t inode)
{
	return (struct fscache_print){
		.folder = folder % FSCACHE_FOLDERS,
		.name = hash_64(name, len, table->seed) >> (64 - NAME_BITS),
		.inode = (uint32_t)(inode * 0x9e3779b97f4a7c15U >> (64 - INODE_BITS)),
	};
}

static uint32_t first_slot(const struct part *part, uint64_t key)
{
	return (uint32_t)((key >> INODE_BITS) * part->room >> NAME_BITS);
}

static unsigned state_at(const struct part *part, uint32_t slot)
{
	return part->tags[slot] & STATE_MASK;
}

static void set_state(struct part *part, uint32_t slot, unsigned state)
{
	part->tags[slot] = (part->tags[slot] & ~STATE_MASK) | state;
}

static bool is_entry(const struct part *part, uint32_t slot)
{
	return state_at(part, slot) != FREE && state_at(part, slot) != GONE;
}

/* From `slot` on, the next that is free or whose name is that of the key. */
static uint32_t next_of_name(const struct part *part, uint32_t slot, uint64_t key)
{
	while (state_at(part, slot) != FREE &&
	       (!is_entry(part, slot) || part->keys[slot] >> INODE_BITS != key >> INODE_BITS))
		slot = slot + 1 < part->room ? slot + 1 : 0;
	return slot;
}

/* The same for the whole key. There always is a free slot. */
static uint32_t next_of_key(const struct part *part, uint32_t slot, uint64_t key)
{
	while (state_at(part, slot) != FREE && (!is_entry(part, slot) || part->keys[slot] != key))
		slot = slot + 1 < part->room ? slot + 1 : 0;
	return slot;
}

static uint32_t after(const struct part *part, uint32_t slot)
{
	return slot + 1 < part->room ? slot + 1 : 0;
}

static void put(struct part *part, uint64_t key, uint32_t tag)
{
	uint32_t slot = first_slot(part, key);

	while (state_at(part, slot) != FREE)
		slot = after(part, slot);
	part->keys[slot] = key;
	part->tags[slot] = tag;
	part->used++;
}

static void grow(struct part *part)
{
	struct part old = *part;

	part->used = 0;
	make_room(part, old.room + old.room / 2);
	for (uint32_t i = 0; i < old.room; i++) {
		if (is_entry(&old, i))
			put(part, old.keys[i], old.tags[i]);
	}
	free(old.keys);
	free(old.tags);
}

void fscache_table_add(struct fscache_table *table, struct fscache_print print, uint64_t bytes)
{
	struct part *part = &table->parts[print.folder];

	pthread_mutex_lock(&part->lock);
	if (part->used + part->used / 8 + 1 >= part->room)
		grow(part);
	put(part, key_of(print), tag_of(bytes, FSCACHE_TABLE_ABSENT));
	pthread_mutex_unlock(&part->lock);
}

bool fscache_table_see(struct fscache_table *table, struct fscache_print print, uint64_t bytes,
		       uint64_t *was_r)
{
	struct part *part = &table->parts[print.folder];
	uint64_t key = key_of(print);
	uint32_t first = next_of_key(part, first_slot(part, key), key), slot = first;

	if (state_at(part, first) == FREE)
		return false;
	/* Of several the one that is right, if any is. */
	while (state_at(part, slot) != FREE && part->tags[slot] >> STATE_BITS != blocks_of(bytes))
		slot = next_of_key(part, after(part, slot), key);
	if (state_at(part, slot) == FREE)
		slot = first;
	*was_r = bytes_of(part->tags[slot]);
	if (*was_r != bytes)
		part->tags[slot] = tag_of(bytes, FSCACHE_TABLE_RESIZED);
	else if (state_at(part, slot) == FSCACHE_TABLE_ABSENT)
		set_state(part, slot, FSCACHE_TABLE_PRESENT);
	return true;
}

void fscache_table_expire(struct fscache_table *table, struct fscache_print print)
{
	struct part *part = &table->parts[print.folder];
	uint64_t key = key_of(print);
	uint32_t slot = next_of_key(part, first_slot(part, key), key);

	while (state_at(part, slot) == FSCACHE_TABLE_ABSENT)
		slot = next_of_key(part, after(part, slot), key);
	if (state_at(part, slot) != FREE)
		set_state(part, slot, FSCACHE_TABLE_EXPIRED);
}

void fscache_table_doubt(struct fscache_table *table, struct fscache_print print)
{
	struct part *part = &table->parts[print.folder];
	uint64_t key = key_of(print);
	uint32_t slot = first_slot(part, key);

	for (; state_at(part, slot = next_of_name(part, slot, key)) != FREE;
	     slot = after(part, slot))
		set_state(part, slot, FSCACHE_TABLE_ABSENT);
}

void fscache_table_remove(struct fscache_table *table, struct fscache_print print)
{
	struct part *part = &table->parts[print.folder];
	uint64_t key = key_of(print);
	uint32_t first = next_of_key(part, first_slot(part, key), key), slot = first;

	for (; state_at(part, slot) != FREE; slot = next_of_key(part, after(part, slot), key))
		set_state(part, slot, FSCACHE_TABLE_ABSENT);
	if (first != slot)
		set_state(part, first, GONE);
}

bool fscache_table_take(struct fscache_table *table, struct fscache_print print, uint64_t *bytes_r)
{
	struct part *part = &table->parts[print.folder];
	uint64_t key = key_of(print);
	uint32_t slot = first_slot(part, key);

	for (; state_at(part, slot = next_of_key(part, slot, key)) != FREE;
	     slot = after(part, slot)) {
		if (state_at(part, slot) != FSCACHE_TABLE_PRESENT &&
		    state_at(part, slot) != FSCACHE_TABLE_RESIZED)
			continue;
		*bytes_r = bytes_of(part->tags[slot]);
		set_state(part, slot, FSCACHE_TABLE_TAKEN);
		return true;
	}
	return false;
}

void fscache_table_untake(struct fscache_table *table)
{
	for (size_t i = 0; i < FSCACHE_FOLDERS; i++) {
		for (uint32_t slot = 0; slot < table->parts[i].room; slot++) {
			if (state_at(&table->parts[i], slot) == FSCACHE_TABLE_TAKEN)
				set_state(&table->parts[i], slot, FSCACHE_TABLE_PRESENT);
		}
	}
}

bool fscache_table_has(const struct fscache_table *table, struct fscache_print print)
{
	const struct part *part = &table->parts[print.folder];
	uint64_t key = key_of(print);

	return state_at(part, next_of_key(part, first_slot(part, key), key)) != FREE;
}

struct fscache_table_sum fscache_table_sum(const struct fscache_table *table,
					   enum fscache_table_state state)
{
	struct fscache_table_sum sum = { 0 };

	for (size_t i = 0; i < FSCACHE_FOLDERS; i++) {
		const struct part *part = &table->parts[i];

		for (uint32_t slot = 0; slot < part->room; slot++) {
			if (state_at(part, slot) != (unsigned)state)
				continue;
			sum.files++;
			sum.bytes += bytes_of(part->tags[slot]);
		}
	}
	return sum;
}
