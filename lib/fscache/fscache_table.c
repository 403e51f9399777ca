#include "fscache/fscache_table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "fscache/fscache_name.h"

#define NAME_BITS 40
#define INODE_BITS 24
#define STATE_BITS 3
#define STATE_MASK ((1U << STATE_BITS) - 1)
#define ROOM_MIN 16
#define ROOM_MAX (1U << 18) /* to begin with */
#define LARGE_PAGE ((size_t)2 << 20)

/* Entries come in any order, so while they come they are only put one behind the other;
 * a part becomes a hash table when it is first asked, which is then all in the cache. */

/* Of a slot beside those of an entry. */
enum { FREE = 0, GONE = 7 };

/* In one piece, so that a look costs one line of the processor's cache. */
struct slot {
	uint64_t key; /* name and inode */
	uint32_t tag; /* blocks and state */
} __attribute__((packed));

struct part {
	struct slot *slots;
	struct slot *own;    /* slots, if they are not of the table's block any more */
	uint32_t room, used; /* used: what is not free */
	bool is_hashed;
	pthread_mutex_t lock;
};

struct fscache_table {
	uint64_t seed;
	struct slot *block; /* the slots of all parts that have not grown */
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

/* Slots that are not cleared yet, in large pages where the system has them: to touch the small
 * ones one by one for the first time takes longer than to fill them. */
static struct slot *make_block(size_t slots)
{
	size_t size = slots * sizeof(struct slot), skipped;
	char *block = xmalloc(size);

	skipped = -(uintptr_t)block % LARGE_PAGE;
	if (size > skipped + LARGE_PAGE)
		madvise(block + skipped, size - skipped, MADV_HUGEPAGE);
	return (void *)block;
}

struct fscache_table *fscache_table_new(uint64_t entries)
{
	struct fscache_table *table = xcalloc(1, sizeof *table);
	uint64_t room = entries / FSCACHE_FOLDERS * 5 / 4 + ROOM_MIN;

	clock_random(&table->seed, sizeof table->seed);
	if (room > ROOM_MAX)
		room = ROOM_MAX;
	table->block = make_block(room * FSCACHE_FOLDERS);
	for (size_t i = 0; i < FSCACHE_FOLDERS; i++) {
		table->parts[i].slots = table->block + i * room;
		table->parts[i].room = (uint32_t)room;
		pthread_mutex_init(&table->parts[i].lock, NULL);
	}
	return table;
}

void fscache_table_free(struct fscache_table **table)
{
	if (!*table)
		return;
	for (size_t i = 0; i < FSCACHE_FOLDERS; i++) {
		free((*table)->parts[i].own);
		pthread_mutex_destroy(&(*table)->parts[i].lock);
	}
	free((*table)->block);
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
	return part->slots[slot].tag & STATE_MASK;
}

static void set_state(struct part *part, uint32_t slot, unsigned state)
{
	part->slots[slot].tag = (part->slots[slot].tag & ~STATE_MASK) | state;
}

static bool is_entry(const struct part *part, uint32_t slot)
{
	return state_at(part, slot) != FREE && state_at(part, slot) != GONE;
}

/* From `slot` on, the next that is free or whose name is that of the key. */
static uint32_t next_of_name(const struct part *part, uint32_t slot, uint64_t key)
{
	while (state_at(part, slot) != FREE &&
	       (!is_entry(part, slot) || part->slots[slot].key >> INODE_BITS != key >> INODE_BITS))
		slot = slot + 1 < part->room ? slot + 1 : 0;
	return slot;
}

/* The same for the whole key. There always is a free slot. */
static uint32_t next_of_key(const struct part *part, uint32_t slot, uint64_t key)
{
	while (state_at(part, slot) != FREE &&
	       (!is_entry(part, slot) || part->slots[slot].key != key))
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
	part->slots[slot].key = key;
	part->slots[slot].tag = tag;
	part->used++;
}

static bool is_full(const struct part *part)
{
	return part->used + part->used / 8 + 1 >= part->room;
}

/* The same entries, hashed, in as much room or more. */
static void hash(struct part *part, uint32_t room)
{
	uint32_t count = part->is_hashed ? part->room : part->used;
	autofree struct slot *slots = xreallocarray(NULL, count + 1, sizeof *slots);
	const struct part old = { slots };

	memcpy(slots, part->slots, count * sizeof *slots);
	if (room > part->room) {
		free(part->own);
		part->slots = part->own = xcalloc(room, sizeof *part->slots);
		part->room = room;
	} else {
		memset(part->slots, 0, part->room * sizeof *part->slots);
	}
	part->used = 0;
	part->is_hashed = true;
	for (uint32_t i = 0; i < count; i++) {
		if (is_entry(&old, i))
			put(part, slots[i].key, slots[i].tag);
	}
}

static struct part *hashed(struct fscache_table *table, unsigned folder)
{
	struct part *part = &table->parts[folder];

	if (!part->is_hashed)
		hash(part, is_full(part) ? part->room + part->room / 2 : part->room);
	return part;
}

/* The entries of a part that is not hashed, in more room. */
static void grow(struct part *part, uint32_t room)
{
	struct slot *old = part->own;

	part->own = xreallocarray(NULL, room, sizeof *part->own);
	memcpy(part->own, part->slots, part->used * sizeof *part->own);
	part->slots = part->own;
	part->room = room;
	free(old);
}

static void append(struct part *part, uint64_t key, uint32_t tag)
{
	if (part->used == part->room)
		grow(part, part->room + part->room / 2);
	part->slots[part->used].key = key;
	part->slots[part->used++].tag = tag;
}

void fscache_table_add(struct fscache_table *table, struct fscache_print print, uint64_t bytes)
{
	struct part *part = &table->parts[print.folder];
	uint32_t tag = tag_of(bytes, FSCACHE_TABLE_ABSENT);

	pthread_mutex_lock(&part->lock);
	if (!part->is_hashed) {
		append(part, key_of(print), tag);
	} else {
		if (is_full(part))
			hash(part, part->room + part->room / 2);
		put(part, key_of(print), tag);
	}
	pthread_mutex_unlock(&part->lock);
}

void fscache_table_fetch(struct fscache_table *table, struct fscache_print print)
{
	const struct part *part = hashed(table, print.folder);

	__builtin_prefetch(&part->slots[first_slot(part, key_of(print))], 1);
}

bool fscache_table_see(struct fscache_table *table, struct fscache_print print, uint64_t bytes,
		       uint64_t *was_r)
{
	struct part *part = hashed(table, print.folder);
	uint64_t key = key_of(print);
	uint32_t first = next_of_key(part, first_slot(part, key), key), slot = first;

	if (state_at(part, first) == FREE)
		return false;
	/* Of several the one that is right, if any is. */
	while (state_at(part, slot) != FREE &&
	       part->slots[slot].tag >> STATE_BITS != blocks_of(bytes))
		slot = next_of_key(part, after(part, slot), key);
	if (state_at(part, slot) == FREE)
		slot = first;
	*was_r = bytes_of(part->slots[slot].tag);
	if (*was_r != bytes)
		part->slots[slot].tag = tag_of(bytes, FSCACHE_TABLE_RESIZED);
	else if (state_at(part, slot) == FSCACHE_TABLE_ABSENT)
		set_state(part, slot, FSCACHE_TABLE_PRESENT);
	return true;
}

void fscache_table_expire(struct fscache_table *table, struct fscache_print print)
{
	struct part *part = hashed(table, print.folder);
	uint64_t key = key_of(print);
	uint32_t slot = next_of_key(part, first_slot(part, key), key);

	while (state_at(part, slot) == FSCACHE_TABLE_ABSENT)
		slot = next_of_key(part, after(part, slot), key);
	if (state_at(part, slot) != FREE)
		set_state(part, slot, FSCACHE_TABLE_EXPIRED);
}

void fscache_table_doubt(struct fscache_table *table, struct fscache_print print)
{
	struct part *part = hashed(table, print.folder);
	uint64_t key = key_of(print);
	uint32_t slot = first_slot(part, key);

	for (; state_at(part, slot = next_of_name(part, slot, key)) != FREE;
	     slot = after(part, slot))
		set_state(part, slot, FSCACHE_TABLE_ABSENT);
}

void fscache_table_remove(struct fscache_table *table, struct fscache_print print)
{
	struct part *part = hashed(table, print.folder);
	uint64_t key = key_of(print);
	uint32_t first = next_of_key(part, first_slot(part, key), key), slot = first;

	for (; state_at(part, slot) != FREE; slot = next_of_key(part, after(part, slot), key))
		set_state(part, slot, FSCACHE_TABLE_ABSENT);
	if (first != slot)
		set_state(part, first, GONE);
}

bool fscache_table_take(struct fscache_table *table, struct fscache_print print, uint64_t *bytes_r)
{
	struct part *part = hashed(table, print.folder);
	uint64_t key = key_of(print);
	uint32_t slot = first_slot(part, key);

	for (; state_at(part, slot = next_of_key(part, slot, key)) != FREE;
	     slot = after(part, slot)) {
		if (state_at(part, slot) != FSCACHE_TABLE_PRESENT &&
		    state_at(part, slot) != FSCACHE_TABLE_RESIZED)
			continue;
		*bytes_r = bytes_of(part->slots[slot].tag);
		set_state(part, slot, FSCACHE_TABLE_TAKEN);
		return true;
	}
	return false;
}

void fscache_table_untake(struct fscache_table *table)
{
	for (unsigned i = 0; i < FSCACHE_FOLDERS; i++) {
		struct part *part = hashed(table, i);

		for (uint32_t slot = 0; slot < part->room; slot++) {
			if (state_at(part, slot) == FSCACHE_TABLE_TAKEN)
				set_state(part, slot, FSCACHE_TABLE_PRESENT);
		}
	}
}

bool fscache_table_has(struct fscache_table *table, struct fscache_print print)
{
	struct part *part = hashed(table, print.folder);
	uint64_t key = key_of(print);

	return state_at(part, next_of_key(part, first_slot(part, key), key)) != FREE;
}

struct fscache_table_sum fscache_table_sum(struct fscache_table *table,
					   enum fscache_table_state state)
{
	struct fscache_table_sum sum = { 0 };

	for (size_t i = 0; i < FSCACHE_FOLDERS; i++) {
		const struct part *part = hashed(table, (unsigned)i);

		for (uint32_t slot = 0; slot < part->room; slot++) {
			if (state_at(part, slot) != (unsigned)state)
				continue;
			sum.files++;
			sum.bytes += bytes_of(part->slots[slot].tag);
		}
	}
	return sum;
}
