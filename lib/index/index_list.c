#include "index/index_list.h"

#include <stdlib.h>
#include <string.h>

#include "index/index_bytes.h"

#define EXT_NAME "list"
#define HEADER_SIZE 1 /* refresh_flag; then ids with names */
#define RECORD_SIZE 28
#define AT_PARENT 4
#define AT_GUID 8
#define GUID_SIZE 16
#define AT_UID_VALIDITY 24

struct name {
	uint32_t id;
	const char *text; /* in the extension's header */
};
VEC(name_vec, struct name);

static void name_vec_free(struct name_vec *names)
{
	vec_free(names);
}

void index_list_free(struct index_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].name);
	vec_free(list);
}

const char *index_list_name(const struct index_list *list, const char *guid)
{
	for (size_t i = 0; *guid != '\0' && i < list->count; i++)
		if (strcmp(list->items[i].guid, guid) == 0)
			return list->items[i].name;
	return NULL;
}

/* Ids ascend; a zero ends the list before its end. */
static int parse_names(const struct buf *data, struct name_vec *names, struct err *err)
{
	size_t at = HEADER_SIZE;
	uint32_t last = 0;

	while (at < data->len) {
		size_t left = data->len - at;
		struct name name;

		if (left < sizeof name.id)
			return err_set(err, ERR_DATA, "the list of names is cut");
		name.id = index_bytes_u32((const unsigned char *)data->data + at);
		if (name.id == 0)
			return 0;
		name.text = data->data + at + sizeof name.id;
		if (name.id <= last || !memchr(name.text, '\0', left - sizeof name.id))
			return err_set(err, ERR_DATA, "name %u follows name %u", (unsigned)name.id,
				       (unsigned)last);
		vec_push(names, name);
		last = name.id;
		at += sizeof name.id + strlen(name.text) + 1;
	}
	return 0;
}

static const char *find_name(const struct name_vec *names, uint32_t id)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (names->items[middle].id == id)
			return names->items[middle].text;
		if (names->items[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The whole name of a folder: the levels from it up to the root, put together from
 * the end. NULL with err. */
static char *full_name(const struct index_map *map, const struct index_ext *ext,
		       const struct name_vec *names, uint32_t uid, char separator, struct err *err)
{
	char whole[INDEX_LIST_NAME_MAX + 1];
	size_t at = sizeof whole - 1;

	whole[at] = '\0';
	/* A loop ends where there is no more room. */
	for (int depth = 0; uid != 0; depth++) {
		size_t i = index_map_find(map, uid), len;
		const unsigned char *record;
		const char *text;

		if (i == map->mails.count || map->mails.items[i].uid != uid) {
			err_set(err, ERR_DATA, "no folder %u, which is a parent", (unsigned)uid);
			return NULL;
		}
		record = index_map_record(ext, i);
		text = find_name(names, index_bytes_u32(record));
		if (!text) {
			err_set(err, ERR_DATA, "folder %u has no name", (unsigned)uid);
			return NULL;
		}
		len = strlen(text);
		if (len + 1 > at) {
			err_set(err, ERR_DATA, "folder %u lies too deep", (unsigned)uid);
			return NULL;
		}
		if (depth > 0)
			whole[--at] = separator;
		at -= len;
		memcpy(whole + at, text, len);
		uid = index_bytes_u32(record + AT_PARENT);
	}
	return xstrdup(whole + at);
}

static void read_guid(const unsigned char *record, char *guid)
{
	static const unsigned char none[GUID_SIZE];
	autobuf struct buf hex = { 0 };

	if (memcmp(record + AT_GUID, none, sizeof none) == 0)
		return;
	buf_hex(&hex, record + AT_GUID, GUID_SIZE);
	memcpy(guid, hex.data, INDEX_LIST_GUID_HEX);
}

int index_list_load(const struct index_map *map, char separator, struct index_list *list_r,
		    struct err *err)
{
	const struct index_ext *ext = index_header_ext(&map->exts, EXT_NAME, strlen(EXT_NAME));
	CLEANUP(name_vec_free) struct name_vec names = { 0 };
	size_t total = 0;

	*list_r = (struct index_list){ 0 };
	if (!ext || ext->record_size != RECORD_SIZE)
		return err_set(err, ERR_DATA, "no mailbox list index");
	if (parse_names(&ext->data, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < map->mails.count; i++) {
		const unsigned char *record = index_map_record(ext, i);
		struct index_list_folder folder = {
			.flags = map->mails.items[i].flags,
			.uid = map->mails.items[i].uid,
			.uid_validity = index_bytes_u32(record + AT_UID_VALIDITY),
		};

		folder.name = full_name(map, ext, &names, folder.uid, separator, err);
		if (!folder.name)
			return -1;
		read_guid(record, folder.guid);
		vec_push(list_r, folder);
		total += strlen(folder.name);
		if (total > INDEX_LIST_BYTES_MAX)
			return err_set(err, ERR_DATA, "the names of all folders are too long");
	}
	return 0;
}
