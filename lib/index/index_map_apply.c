#include "index/index_map_apply.h"

#include <string.h>

#include "index/index_bytes.h"
#include "index/index_map_ext.h"

#define MINOR_HIDES_INTERNAL_FLAGS 3

void index_map_apply_free(struct index_map_apply *apply)
{
	buf_free(&apply->base);
}

/* ---- modseqs ---- */

static bool is_visible(const struct index_record_item *item)
{
	return ((item->add_flags | item->remove_flags) & INDEX_FLAGS_VISIBLE) != 0 ||
	       item->modseq_inc;
}

static bool any_visible(const struct index_record *record)
{
	struct index_record_item item;
	size_t at = 0;

	while (index_record_next(record, &at, &item))
		if (is_visible(&item))
			return true;
	return false;
}

static bool introduces_modseqs(const struct index_record *record)
{
	struct index_record_item item;
	size_t at = 0;

	return record->type == INDEX_RECORD_EXT_INTRO && index_record_next(record, &at, &item) &&
	       item.len == strlen(INDEX_MAP_EXT_MODSEQ) &&
	       memcmp(item.data, INDEX_MAP_EXT_MODSEQ, item.len) == 0;
}

void index_map_apply_modseq(struct index_map_apply *apply, const struct index_record *record,
			    uint8_t log_minor)
{
	struct index_record_item item;
	size_t at = 0;

	/* Logs of old versions did not count from the beginning. */
	if (apply->modseq == 0) {
		apply->modseq = introduces_modseqs(record);
		return;
	}
	switch ((int)record->type) {
	case INDEX_RECORD_EXPUNGE:
	case INDEX_RECORD_EXPUNGE_GUID:
		apply->modseq += record->external;
		break;
	case INDEX_RECORD_APPEND:
	case INDEX_RECORD_KEYWORD_UPDATE:
	case INDEX_RECORD_KEYWORD_RESET:
	case INDEX_RECORD_ATTRIBUTE_UPDATE:
		apply->modseq++;
		break;
	case INDEX_RECORD_FLAG_UPDATE:
		apply->modseq += log_minor < MINOR_HIDES_INTERNAL_FLAGS || any_visible(record);
		break;
	case INDEX_RECORD_MODSEQ_UPDATE:
		while (index_record_next(record, &at, &item))
			if (apply->modseq < item.modseq)
				apply->modseq = item.modseq;
		break;
	default:
		break;
	}
}

/* ---- mails ---- */

static int apply_append(struct index_map_apply *apply, const struct index_record_item *item,
			struct err *err)
{
	struct index_map *map = apply->map;

	if (item->uid1 < map->header.next_uid || item->uid1 == UINT32_MAX)
		return err_set(err, ERR_DATA, "UID %u is appended where %u is next",
			       (unsigned)item->uid1, (unsigned)map->header.next_uid);
	if (index_map_ext_append(map, err) < 0)
		return -1;
	vec_push(&map->mails,
		 ((struct index_map_mail){ .uid = item->uid1, .flags = item->add_flags }));
	map->header.next_uid = item->uid1 + 1;
	index_map_ext_raise(map, map->mails.count - 1, map->mails.count, apply->modseq);
	return 0;
}

/* The mails of a UID range: [*first_r, *end_r). */
static void find_range(const struct index_map *map, const struct index_record_item *item,
		       size_t *first_r, size_t *end_r)
{
	*first_r = index_map_find(map, item->uid1);
	*end_r = item->uid2 == UINT32_MAX ? map->mails.count : index_map_find(map, item->uid2 + 1);
}

/* Only marked: closing the gaps once at the end is what keeps many small expunges
 * of a large folder from taking forever. */
static void apply_expunge(struct index_map *map, const struct index_record_item *item)
{
	size_t first, end;

	find_range(map, item, &first, &end);
	for (size_t i = first; i < end; i++)
		map->mails.items[i].gone = true;
}

static void apply_flags(struct index_map_apply *apply, const struct index_record_item *item)
{
	struct index_map *map = apply->map;
	size_t first, end;

	find_range(map, item, &first, &end);
	for (size_t i = first; i < end; i++) {
		uint8_t *flags = &map->mails.items[i].flags;

		*flags = (uint8_t)((*flags & ~item->remove_flags) | item->add_flags);
	}
	if (is_visible(item))
		index_map_ext_raise(map, first, end, apply->modseq);
}

static int apply_keyword(struct index_map_apply *apply, const struct index_record *record,
			 struct err *err)
{
	struct index_record_keyword keyword = index_record_keyword(record);
	struct index_map *map = apply->map;
	struct index_record_item item;
	const struct index_ext *ext;
	size_t bit, first, end, at = 0;

	if (index_map_ext_keyword(map, keyword.name, keyword.len, &bit, err) < 0)
		return -1;
	/* It may have been made just now, and what is introduced may have moved. */
	apply->ext = NULL;
	ext = index_map_ext_find(map, INDEX_MAP_EXT_KEYWORDS);
	while (index_record_next(record, &at, &item)) {
		find_range(map, &item, &first, &end);
		for (size_t i = first; i < end; i++) {
			char *p = ext->column.data + i * ext->record_size + bit / 8;
			int mask = 1 << bit % 8;

			*p = (char)(keyword.modify == INDEX_RECORD_ADD ? *p | mask : *p & ~mask);
		}
		index_map_ext_raise(map, first, end, apply->modseq);
	}
	return 0;
}

static void apply_keyword_reset(struct index_map_apply *apply, const struct index_record_item *item)
{
	const struct index_ext *ext = index_map_ext_find(apply->map, INDEX_MAP_EXT_KEYWORDS);
	size_t first, end;

	if (!ext)
		return;
	find_range(apply->map, item, &first, &end);
	if (ext->record_size > 0 && end > first)
		memset(ext->column.data + first * ext->record_size, 0,
		       (end - first) * ext->record_size);
	index_map_ext_raise(apply->map, first, end, apply->modseq);
}

static int apply_modseq_update(const struct index_map *map, const struct index_record_item *item,
			       struct err *err)
{
	size_t i = index_map_find(map, item->uid1);

	if (item->uid1 == 0 || i == map->mails.count || map->mails.items[i].uid != item->uid1)
		return 0;
	if (!map->modseqs)
		return err_set(err, ERR_DATA, "a modseq before there were any");
	index_map_ext_raise(map, i, i + 1, item->modseq);
	return 0;
}

static int apply_header(struct index_map_apply *apply, const struct index_record_item *item,
			struct err *err)
{
	struct index_header *header = &apply->map->header;
	const struct index_header was = *header;

	if ((size_t)item->offset + item->len > apply->base.len)
		return err_set(err, ERR_DATA, "an update is outside of the index header");
	if (item->len > 0)
		memcpy(apply->base.data + item->offset, item->data, item->len);
	index_header_parse((const unsigned char *)apply->base.data, apply->base.len, header);
	/* Sizes and counts are the map's own. The UID to come only grows, and the log's tail is
	 * noted for the log alone. */
	header->base_header_size = was.base_header_size;
	header->header_size = was.header_size;
	header->record_size = was.record_size;
	header->log_file_seq = was.log_file_seq;
	header->log_file_head_offset = was.log_file_head_offset;
	header->log_file_tail_offset = was.log_file_tail_offset;
	if (header->next_uid < was.next_uid)
		header->next_uid = was.next_uid;
	return 0;
}

static int apply_item(struct index_map_apply *apply, enum index_record_type type,
		      const struct index_record_item *item, struct err *err)
{
	switch ((int)type) {
	case INDEX_RECORD_APPEND:
		return apply_append(apply, item, err);
	case INDEX_RECORD_EXPUNGE:
	case INDEX_RECORD_EXPUNGE_GUID:
		apply_expunge(apply->map, item);
		return 0;
	case INDEX_RECORD_FLAG_UPDATE:
		apply_flags(apply, item);
		return 0;
	case INDEX_RECORD_KEYWORD_RESET:
		apply_keyword_reset(apply, item);
		return 0;
	case INDEX_RECORD_MODSEQ_UPDATE:
		return apply_modseq_update(apply->map, item, err);
	case INDEX_RECORD_HEADER_UPDATE:
		return apply_header(apply, item, err);
	default:
		return 0;
	}
}

int index_map_apply_record(struct index_map_apply *apply, const struct index_record *record,
			   struct err *err)
{
	struct index_record_item item;
	size_t at = 0;

	switch ((int)record->type) {
	case INDEX_RECORD_EXPUNGE:
	case INDEX_RECORD_EXPUNGE_GUID:
		/* What is not external is a request. */
		if (!record->external)
			return 0;
		break;
	case INDEX_RECORD_KEYWORD_UPDATE:
		return apply_keyword(apply, record, err);
	case INDEX_RECORD_EXT_INTRO:
	case INDEX_RECORD_EXT_RESET:
	case INDEX_RECORD_EXT_HDR_UPDATE:
	case INDEX_RECORD_EXT_HDR_UPDATE32:
	case INDEX_RECORD_EXT_REC_UPDATE:
	case INDEX_RECORD_EXT_ATOMIC_INC:
		return index_map_ext_record(apply, record, err);
	default:
		break;
	}
	while (index_record_next(record, &at, &item))
		if (apply_item(apply, record->type, &item, err) < 0)
			return -1;
	return 0;
}
