#include "index/index_changes.h"

#include <string.h>
#include <strings.h>

#include "index/index_header.h"
#include "index/index_log.h"

#define FIRST_FILE_SEQ_MAX 2 /* Dovecot 2.3 makes the first log as number 2 */

/* What is known on the way through the logs. */
struct scan {
	struct index_changes *changes;
	bool is_list;
	uint64_t from;          /* records before it only tell which extensions there are */
	bool at_record;         /* `from` is the beginning of a record */
	uint32_t first_new_uid; /* mails from it on were appended after the position; 0: none */
	struct index_ext_vec exts;
	const char *ext; /* of the last introduction; NULL: not known */
};

static void scan_free(struct scan *scan)
{
	index_header_free_exts(&scan->exts);
}

static void raise_class(struct index_changes *changes, enum index_class class, const char *reason)
{
	if (class <= changes->class)
		return;
	changes->class = class;
	changes->reason = reason;
}

static void important(struct scan *scan, const char *reason)
{
	raise_class(scan->changes, INDEX_CHANGES_IMPORTANT, reason);
}

/* ---- one record ---- */

static void see_append(struct scan *scan, const struct index_record *record)
{
	struct index_record_item item;
	size_t at = 0;

	if (scan->is_list)
		important(scan, "a folder was added");
	while (index_record_next(record, &at, &item)) {
		scan->changes->appends++;
		if (scan->first_new_uid == 0)
			scan->first_new_uid = item.uid1;
		if (item.add_flags & INDEX_FLAGS_VISIBLE)
			important(scan, "a mail was added with flags");
	}
}

static void see_expunge(struct scan *scan, const struct index_record *record)
{
	struct index_record_item item;
	size_t at = 0;

	while (index_record_next(record, &at, &item))
		if (scan->first_new_uid == 0 || item.uid1 < scan->first_new_uid)
			important(scan,
				  scan->is_list ? "a folder was removed" : "a mail was expunged");
}

static void see_flags(struct scan *scan, const struct index_record *record)
{
	struct index_record_item item;
	size_t at = 0;

	while (index_record_next(record, &at, &item))
		if ((item.add_flags | item.remove_flags) & INDEX_FLAGS_VISIBLE)
			important(scan, "flags were changed");
}

static bool is_computed(const struct index_record_keyword *keyword)
{
	static const char *const names[] = { "$HasAttachment", "$HasNoAttachment" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == keyword->len &&
		    strncasecmp(names[i], keyword->name, keyword->len) == 0)
			return true;
	return false;
}

static void see_header(struct scan *scan, const struct index_record *record)
{
	struct index_record_item item;
	size_t at = 0;

	while (index_record_next(record, &at, &item))
		if (item.offset < INDEX_HEADER_AT_UID_VALIDITY + sizeof(uint32_t) &&
		    item.offset + item.len > INDEX_HEADER_AT_UID_VALIDITY)
			important(scan, "UIDVALIDITY was changed");
}

/* ---- extensions of the list index ---- */

static void see_intro(struct scan *scan, const struct index_record *record)
{
	struct index_record_item item;
	const struct index_ext *known;
	size_t at = 0;

	scan->ext = NULL;
	while (index_record_next(record, &at, &item)) {
		const char *name = (const char *)item.data;

		if (item.intro.ext_id != INDEX_RECORD_EXT_NEW) {
			scan->ext = item.intro.ext_id < scan->exts.count
					    ? scan->exts.items[item.intro.ext_id].name
					    : NULL;
			continue;
		}
		if (scan->exts.count < INDEX_HEADER_EXTS_MAX &&
		    !index_header_ext(&scan->exts, name, item.len))
			vec_push(&scan->exts,
				 (struct index_ext){ .name = xstrndup(name, item.len) });
		known = index_header_ext(&scan->exts, name, item.len);
		scan->ext = known ? known->name : NULL;
	}
}

/* Of the list's own header only the first byte, and it is cleared: Dovecot has looked
 * at all folders again. Where it is set, one was made, renamed or removed, and a layout
 * that has the names elsewhere writes nothing more. */
static bool clears_refresh(const struct index_record *record)
{
	struct index_record_item item;
	size_t at = 0;

	if (record->type != INDEX_RECORD_EXT_HDR_UPDATE)
		return false;
	while (index_record_next(record, &at, &item))
		if (item.offset + item.len > 1 || (item.len > 0 && item.data[0] != 0))
			return false;
	return true;
}

/* What STATUS and the storage drivers note in the list index can be had again from
 * the folder's own index. */
static void see_ext(struct scan *scan, const struct index_record *record)
{
	static const char *const caches[] = { "msgs",       "hmodseq", "vsize",
					      "1saved",     "deleted", "modseq",
					      "index sync", "maildir", "mbox" };

	if (!scan->is_list)
		return;
	for (size_t i = 0; scan->ext && i < sizeof caches / sizeof *caches; i++)
		if (strcmp(scan->ext, caches[i]) == 0)
			return;
	if (!scan->ext)
		important(scan, "an extension that is not known was changed");
	else if (strcmp(scan->ext, "subs") == 0)
		important(scan, "subscriptions were changed");
	else if (strcmp(scan->ext, "list") != 0)
		important(scan, "another extension was changed");
	else if (!clears_refresh(record))
		important(scan, "the list of folders was changed");
}

static void see_record(struct scan *scan, const struct index_record *record)
{
	struct index_record_keyword keyword;

	switch ((int)record->type) {
	case INDEX_RECORD_APPEND:
		return see_append(scan, record);
	case INDEX_RECORD_EXPUNGE:
	case INDEX_RECORD_EXPUNGE_GUID:
		return see_expunge(scan, record);
	case INDEX_RECORD_FLAG_UPDATE:
		return see_flags(scan, record);
	case INDEX_RECORD_KEYWORD_UPDATE:
		keyword = index_record_keyword(record);
		if (!is_computed(&keyword))
			important(scan, "keywords were changed");
		return;
	case INDEX_RECORD_KEYWORD_RESET:
		return important(scan, "keywords were reset");
	case INDEX_RECORD_HEADER_UPDATE:
		return see_header(scan, record);
	case INDEX_RECORD_ATTRIBUTE_UPDATE:
		return important(scan, "a mailbox attribute was changed");
	case INDEX_RECORD_INDEX_DELETED:
	case INDEX_RECORD_INDEX_UNDELETED:
		return important(scan, "the index was marked as deleted or not");
	case INDEX_RECORD_EXT_RESET:
	case INDEX_RECORD_EXT_HDR_UPDATE:
	case INDEX_RECORD_EXT_HDR_UPDATE32:
	case INDEX_RECORD_EXT_REC_UPDATE:
	case INDEX_RECORD_EXT_ATOMIC_INC:
		return see_ext(scan, record);
	default:
		return;
	}
}

static int on_record(void *ctx, const struct index_record *record, struct err *err)
{
	struct scan *scan = ctx;

	(void)err;
	if (record->type == INDEX_RECORD_EXT_INTRO && scan->is_list)
		see_intro(scan, record);
	if (record->offset < scan->from)
		return 0;
	scan->at_record |= record->offset == scan->from;
	/* Nothing is more than important; only mails are still counted. */
	if (scan->changes->class == INDEX_CHANGES_IMPORTANT && record->type != INDEX_RECORD_APPEND)
		return 0;
	raise_class(scan->changes, INDEX_CHANGES_UNIMPORTANT, "what can be computed again");
	see_record(scan, record);
	return 0;
}

/* ---- the logs ---- */

/* From `from` to the log's end, which it returns. 0; -1 I/O. A list index's log is
 * read whole, for the extensions. */
static int scan_log(struct scan *scan, const struct index_files_log *log, uint64_t from,
		    uint64_t *end_r, struct err *err)
{
	struct err why = { 0 };

	*end_r = from;
	scan->from = from;
	scan->at_record = false;
	if (from > log->size_bytes || from < log->header.hdr_size) {
		important(scan, "the log is shorter than it was");
		return 0;
	}
	if (index_log_read(log->fd, log->size_bytes, scan->is_list ? log->header.hdr_size : from,
			   on_record, scan, end_r, &why) == 0) {
		if (*end_r != from && !scan->at_record)
			important(scan, "the log is not what it was");
		return 0;
	}
	if (why.code != ERR_DATA) {
		*err = why;
		return -1;
	}
	important(scan, "the log is corrupt");
	return 0;
}

/* Which extensions an index file knows; none where it is not there, not of this
 * log, or older than a log that began anew. */
static int load_exts(struct scan *scan, const struct index_files *files,
		     const struct index_log_header *first, struct err *err)
{
	struct index_header header;
	struct err why = { 0 };

	if (!files->is_list || files->index < 0)
		return 0;
	if (index_header_read(files->index, files->index_bytes, &header, &why) == 0 &&
	    header.indexid == first->indexid &&
	    (header.log_file_seq >= first->file_seq || first->prev_file_seq != 0) &&
	    index_header_read_exts(files->index, files->index_bytes, &header, &scan->exts, &why) ==
		    0)
		return 0;
	index_header_free_exts(&scan->exts);
	if (why.code == ERR_NONE || why.code == ERR_DATA)
		return 0;
	*err = why;
	return -1;
}

static enum index_files_start find_start(struct scan *scan, const struct index_files_logs *logs,
					 const struct index_position *from, uint64_t *offset_r)
{
	const struct index_log_header *first =
		logs->has_log2 ? &logs->log2.header : &logs->log.header;
	enum index_files_start start = INDEX_FILES_LOST;

	if (!from) {
		/* A later first log is that of an index which was made anew. */
		if (first->file_seq <= FIRST_FILE_SEQ_MAX)
			start = index_files_find_first(logs, offset_r);
		if (start == INDEX_FILES_LOST)
			important(scan, "the log does not reach back to the beginning");
		return start;
	}
	if (from->indexid != logs->log.header.indexid) {
		important(scan, "it is another index than before");
		return start;
	}
	start = index_files_find(logs, from->file_seq, from->offset, offset_r);
	if (start == INDEX_FILES_LOST)
		important(scan, "the log does not reach back to the last position");
	return start;
}

/* The list's extensions may have been introduced before the position. */
static int see_earlier(struct scan *scan, const struct index_files_log *log, struct err *err)
{
	struct err why = { 0 };
	uint64_t end;

	scan->from = UINT64_MAX;
	if (index_log_read(log->fd, log->size_bytes, log->header.hdr_size, on_record, scan, &end,
			   &why) == 0 ||
	    why.code == ERR_DATA)
		return 0;
	*err = why;
	return -1;
}

static int scan_logs(struct scan *scan, const struct index_files_logs *logs,
		     const struct index_position *from, struct err *err)
{
	const struct index_log_header *header = &logs->log.header;
	uint64_t offset, end;
	enum index_files_start start = find_start(scan, logs, from, &offset);

	if (start == INDEX_FILES_LOG2) {
		if (scan_log(scan, &logs->log2, offset, &end, err) < 0)
			return -1;
		if (end != header->prev_file_offset)
			important(scan, "the rotated log is not whole");
	} else if (scan->is_list && logs->has_log2 && see_earlier(scan, &logs->log2, err) < 0) {
		return -1;
	}
	if (start != INDEX_FILES_LOG)
		offset = header->hdr_size;
	return scan_log(scan, &logs->log, offset, &scan->changes->end.offset, err);
}

int index_changes_in(const struct index_files *files, const struct index_position *from,
		     struct index_changes *changes_r, struct err *err)
{
	CLEANUP(scan_free) struct scan scan = { .changes = changes_r, .is_list = files->is_list };
	struct index_files_logs logs;
	struct err own = { 0 };
	int got;

	*changes_r = (struct index_changes){ .reason = "" };
	got = index_files_logs(files, &logs, &own);
	if (got == 0)
		important(&scan,
			  own.code == ERR_NOTFOUND ? "there is no log" : "the log cannot be read");
	if (got > 0) {
		changes_r->end.indexid = logs.log.header.indexid;
		changes_r->end.file_seq = logs.log.header.file_seq;
		if (load_exts(&scan, files, logs.has_log2 ? &logs.log2.header : &logs.log.header,
			      &own) < 0 ||
		    scan_logs(&scan, &logs, from, &own) < 0)
			got = -1;
	}
	if (got < 0 && err)
		*err = own;
	return got < 0 ? -1 : 0;
}

int index_changes_since(int dirfd, const char *log_name, const struct index_position *from,
			struct index_changes *changes_r, struct err *err)
{
	autoindexfiles struct index_files files;

	*changes_r = (struct index_changes){ .reason = "" };
	if (index_files_open(dirfd, log_name, &files, err) < 0)
		return -1;
	return index_changes_in(&files, from, changes_r, err);
}

static int pass_over(void *ctx, const struct index_record *record, struct err *err)
{
	(void)ctx;
	(void)record;
	(void)err;
	return 0;
}

int index_changes_end(int log_fd, uint64_t size_bytes, struct index_position *end_r,
		      struct err *err)
{
	struct index_log_header header;

	*end_r = (struct index_position){ 0 };
	if (index_log_header(log_fd, size_bytes, &header, err) < 0)
		return -1;
	end_r->indexid = header.indexid;
	end_r->file_seq = header.file_seq;
	return index_log_read(log_fd, size_bytes, header.hdr_size, pass_over, NULL, &end_r->offset,
			      err);
}

const char *index_changes_name(enum index_class class)
{
	switch (class) {
	case INDEX_CHANGES_NONE:
		return "none";
	case INDEX_CHANGES_UNIMPORTANT:
		return "unimportant";
	case INDEX_CHANGES_IMPORTANT:
		break;
	}
	return "important";
}
