/* Any bytes as a mailbox list index with its logs: names are whole, GUIDs are GUIDs. */
#include "index/index_changes.h"
#include "index/index_list.h"
#include "index_parts.h"

static void check(const struct index_list *list, const struct index_map *map)
{
	need(list->count == map->mails.count);
	for (size_t i = 0; i < list->count; i++) {
		const struct index_list_folder *folder = &list->items[i];

		need(strlen(folder->name) <= INDEX_LIST_NAME_MAX);
		need(folder->guid[0] == '\0' || strlen(folder->guid) == INDEX_LIST_GUID_HEX);
		need(folder->guid[0] == '\0' || index_list_name(list, folder->guid) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	autoindexlist struct index_list list = { 0 };
	autoindexmap struct index_map map = { 0 };
	struct index_changes changes;
	struct index_files files;
	struct err err = { 0 };

	if (!parts(data, len, true, &files))
		return 0;
	if (index_map_load(&files, &map, &err) == 0 && index_list_load(&map, '/', &list, &err) == 0)
		check(&list, &map);
	else
		need((err.code == ERR_DATA || err.code == ERR_NOTFOUND) && err.msg[0] != '\0');
	need(index_changes_in(&files, NULL, &changes, &err) == 0);
	index_files_close(&files);
	return 0;
}
