/* Any bytes as dovecot.index.cache: what is read of it lies in the file and within its
 * bounds. */
#include <strings.h>

#include "index/index_cache.h"
#include "index_parts.h"

static void check(const struct index_cache *cache, size_t len)
{
	size_t bytes = 12;

	need(cache->indexid != 0 && cache->file_seq != 0);
	need(cache->fields.count <= INDEX_CACHE_FIELDS_MAX);
	for (size_t i = 0; i < cache->fields.count; i++) {
		const struct index_cache_field *field = &cache->fields.items[i];

		need(field->name[0] != '\0');
		need(index_cache_type_name(field->type) != NULL);
		need(index_cache_decision_name(field->decision) != NULL);
		need(field->size_bytes == 0 || field->type == INDEX_CACHE_FIXED ||
		     field->type == INDEX_CACHE_BITMASK);
		for (size_t k = 0; k < i && k < 8; k++)
			need(strcasecmp(field->name, cache->fields.items[k].name) != 0);
		bytes += 10 + strlen(field->name) + 1;
	}
	need(cache->fields_offset >= 32 && cache->fields_offset % 4 == 0);
	need(cache->fields_offset + bytes <= len);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	autoindexcache struct index_cache cache = { 0 };
	struct err err = { 0 };
	int fd = part(data, len);

	if (index_cache_load(fd, len, &cache, &err) == 0)
		check(&cache, len);
	else
		need(err.code == ERR_DATA && err.msg[0] != '\0');
	if (fd >= 0)
		close(fd);
	return 0;
}
