/* Any bytes as a transaction log: every record that is read lies in the file, walking
 * it ends, and what cannot be read is never called unimportant. */
#include "index/index_changes.h"
#include "index_parts.h"

struct seen {
	uint64_t next, len;
	size_t records;
};

static int on_record(void *ctx, const struct index_record *record, struct err *err)
{
	struct seen *seen = ctx;
	struct index_record_item item;
	size_t at = 0, sum = 0;

	(void)err;
	need(record->offset == seen->next && record->size_bytes >= 8);
	seen->next += record->size_bytes;
	need(seen->next <= seen->len);
	if (record->type == INDEX_RECORD_KEYWORD_UPDATE)
		need(index_record_keyword(record).len > 0);
	while (index_record_next(record, &at, &item)) {
		need(at <= record->data_len && item.uid1 <= item.uid2);
		for (size_t i = 0; item.data && i < item.len; i++)
			sum += item.data[i];
	}
	seen->records += 1 + (sum & 0);
	return 0;
}

static void fuzz_changes(const struct index_files *files, const struct index_position *from,
			 bool whole)
{
	struct index_changes changes;
	struct err err = { 0 };

	need(index_changes_in(files, from, &changes, &err) == 0);
	need(changes.end.offset <= files->log_bytes);
	if (!whole)
		need(changes.class == INDEX_CHANGES_IMPORTANT);
	need((changes.class == INDEX_CHANGES_NONE) == (changes.reason[0] == '\0'));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	struct index_files files = { .index = -1, .log2 = -1, .log_bytes = len };
	struct index_log_header header = { 0 };
	struct index_position from;
	struct seen seen = { .len = len };
	struct err err = { 0 };
	bool whole = false;
	uint64_t end;

	files.log = part(data, len);
	if (len > 0 && index_log_header(files.log, len, &header, &err) == 0) {
		seen.next = header.hdr_size;
		whole = index_log_read(files.log, len, header.hdr_size, on_record, &seen, &end,
				       &err) == 0;
		need(end == seen.next);
	}
	need(whole || len == 0 || err.code == ERR_DATA);
	from = (struct index_position){ header.indexid, header.file_seq, header.hdr_size };
	fuzz_changes(&files, &from, whole);
	fuzz_changes(&files, NULL, whole);
	files.is_list = true;
	fuzz_changes(&files, &from, whole);
	need(!index_files_reach(&files, header.indexid, header.file_seq, header.hdr_size) || whole);
	index_files_close(&files);
	return 0;
}
