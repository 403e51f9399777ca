#include "index/index_map_ext.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/quote.h"
#include "index/index_bytes.h"

#define MODSEQ_HEADER_SIZE 16

struct index_ext *index_map_ext_find(const struct index_map *map, const char *name)
{
	return index_header_ext(&map->exts, name, strlen(name));
}

static int check_total(const struct index_map *map, size_t mails, size_t more, struct err *err)
{
	uint64_t width = sizeof(struct index_map_mail) + more, total = 0;

	for (size_t i = 0; i < map->exts.count; i++) {
		width += map->exts.items[i].record_size;
		total += map->exts.items[i].data.len;
	}
	if (total + width * mails > INDEX_MAP_BYTES_MAX)
		return err_set(err, ERR_DATA, "the mails would need more than %zu MiB",
			       INDEX_MAP_BYTES_MAX >> 20);
	return 0;
}

int index_map_ext_resize(struct index_map *map, struct index_ext *ext, size_t record_size,
			 struct err *err)
{
	size_t was = ext->record_size, keep = was < record_size ? was : record_size;
	struct buf wide = { 0 };
	char *p;

	if (record_size == was)
		return 0;
	if (record_size > was && check_total(map, map->mails.count, record_size - was, err) < 0)
		return -1;
	p = buf_reserve(&wide, map->mails.count * record_size);
	wide.len = map->mails.count * record_size;
	if (wide.len > 0)
		memset(p, 0, wide.len);
	for (size_t i = 0; keep > 0 && i < map->mails.count; i++)
		memcpy(p + i * record_size, ext->column.data + i * was, keep);
	buf_free(&ext->column);
	ext->column = wide;
	ext->record_size = (uint16_t)record_size;
	return 0;
}

int index_map_ext_append(struct index_map *map, struct err *err)
{
	/* Not for every mail: it is a sum over all extensions. */
	if (map->mails.count % 1024 == 0 && check_total(map, map->mails.count + 1024, 0, err) < 0)
		return -1;
	for (size_t i = 0; i < map->exts.count; i++) {
		struct index_ext *ext = &map->exts.items[i];

		if (ext->record_size == 0)
			continue;
		memset(buf_reserve(&ext->column, ext->record_size), 0, ext->record_size);
		ext->column.len += ext->record_size;
	}
	return 0;
}

int index_map_ext_keyword(struct index_map *map, const char *name, size_t len, size_t *keyword_r,
			  struct err *err)
{
	struct index_ext *ext = index_map_ext_find(map, INDEX_MAP_EXT_KEYWORDS);
	size_t i = 0, need;

	if (!ext) {
		vec_push(&map->exts, ((struct index_ext){ .name = xstrdup(INDEX_MAP_EXT_KEYWORDS),
							  .record_align = 1 }));
		ext = &map->exts.items[map->exts.count - 1];
	}
	while (i < map->keywords.count && (strncasecmp(map->keywords.items[i], name, len) != 0 ||
					   map->keywords.items[i][len] != '\0'))
		i++;
	if (i == INDEX_MAP_KEYWORDS_MAX)
		return err_set(err, ERR_DATA, "more than %d keywords", INDEX_MAP_KEYWORDS_MAX);
	if (i == map->keywords.count)
		vec_push(&map->keywords, xstrndup(name, len));
	*keyword_r = i;
	need = i / 8 + 1;
	return need > ext->record_size ? index_map_ext_resize(map, ext, need, err) : 0;
}

void index_map_ext_raise(const struct index_map *map, size_t first, size_t end, uint64_t modseq)
{
	const struct index_ext *ext = index_map_ext_find(map, INDEX_MAP_EXT_MODSEQ);

	if (!map->modseqs || !ext || ext->record_size != sizeof modseq)
		return;
	for (size_t i = first; i < end; i++) {
		unsigned char *p = (unsigned char *)ext->column.data + i * sizeof modseq;

		if (index_bytes_u64(p) < modseq)
			memcpy(p, &modseq, sizeof modseq);
	}
}

/* ---- records ---- */

static int resize_data(const struct index_map *map, struct index_ext *ext, size_t size,
		       struct err *err)
{
	size_t was = ext->data.len;

	if (size > was) {
		memset(buf_reserve(&ext->data, size - was), 0, size - was);
		ext->data.len = size;
		return check_total(map, map->mails.count, 0, err);
	}
	buf_truncate(&ext->data, size);
	return 0;
}

/* The extension that an introduction means, which is made where it is new; NULL with
 * err. */
static struct index_ext *intro_ext(struct index_map *map, const struct index_record_item *item,
				   struct err *err)
{
	const char *name = (const char *)item->data;
	struct index_ext *ext;

	if (item->intro.ext_id != INDEX_RECORD_EXT_NEW) {
		if (item->intro.ext_id < map->exts.count)
			return &map->exts.items[item->intro.ext_id];
		err_set(err, ERR_DATA, "extension number %u is not known",
			(unsigned)item->intro.ext_id);
		return NULL;
	}
	ext = index_header_ext(&map->exts, name, item->len);
	if (ext)
		return ext;
	if (map->exts.count == INDEX_HEADER_EXTS_MAX) {
		err_set(err, ERR_DATA, "too many extensions");
		return NULL;
	}
	vec_push(&map->exts, ((struct index_ext){ .name = xstrndup(name, item->len),
						  .reset_id = item->intro.reset_id,
						  .record_align = item->intro.record_align }));
	return &map->exts.items[map->exts.count - 1];
}

static int apply_intro(struct index_map_apply *apply, const struct index_record_item *item,
		       struct err *err)
{
	const struct index_record_intro *intro = &item->intro;
	const struct index_ext wanted = { .record_size = intro->record_size,
					  .record_align = intro->record_align };
	bool shrink = (intro->flags & INDEX_RECORD_INTRO_NO_SHRINK) == 0;
	struct index_map *map = apply->map;
	struct index_ext *ext;

	apply->ext = NULL;
	if (intro->ext_id == INDEX_RECORD_EXT_NEW &&
	    index_header_check_ext((const char *)item->data, item->len, intro->hdr_size, &wanted,
				   err) < 0)
		return -1;
	ext = intro_ext(map, item, err);
	if (!ext)
		return -1;
	if (strcmp(ext->name, INDEX_MAP_EXT_KEYWORDS) == 0)
		return err_set(err, ERR_DATA, "the keywords extension is introduced");
	if (index_header_check_ext(ext->name, strlen(ext->name), intro->hdr_size, &wanted, err) < 0)
		return -1;
	apply->ext = ext;
	apply->record_size = intro->record_size;
	apply->ignore = ext->reset_id != intro->reset_id;
	if (apply->ignore)
		return 0;
	if ((intro->hdr_size > ext->data.len || shrink) &&
	    resize_data(map, ext, intro->hdr_size, err) < 0)
		return -1;
	if (intro->record_size > ext->record_size || shrink)
		return index_map_ext_resize(map, ext, intro->record_size, err);
	return 0;
}

static int apply_reset(struct index_map_apply *apply, const struct index_record *record)
{
	bool preserve = record->data_len > 4 && record->data[4] != 0;
	struct index_ext *ext = apply->ext;

	ext->reset_id = index_bytes_u32(record->data);
	if (preserve)
		return 0;
	if (ext->data.len > 0)
		memset(ext->data.data, 0, ext->data.len);
	if (ext->column.len > 0)
		memset(ext->column.data, 0, ext->column.len);
	return 0;
}

/* The first header of the modseq extension: mails that were there before get what
 * was the highest modseq then. */
static void start_modseqs(struct index_map *map, const struct index_ext *ext)
{
	if (map->modseqs || strcmp(ext->name, INDEX_MAP_EXT_MODSEQ) != 0 ||
	    ext->data.len < MODSEQ_HEADER_SIZE)
		return;
	map->modseqs = true;
	index_map_ext_raise(map, 0, map->mails.count,
			    index_bytes_u64((const unsigned char *)ext->data.data));
}

static int apply_hdr_update(struct index_map_apply *apply, const struct index_record_item *item,
			    struct err *err)
{
	struct index_ext *ext = apply->ext;

	if ((uint64_t)item->offset + item->len > ext->data.len)
		return err_set(err, ERR_DATA, "an update is outside of the header of extension %s",
			       quote_str(ext->name).s);
	if (item->len > 0)
		memcpy(ext->data.data + item->offset, item->data, item->len);
	start_modseqs(apply->map, ext);
	return 0;
}

/* 1 and its place, 0 the mail is gone. */
static int find_mail(const struct index_map *map, uint32_t uid, size_t *i_r, struct err *err)
{
	*i_r = 0;
	if (uid == 0 || uid >= map->header.next_uid)
		return err_set(err, ERR_DATA, "an extension's record for UID %u", (unsigned)uid);
	*i_r = index_map_find(map, uid);
	return *i_r < map->mails.count && map->mails.items[*i_r].uid == uid;
}

static int apply_rec_update(struct index_map_apply *apply, const struct index_record *record,
			    struct err *err)
{
	size_t width = (4 + (size_t)apply->record_size + 3) & ~(size_t)3, i;
	struct index_ext *ext = apply->ext;

	if (record->data_len % width != 0)
		return err_set(err, ERR_DATA, "%zu bytes hold no whole records of extension %s",
			       record->data_len, quote_str(ext->name).s);
	for (size_t at = 0; at < record->data_len; at += width) {
		int found = find_mail(apply->map, index_bytes_u32(record->data + at), &i, err);
		char *p;

		if (found < 0)
			return -1;
		if (found == 0 || ext->record_size == 0)
			continue;
		p = ext->column.data + i * ext->record_size;
		memset(p, 0, ext->record_size);
		memcpy(p, record->data + at + 4, apply->record_size);
	}
	return 0;
}

static int apply_inc(struct index_map_apply *apply, const struct index_record_item *item,
		     struct err *err)
{
	size_t size = apply->record_size, i;
	uint64_t max = size == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * size % 64)) - 1;
	struct index_ext *ext = apply->ext;
	uint64_t n = 0, by = item->diff < 0 ? -(uint64_t)item->diff : (uint64_t)item->diff;
	int found = find_mail(apply->map, item->uid1, &i, err);
	char *low;

	if (found <= 0)
		return found;
	if ((size != 1 && size != 2 && size != 4 && size != 8) || size > ext->record_size)
		return err_set(err, ERR_DATA, "no number of %zu bytes can be added to", size);
	low = (char *)&n + index_bytes_low(size);
	memcpy(low, ext->column.data + i * ext->record_size, size);
	if (item->diff < 0 ? n < by : by > max || n > max - by)
		return err_set(err, ERR_DATA, "a number of extension %s leaves its range",
			       quote_str(ext->name).s);
	n = item->diff < 0 ? n - by : n + by;
	memcpy(ext->column.data + i * ext->record_size, low, size);
	return 0;
}

int index_map_ext_record(struct index_map_apply *apply, const struct index_record *record,
			 struct err *err)
{
	struct index_record_item item;
	size_t at = 0;
	int ret = 0;

	if (record->type != INDEX_RECORD_EXT_INTRO && !apply->ext)
		return err_set(err, ERR_DATA, "an extension is updated without introduction");
	if (record->type == INDEX_RECORD_EXT_RESET)
		return apply_reset(apply, record);
	if (record->type != INDEX_RECORD_EXT_INTRO && apply->ignore)
		return 0;
	if (record->type == INDEX_RECORD_EXT_REC_UPDATE)
		return apply_rec_update(apply, record, err);
	while (ret == 0 && index_record_next(record, &at, &item)) {
		if (record->type == INDEX_RECORD_EXT_INTRO)
			ret = apply_intro(apply, &item, err);
		else if (record->type == INDEX_RECORD_EXT_ATOMIC_INC)
			ret = apply_inc(apply, &item, err);
		else
			ret = apply_hdr_update(apply, &item, err);
	}
	return ret;
}
