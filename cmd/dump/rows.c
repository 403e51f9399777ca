#include "rows.h"

#include "base/buf.h"
#include "detail.h"
#include "index/index_cache.h"
#include "index/index_list.h"
#include "index/index_map.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SEPARATOR '/'

/* ---- a log ---- */

static const struct print_field log_fields[] = {
	{ .name = "offset", .flags = PRINT_RIGHT },
	{ .name = "size", .flags = PRINT_RIGHT },
	{ .name = "type" },
	{ .name = "external" },
	{ .name = "sync", .flags = PRINT_HIDDEN },
	{ .name = "detail", .flags = PRINT_CUT },
};
static const struct print_field log_summary[] = {
	{ .name = "version" },        { .name = "indexid" },
	{ .name = "file-seq" },       { .name = "prev-file-seq" },
	{ .name = "prev-offset" },    { .name = "created", .flags = PRINT_TIME },
	{ .name = "initial-modseq" }, { .name = "end" },
};

static int print_record(void *ctx, const struct index_record *record, struct err *err)
{
	autobuf struct buf detail = { 0 };

	detail_record(record, &detail);
	return print_row(
		ctx,
		(struct print_value[]){ print_uint(record->offset), print_uint(record->size_bytes),
					print_str(index_record_type_name(record->type)),
					print_bool(record->external), print_bool(record->sync),
					print_str(buf_str(&detail)) },
		err);
}

static int print_log_summary(struct printer *printer, const struct index_log_header *header,
			     uint64_t end, struct err *err)
{
	char version[16];

	snprintf(version, sizeof version, "%u.%u", header->major, header->minor);
	return print_summary(
		printer, log_summary,
		(struct print_value[]){
			print_str(version), print_uint(header->indexid),
			print_uint(header->file_seq), print_uint(header->prev_file_seq),
			print_uint(header->prev_file_offset), print_int(header->create_stamp),
			print_uint(header->initial_modseq), print_uint(end) },
		COUNT(log_summary), err);
}

int rows_log(struct tool *tool, const char *path, int fd, uint64_t size_bytes)
{
	autoprinter struct printer *printer = NULL;
	struct index_log_header header;
	struct err err = { 0 }, corrupt = { 0 };
	uint64_t end;

	if (index_log_header(fd, size_bytes, &header, &err) < 0)
		return tool_error(tool, path, &err);
	printer = tool_printer(tool, "records", log_fields, COUNT(log_fields));
	if (!printer)
		return ERR_USAGE;
	/* What is before a corrupt record is what somebody wants to see. */
	if (index_log_read(fd, size_bytes, header.hdr_size, print_record, printer, &end, &corrupt) <
		    0 &&
	    corrupt.code != ERR_DATA)
		return tool_error(tool, corrupt.code == ERR_IO ? NULL : path, &corrupt);
	if (print_log_summary(printer, &header, end, &err) < 0 || print_finish(&printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return corrupt.code != ERR_NONE ? tool_error(tool, path, &corrupt) : 0;
}

/* ---- a cache ---- */

static const struct print_field cache_fields[] = {
	{ .name = "name" },
	{ .name = "type" },
	{ .name = "size", .flags = PRINT_RIGHT },
	{ .name = "decision" },
	{ .name = "last-used", .flags = PRINT_TIME },
};
static const struct print_field cache_summary[] = {
	{ .name = "version" },       { .name = "indexid" },           { .name = "file-seq" },
	{ .name = "records" },       { .name = "continued-records" }, { .name = "deleted-records" },
	{ .name = "fields-offset" },
};

static int print_cache_field(struct printer *printer, const struct index_cache_field *field,
			     struct err *err)
{
	return print_row(
		printer,
		(struct print_value[]){
			print_str(field->name), print_str(index_cache_type_name(field->type)),
			field->size_bytes > 0 ? print_uint(field->size_bytes) : print_null(),
			print_str(index_cache_decision_name(field->decision)),
			print_int(field->last_used) },
		err);
}

static int print_cache_summary(struct printer *printer, const struct index_cache *cache,
			       struct err *err)
{
	char version[16];

	snprintf(version, sizeof version, "%u.%u", cache->major, cache->minor);
	return print_summary(
		printer, cache_summary,
		(struct print_value[]){
			print_str(version), print_uint(cache->indexid), print_uint(cache->file_seq),
			print_uint(cache->record_count), print_uint(cache->continued_record_count),
			print_uint(cache->deleted_record_count), print_uint(cache->fields_offset) },
		COUNT(cache_summary), err);
}

int rows_cache(struct tool *tool, const char *path, int fd, uint64_t size_bytes)
{
	autoprinter struct printer *printer = NULL;
	autoindexcache struct index_cache cache = { 0 };
	struct err err = { 0 };

	if (index_cache_load(fd, size_bytes, &cache, &err) < 0)
		return tool_error(tool, path, &err);
	printer = tool_printer(tool, "fields", cache_fields, COUNT(cache_fields));
	if (!printer)
		return ERR_USAGE;
	for (size_t i = 0; i < cache.fields.count; i++)
		if (print_cache_field(printer, &cache.fields.items[i], &err) < 0)
			return tool_error(tool, NULL, &err);
	if (print_cache_summary(printer, &cache, &err) < 0 || print_finish(&printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return 0;
}

/* ---- the mails ---- */

static const struct print_field map_fields[] = {
	{ .name = "uid", .flags = PRINT_RIGHT },
	{ .name = "flags" },
	{ .name = "keywords" },
	{ .name = "modseq", .flags = PRINT_RIGHT },
};
static const struct print_field map_summary[] = {
	{ .name = "indexid" },        { .name = "uidvalidity" },  { .name = "uidnext" },
	{ .name = "messages" },       { .name = "seen" },         { .name = "deleted" },
	{ .name = "highest-modseq" }, { .name = "log-file-seq" }, { .name = "log-offset" },
};

static int print_mail(struct printer *printer, const struct index_map *map, size_t i,
		      struct err *err)
{
	autobuf struct buf flags = { 0 }, keywords = { 0 };

	detail_flags(map->mails.items[i].flags, &flags);
	for (size_t k = 0; k < map->keywords.count; k++)
		if (index_map_has_keyword(map, i, k))
			buf_printf(&keywords, "%s%s", keywords.len > 0 ? " " : "",
				   map->keywords.items[k]);
	return print_row(printer,
			 (struct print_value[]){ print_uint(map->mails.items[i].uid),
						 print_str(buf_str(&flags)),
						 print_str(buf_str(&keywords)),
						 print_uint(index_map_modseq(map, i)) },
			 err);
}

int rows_map(struct tool *tool, const char *path, const struct index_files *files)
{
	autoprinter struct printer *printer = NULL;
	autoindexmap struct index_map map = { 0 };
	const struct index_header *header = &map.header;
	struct err err = { 0 };

	if (index_map_load(files, &map, &err) < 0)
		return tool_error(tool, path, &err);
	printer = tool_printer(tool, "mails", map_fields, COUNT(map_fields));
	if (!printer)
		return ERR_USAGE;
	for (size_t i = 0; i < map.mails.count; i++)
		if (print_mail(printer, &map, i, &err) < 0)
			return tool_error(tool, NULL, &err);
	if (print_summary(printer, map_summary,
			  (struct print_value[]){
				  print_uint(header->indexid), print_uint(header->uid_validity),
				  print_uint(header->next_uid), print_uint(header->messages_count),
				  print_uint(header->seen_messages_count),
				  print_uint(header->deleted_messages_count),
				  print_uint(map.highest_modseq), print_uint(map.log_file_seq),
				  print_uint(map.log_offset) },
			  COUNT(map_summary), &err) < 0 ||
	    print_finish(&printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return 0;
}

/* ---- the folders ---- */

static const struct print_field list_fields[] = {
	{ .name = "guid" },
	{ .name = "name" },
	{ .name = "selectable" },
	{ .name = "uidvalidity", .flags = PRINT_RIGHT },
	{ .name = "uid", .flags = PRINT_HIDDEN | PRINT_RIGHT },
};

int rows_list(struct tool *tool, const char *path, const struct index_files *files)
{
	const uint8_t unselectable = INDEX_LIST_NONEXISTENT | INDEX_LIST_NOSELECT;
	autoprinter struct printer *printer = NULL;
	autoindexmap struct index_map map = { 0 };
	autoindexlist struct index_list list = { 0 };
	struct err err = { 0 };
	int ret = 0;

	if (index_map_load(files, &map, &err) < 0 ||
	    index_list_load(&map, SEPARATOR, &list, &err) < 0)
		return tool_error(tool, path, &err);
	printer = tool_printer(tool, "folders", list_fields, COUNT(list_fields));
	if (!printer)
		return ERR_USAGE;
	for (size_t i = 0; ret == 0 && i < list.count; i++) {
		const struct index_list_folder *folder = &list.items[i];

		ret = print_row(printer,
				(struct print_value[]){
					print_str(*folder->guid ? folder->guid : NULL),
					print_str(folder->name),
					print_bool((folder->flags & unselectable) == 0),
					print_uint(folder->uid_validity), print_uint(folder->uid) },
				&err);
	}
	if (ret == 0)
		ret = print_finish(&printer, &err);
	return ret < 0 ? tool_error(tool, NULL, &err) : 0;
}

/* ---- changes ---- */

static const struct print_field changes_fields[] = {
	{ .name = "changes" },
	{ .name = "reason" },
	{ .name = "appends", .flags = PRINT_RIGHT },
	{ .name = "position" },
};

int rows_changes(struct tool *tool, const char *path, const struct index_files *files,
		 const struct index_position *from)
{
	autoprinter struct printer *printer = NULL;
	struct index_changes changes;
	struct err err = { 0 };
	char position[64];

	if (index_changes_in(files, from, &changes, &err) < 0)
		return tool_error(tool, path, &err);
	printer = tool_printer(tool, "changes", changes_fields, COUNT(changes_fields));
	if (!printer)
		return ERR_USAGE;
	snprintf(position, sizeof position, "%u:%u:%llu", (unsigned)changes.end.indexid,
		 (unsigned)changes.end.file_seq, (unsigned long long)changes.end.offset);
	if (print_row(
		    printer,
		    (struct print_value[]){ print_str(index_changes_name(changes.class)),
					    print_str(*changes.reason ? changes.reason : NULL),
					    print_uint(changes.appends),
					    print_str(changes.end.indexid != 0 ? position : NULL) },
		    &err) < 0 ||
	    print_finish(&printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return 0;
}
