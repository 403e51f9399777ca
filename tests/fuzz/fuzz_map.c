/* Any bytes as dovecot.index with its logs: a map that is given is whole and in order. */
#include "index/index_map.h"
#include "index_parts.h"

static void check(const struct index_map *map)
{
	uint32_t last = 0;
	uint64_t sum = 0;

	need(map->header.messages_count == map->mails.count);
	for (size_t i = 0; i < map->mails.count; i++) {
		need(map->mails.items[i].uid > last && !map->mails.items[i].gone);
		last = map->mails.items[i].uid;
		need(index_map_find(map, last) == i);
		sum += index_map_modseq(map, i);
		for (size_t k = 0; k < map->keywords.count; k++)
			sum += index_map_has_keyword(map, i, k);
	}
	need(last == 0 || last < map->header.next_uid || sum == 1);
	for (size_t e = 0; e < map->exts.count; e++)
		need(map->exts.items[e].column.len ==
		     map->mails.count * map->exts.items[e].record_size);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	autoindexmap struct index_map map = { 0 };
	struct index_files files;
	struct err err = { 0 };

	if (!parts(data, len, false, &files))
		return 0;
	if (index_map_load(&files, &map, &err) == 0)
		check(&map);
	else
		need((err.code == ERR_DATA || err.code == ERR_NOTFOUND) && err.msg[0] != '\0');
	index_files_close(&files);
	return 0;
}
