#include "index/index_map.h"

#include <inttypes.h>
#include <string.h>

#include "index/index_bytes.h"
#include "index/index_map_apply.h"
#include "index/index_map_ext.h"

#define KEYWORD_REC_SIZE 8
#define RECORD_BASE_SIZE 8

void index_map_free(struct index_map *map)
{
	index_header_free_exts(&map->exts);
	str_vec_free(&map->keywords);
	vec_free(&map->mails);
}

size_t index_map_find(const struct index_map *map, uint32_t uid)
{
	size_t low = 0, high = map->mails.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (map->mails.items[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const unsigned char *index_map_record(const struct index_ext *ext, size_t i)
{
	if (!ext || ext->record_size == 0)
		return NULL;
	return (const unsigned char *)ext->column.data + i * ext->record_size;
}

uint64_t index_map_modseq(const struct index_map *map, size_t i)
{
	const struct index_ext *ext = index_map_ext_find(map, INDEX_MAP_EXT_MODSEQ);
	uint64_t modseq = 0;

	if (map->modseqs && ext && ext->record_size == sizeof modseq)
		modseq = index_bytes_u64(index_map_record(ext, i));
	return modseq != 0 ? modseq : map->highest_modseq;
}

bool index_map_has_keyword(const struct index_map *map, size_t i, size_t keyword)
{
	const struct index_ext *ext = index_map_ext_find(map, INDEX_MAP_EXT_KEYWORDS);

	return ext && keyword / 8 < ext->record_size &&
	       (index_map_record(ext, i)[keyword / 8] & 1 << keyword % 8) != 0;
}

/* ---- dovecot.index ---- */

/* keywords_count, for each of them 4 unused bytes and where its name begins, then the
 * names with a NUL behind each. */
static int parse_keywords(struct index_map *map, struct err *err)
{
	const struct index_ext *ext = index_map_ext_find(map, INDEX_MAP_EXT_KEYWORDS);
	const unsigned char *p;
	size_t count, names;

	if (!ext || ext->data.len < sizeof(uint32_t))
		return 0;
	p = (const unsigned char *)ext->data.data;
	count = index_bytes_u32(p);
	names = sizeof(uint32_t) + count * KEYWORD_REC_SIZE;
	if (count > INDEX_MAP_KEYWORDS_MAX || names > ext->data.len)
		return err_set(err, ERR_DATA, "%zu keywords in a header of %zu bytes", count,
			       ext->data.len);
	for (size_t i = 0; i < count; i++) {
		uint64_t at = names + (uint64_t)index_bytes_u32(p + 8 + i * KEYWORD_REC_SIZE);

		if (at >= ext->data.len || p[at] == '\0' ||
		    !memchr(p + at, '\0', ext->data.len - at))
			return err_set(err, ERR_DATA, "keyword %zu has no name", i);
		vec_push(&map->keywords, xstrdup((const char *)p + at));
	}
	return 0;
}

static int add_mail(struct index_map *map, const unsigned char *record, struct err *err)
{
	struct index_map_mail mail = { .uid = index_bytes_u32(record), .flags = record[4] };
	uint32_t last = map->mails.count > 0 ? map->mails.items[map->mails.count - 1].uid : 0;

	if (mail.uid <= last || mail.uid >= map->header.next_uid)
		return err_set(err, ERR_DATA, "mail %zu has UID %u after %u", map->mails.count,
			       (unsigned)mail.uid, (unsigned)last);
	vec_push(&map->mails, mail);
	for (size_t i = 0; i < map->exts.count; i++) {
		struct index_ext *ext = &map->exts.items[i];

		if (ext->record_size > 0)
			buf_append(&ext->column, record + ext->record_offset, ext->record_size);
	}
	return 0;
}

static int load_index(const struct index_files *files, struct index_map *map, struct buf *base,
		      struct err *err)
{
	struct index_header *header = &map->header;
	autobuf struct buf records = { 0 };
	uint64_t size;

	if (index_header_read(files->index, files->index_bytes, header, err) < 0 ||
	    index_header_read_exts(files->index, files->index_bytes, header, &map->exts, err) < 0 ||
	    parse_keywords(map, err) < 0 ||
	    index_bytes_read(files->index, 0, header->base_header_size, base, err) < 0)
		return -1;
	size = (uint64_t)header->messages_count * header->record_size;
	if (size > files->index_bytes - header->header_size || size > INDEX_MAP_BYTES_MAX)
		return err_set(err, ERR_DATA, "the index has no room for its %u mails",
			       (unsigned)header->messages_count);
	if (index_bytes_read(files->index, header->header_size, (size_t)size, &records, err) < 0)
		return -1;
	for (size_t at = 0; at < records.len; at += header->record_size)
		if (add_mail(map, (const unsigned char *)records.data + at, err) < 0)
			return -1;
	map->modseqs = index_map_ext_find(map, INDEX_MAP_EXT_MODSEQ) != NULL;
	return 0;
}

/* ---- logs ---- */

struct replay {
	struct index_map_apply apply;
	uint64_t from; /* records before it only move the modseq */
	uint8_t log_minor;
};

static void replay_free(struct replay *replay)
{
	index_map_apply_free(&replay->apply);
}

static int on_record(void *ctx, const struct index_record *record, struct err *err)
{
	struct replay *replay = ctx;

	index_map_apply_modseq(&replay->apply, record, replay->log_minor);
	if (record->offset < replay->from)
		return 0;
	if (index_map_apply_record(&replay->apply, record, err) < 0)
		return err_prefix(err, "corrupt at offset %" PRIu64, record->offset);
	return 0;
}

static int replay_log(struct replay *replay, const struct index_files_log *log, uint64_t from,
		      struct err *err)
{
	struct index_map *map = replay->apply.map;

	replay->from = from;
	replay->log_minor = log->header.minor;
	replay->apply.modseq = log->header.initial_modseq;
	map->log_file_seq = log->header.file_seq;
	if (index_log_read(log->fd, log->size_bytes, log->header.hdr_size, on_record, replay,
			   &map->log_offset, err) < 0)
		return err_prefix(err, "log %u", (unsigned)log->header.file_seq);
	if (map->log_offset < from)
		return err_set(err, ERR_DATA, "log %u ends before the index",
			       (unsigned)log->header.file_seq);
	return 0;
}

/* What an index is before anything was written to it. */
static void start_anew(struct replay *replay, uint32_t indexid)
{
	unsigned char base[INDEX_HEADER_BASE_MIN] = { 7, 3, sizeof base, 0, sizeof base };
	const struct {
		size_t at;
		uint32_t value;
	} fields[] = {
		{ 8, RECORD_BASE_SIZE },
		{ 16, indexid },
		{ INDEX_HEADER_AT_NEXT_UID, 1 },
		{ INDEX_HEADER_AT_FIRST_RECENT, 1 },
	};
	struct index_map *map = replay->apply.map;

	base[12] = INDEX_BYTES_COMPAT;
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		memcpy(base + fields[i].at, &fields[i].value, sizeof fields[i].value);
	index_map_free(map);
	*map = (struct index_map){ 0 };
	index_header_parse(base, sizeof base, &map->header);
	buf_truncate(&replay->apply.base, 0);
	buf_append(&replay->apply.base, base, sizeof base);
}

/* Where to begin. A log that has none before it begins an index anew, and one that is
 * older than it no longer counts. */
static int find_start(struct replay *replay, bool has_index, const struct index_files_logs *logs,
		      enum index_files_start *start_r, uint64_t *offset_r, struct err *err)
{
	const struct index_header *header = &replay->apply.map->header;
	const struct index_log_header *log = &logs->log.header;
	const struct index_log_header *first = logs->has_log2 ? &logs->log2.header : log;

	*start_r = INDEX_FILES_LOST;
	if (has_index && header->indexid != log->indexid)
		return err_set(err, ERR_DATA, "the index has id %u, its log %u",
			       (unsigned)header->indexid, (unsigned)log->indexid);
	if (has_index)
		*start_r = index_files_find(logs, header->log_file_seq,
					    header->log_file_head_offset, offset_r);
	if (!has_index ||
	    (*start_r == INDEX_FILES_LOST && header->log_file_seq < first->file_seq)) {
		*start_r = index_files_find_first(logs, offset_r);
		start_anew(replay, log->indexid);
	}
	if (*start_r == INDEX_FILES_LOST)
		return err_set(err, ERR_DATA, "the log does not reach back to the %s",
			       has_index ? "index" : "beginning");
	return 0;
}

static int replay_logs(struct replay *replay, bool has_index, const struct index_files_logs *logs,
		       struct err *err)
{
	struct index_map *map = replay->apply.map;
	enum index_files_start start;
	uint64_t offset = 0;

	if (find_start(replay, has_index, logs, &start, &offset, err) < 0)
		return -1;
	if (start == INDEX_FILES_LOG2) {
		if (replay_log(replay, &logs->log2, offset, err) < 0)
			return -1;
		if (map->log_offset != logs->log.header.prev_file_offset)
			return err_set(err, ERR_DATA, "the rotated log is not whole");
		offset = logs->log.header.hdr_size;
	}
	if (replay_log(replay, &logs->log, offset, err) < 0)
		return -1;
	map->highest_modseq = replay->apply.modseq;
	return 0;
}

/* ---- all of it ---- */

static void close_gaps(struct index_map *map)
{
	size_t to = 0;

	for (size_t i = 0; i < map->mails.count; i++) {
		if (map->mails.items[i].gone)
			continue;
		for (size_t e = 0; to != i && e < map->exts.count; e++) {
			const struct index_ext *ext = &map->exts.items[e];
			size_t size = ext->record_size;

			if (size > 0)
				memcpy(ext->column.data + to * size, ext->column.data + i * size,
				       size);
		}
		map->mails.items[to++] = map->mails.items[i];
	}
	map->mails.count = to;
	for (size_t e = 0; e < map->exts.count; e++)
		buf_truncate(&map->exts.items[e].column, to * map->exts.items[e].record_size);
}

static void count_mails(struct index_map *map)
{
	struct index_header *header = &map->header;

	header->messages_count = (uint32_t)map->mails.count;
	header->seen_messages_count = header->deleted_messages_count = 0;
	for (size_t i = 0; i < map->mails.count; i++) {
		header->seen_messages_count += (map->mails.items[i].flags & INDEX_FLAG_SEEN) != 0;
		header->deleted_messages_count +=
			(map->mails.items[i].flags & INDEX_FLAG_DELETED) != 0;
	}
}

int index_map_load(const struct index_files *files, struct index_map *map_r, struct err *err)
{
	CLEANUP(replay_free) struct replay replay = { .apply.map = map_r };
	struct index_files_logs logs;
	const struct index_ext *ext;
	int got;

	*map_r = (struct index_map){ 0 };
	if (files->index >= 0 && load_index(files, map_r, &replay.apply.base, err) < 0)
		return -1;
	ext = index_map_ext_find(map_r, INDEX_MAP_EXT_MODSEQ);
	if (ext && ext->data.len >= sizeof(uint64_t))
		map_r->highest_modseq = index_bytes_u64((const unsigned char *)ext->data.data);
	got = index_files_logs(files, &logs, err);
	if (got < 0 || (got == 0 && (files->log >= 0 || files->index < 0)))
		return -1;
	if (got > 0 && replay_logs(&replay, files->index >= 0, &logs, err) < 0)
		return -1;
	close_gaps(map_r);
	count_mails(map_r);
	return 0;
}
