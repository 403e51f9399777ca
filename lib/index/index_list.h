/* Folders by their GUID, from the mailbox list index (dovecot.list.index), as
 * mailbox-list-index.h describes it: with LAYOUT=index it alone knows what a folder is
 * called. */
#pragma once

#include "index/index_map.h"

#define INDEX_LIST_GUID_HEX 32
#define INDEX_LIST_NAME_MAX 4096
#define INDEX_LIST_BYTES_MAX ((size_t)64 * 1024 * 1024) /* all names together */

/* enum mailbox_list_index_flags. */
#define INDEX_LIST_NONEXISTENT 0x04
#define INDEX_LIST_NOSELECT 0x10

struct index_list_folder {
	char guid[INDEX_LIST_GUID_HEX + 1]; /* "" where the folder has none */
	char *name;                         /* as Dovecot stores it: whole, in modified UTF-7;
					       whatever bytes the file holds but NUL */
	uint8_t flags;
	uint32_t uid; /* in the list index */
	uint32_t uid_validity;
};
VEC(index_list, struct index_list_folder);

/* All folders in the order of the list index; names of levels are put together with
 * the separator. -1 with ERR_DATA: no list index, or a name, parent or level that
 * cannot be. To be freed in any case. */
int index_list_load(const struct index_map *map, char separator, struct index_list *list_r,
		    struct err *err);
void index_list_free(struct index_list *list);
#define autoindexlist CLEANUP(index_list_free)

/* The name of a folder by its GUID; NULL where there is none. */
const char *index_list_name(const struct index_list *list, const char *guid);
