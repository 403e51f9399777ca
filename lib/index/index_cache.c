#include "index/index_cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/quote.h"
#include "index/index_bytes.h"

#define MAJOR 1
#define HEADER_SIZE 32
#define OFFSET_SIZE 8 /* what Dovecot's uoff_t takes, as the header says */
#define FORCED 0x80

/* A list of fields: its size and count, then for each field when it was last used, its
 * size, type and decision, each in a row of its own, then the names. */
#define LIST_HEADER 12
#define LIST_FIELD 10

void index_cache_free(struct index_cache *cache)
{
	for (size_t i = 0; i < cache->fields.count; i++)
		free(cache->fields.items[i].name);
	vec_free(&cache->fields);
}

const char *index_cache_type_name(enum index_cache_type type)
{
	static const char *const names[] = { "fixed", "variable", "string", "bitmask", "header" };

	return names[type];
}

const char *index_cache_decision_name(enum index_cache_decision decision)
{
	static const char *const names[] = { "no", "temp", "yes" };

	return names[decision];
}

/* *offset_r: where the first list of fields is. */
static int read_header(int fd, uint64_t size_bytes, struct index_cache *cache, uint32_t *offset_r,
		       struct err *err)
{
	autobuf struct buf bytes = { 0 };
	const unsigned char *p;

	if (size_bytes < HEADER_SIZE)
		return err_set(err, ERR_DATA, "too short for a cache");
	if (index_bytes_read(fd, 0, HEADER_SIZE, &bytes, err) < 0)
		return -1;
	p = (const unsigned char *)bytes.data;
	cache->major = p[0];
	cache->minor = p[2];
	cache->indexid = index_bytes_u32(p + 4);
	cache->file_seq = index_bytes_u32(p + 8);
	cache->continued_record_count = index_bytes_u32(p + 12);
	cache->record_count = index_bytes_u32(p + 16);
	cache->deleted_record_count = index_bytes_u32(p + 24);
	*offset_r = index_bytes_offset(p + 28);
	if (cache->major != MAJOR)
		return err_set(err, ERR_DATA, "a cache of version %u.%u", cache->major,
			       cache->minor);
	if (p[1] != OFFSET_SIZE)
		return err_set(err, ERR_DATA, "a cache with offsets of %u bytes", p[1]);
	if (cache->indexid == 0 || cache->file_seq == 0)
		return err_set(err, ERR_DATA, "the cache belongs to no index");
	return 0;
}

/* Each list says where the one that replaces it is. The last one's header goes to
 * `bytes`. */
static int find_list(int fd, uint64_t size_bytes, uint32_t offset, struct index_cache *cache,
		     struct buf *bytes, struct err *err)
{
	int lists = 0;

	if (offset == 0)
		return err_set(err, ERR_DATA, "there is no list of fields");
	do {
		/* Version 1.0 used holes again, so that a later list may come first. */
		if (lists++ == INDEX_CACHE_LISTS_MAX ||
		    (cache->minor > 0 && offset <= cache->fields_offset))
			return err_set(err, ERR_DATA, "lists of fields that do not end");
		if (offset < HEADER_SIZE || size_bytes < LIST_HEADER ||
		    offset > size_bytes - LIST_HEADER)
			return err_set(err, ERR_DATA,
				       "a list of fields at %u is outside of the file",
				       (unsigned)offset);
		buf_truncate(bytes, 0);
		if (index_bytes_read(fd, offset, LIST_HEADER, bytes, err) < 0)
			return -1;
		cache->fields_offset = offset;
		offset = index_bytes_offset((const unsigned char *)bytes->data);
	} while (offset != 0);
	return 0;
}

static bool has_fixed_size(enum index_cache_type type)
{
	return type == INDEX_CACHE_FIXED || type == INDEX_CACHE_BITMASK;
}

/* The i-th of `count` fields, without its name. */
static int parse_field(const unsigned char *list, size_t count, size_t i,
		       struct index_cache_field *field_r, struct err *err)
{
	const unsigned char *last_used = list + LIST_HEADER, *sizes = last_used + 4 * count;
	const unsigned char *types = sizes + 4 * count, *decisions = types + count;
	unsigned decision = decisions[i] & ~FORCED & 0xff;

	if (types[i] > INDEX_CACHE_HEADER || decision > INDEX_CACHE_YES)
		return err_set(err, ERR_DATA, "field %zu is of type %u, with decision %u", i,
			       types[i], decisions[i]);
	*field_r = (struct index_cache_field){
		.type = types[i],
		.decision = decision,
		.size_bytes = has_fixed_size(types[i]) ? index_bytes_u32(sizes + 4 * i) : 0,
		.last_used = index_bytes_u32(last_used + 4 * i),
	};
	return 0;
}

static int parse_list(const struct buf *bytes, size_t count, struct index_cache_fields *fields,
		      struct err *err)
{
	const unsigned char *list = (const unsigned char *)bytes->data;
	size_t at = LIST_HEADER + LIST_FIELD * count;

	for (size_t i = 0; i < count; i++) {
		const char *name = bytes->data + at;
		size_t len = strnlen(name, bytes->len - at);
		struct index_cache_field field;

		if (len == 0 || len == bytes->len - at)
			return err_set(err, ERR_DATA, "field %zu has no name", i);
		if (parse_field(list, count, i, &field, err) < 0)
			return -1;
		field.name = xstrndup(name, len);
		vec_push(fields, field);
		at += len + 1;
	}
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_twice(const struct index_cache_fields *fields, struct err *err)
{
	autofree const char **names = xreallocarray(NULL, fields->count + 1, sizeof *names);

	for (size_t i = 0; i < fields->count; i++)
		names[i] = fields->items[i].name;
	qsort(names, fields->count, sizeof *names, compare_names);
	for (size_t i = 1; i < fields->count; i++)
		if (strcasecmp(names[i - 1], names[i]) == 0)
			return err_set(err, ERR_DATA, "field %s comes twice",
				       quote_str(names[i]).s);
	return 0;
}

int index_cache_load(int fd, uint64_t size_bytes, struct index_cache *cache_r, struct err *err)
{
	autobuf struct buf bytes = { 0 };
	const unsigned char *list;
	uint32_t offset = 0, size, count;

	*cache_r = (struct index_cache){ 0 };
	if (read_header(fd, size_bytes, cache_r, &offset, err) < 0 ||
	    find_list(fd, size_bytes, offset, cache_r, &bytes, err) < 0)
		return -1;
	offset = cache_r->fields_offset;
	list = (const unsigned char *)buf_str(&bytes);
	size = index_bytes_u32(list + 4);
	count = index_bytes_u32(list + 8);
	if (size < LIST_HEADER || size > size_bytes - offset ||
	    size > INDEX_CACHE_FIELDS_BYTES_MAX || count > INDEX_CACHE_FIELDS_MAX ||
	    size - LIST_HEADER < count * LIST_FIELD)
		return err_set(err, ERR_DATA, "a list of %u fields in %u bytes", (unsigned)count,
			       (unsigned)size);
	buf_truncate(&bytes, 0);
	if (index_bytes_read(fd, offset, size, &bytes, err) < 0 ||
	    parse_list(&bytes, count, &cache_r->fields, err) < 0)
		return -1;
	return check_twice(&cache_r->fields, err);
}
