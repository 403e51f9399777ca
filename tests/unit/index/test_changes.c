/* Which changes matter: one record at a time, rotation, logs that tell too little. */
#include "index/index_changes.h"
#include "writer.h"

#define NONE INDEX_CHANGES_NONE
#define UNIMPORTANT INDEX_CHANGES_UNIMPORTANT
#define IMPORTANT INDEX_CHANGES_IMPORTANT

static struct index_files files_of(const struct buf *log, const struct buf *log2, bool is_list)
{
	return (struct index_files){
		.is_list = is_list,
		.log = log ? file_of(log) : -1,
		.log2 = log2 ? file_of(log2) : -1,
		.index = -1,
		.log_bytes = log ? log->len : 0,
		.log2_bytes = log2 ? log2->len : 0,
	};
}

static struct index_changes changes_of(const struct buf *log, const struct buf *log2, bool is_list,
				       const struct index_position *from)
{
	struct index_files files = files_of(log, log2, is_list);
	struct index_changes changes;
	struct err err;

	assert_int_equal(index_changes_in(&files, from, &changes, &err), 0);
	close(files.log);
	close(files.log2);
	return changes;
}

static void see(const struct index_changes *changes, enum index_class class, const char *reason)
{
	assert_string_equal(changes->reason, reason);
	assert_int_equal(changes->class, class);
}

/* ---- one record ---- */

static void add_nothing(struct buf *log)
{
	(void)log;
}
static void add_append(struct buf *log)
{
	put_append(log, 10, 0);
}
static void add_append_internal(struct buf *log)
{
	put_append(log, 10, 0xe0);
}
static void add_append_seen(struct buf *log)
{
	put_append(log, 10, INDEX_FLAG_SEEN);
}
static void add_append_draft(struct buf *log)
{
	put_append(log, 10, INDEX_FLAG_DRAFT);
}
static void add_flag(struct buf *log)
{
	put_flags(log, 1, INDEX_FLAG_FLAGGED, 0);
}
static void add_unflag(struct buf *log)
{
	put_flags(log, 1, 0, INDEX_FLAG_SEEN);
}
static void add_flag_internal(struct buf *log)
{
	put_flags(log, 1, 0xc0, 0x20);
}
static void add_flag_modseq(struct buf *log)
{
	NUMBERS(log, INDEX_RECORD_FLAG_UPDATE, 1, 1, 1 << 16);
}
static void add_keyword(struct buf *log)
{
	put_keyword(log, INDEX_RECORD_ADD, "$Work", 1, 1);
}
static void add_keyword_off(struct buf *log)
{
	put_keyword(log, INDEX_RECORD_REMOVE, "$Work", 1, 1);
}
static void add_attachment(struct buf *log)
{
	put_keyword(log, INDEX_RECORD_ADD, "$HasAttachment", 1, 1);
}
static void add_no_attachment(struct buf *log)
{
	put_keyword(log, INDEX_RECORD_REMOVE, "$hasnoattachment", 1, 1);
}
static void add_attachments(struct buf *log)
{
	put_keyword(log, INDEX_RECORD_ADD, "$HasAttachments", 1, 1);
}
static void add_keyword_reset(struct buf *log)
{
	NUMBERS(log, INDEX_RECORD_KEYWORD_RESET, 1, 1);
}
static void add_expunge(struct buf *log)
{
	put_expunge(log, 9, 9);
}
static void add_expunge_request(struct buf *log)
{
	NUMBERS(log, EXPUNGE_GUID, 9, 1, 2, 3, 4);
}
static void add_expunge_new(struct buf *log)
{
	put_append(log, 10, 0);
	put_expunge(log, 10, 11);
}
static void add_expunge_both(struct buf *log)
{
	put_append(log, 10, 0);
	put_expunge(log, 9, 10);
}
static void add_uidvalidity(struct buf *log)
{
	put_header_update(log, 24, 5);
}
static void add_uidvalidity_end(struct buf *log)
{
	put_header_update(log, 27, 5);
}
static void add_next_uid(struct buf *log)
{
	put_header_update(log, 28, 5);
}
static void add_flags_field(struct buf *log)
{
	put_header_update(log, 20, 4);
}
static void add_recent(struct buf *log)
{
	put_header_update(log, 48, 5);
}
static void add_attribute(struct buf *log)
{
	put_record(log, INDEX_RECORD_ATTRIBUTE_UPDATE, "+pcomment\0\0\0\1\0\0\0\2\0\0\0", 20);
}
static void add_modseq(struct buf *log)
{
	NUMBERS(log, INDEX_RECORD_MODSEQ_UPDATE, 1, 7, 0);
}
static void add_deleted(struct buf *log)
{
	NUMBERS(log, INDEX_RECORD_INDEX_DELETED, 0);
}
static void add_ext(struct buf *log)
{
	put_intro(log, 0, "cache", 0, 0, 4);
	put_ext_rec(log, 1, "abcd", 4);
	put_intro(log, 7, NULL, 0, 8, 0);
	put_ext_hdr(log, 0, "abcdefgh", 8);
	NUMBERS(log, INDEX_RECORD_EXT_ATOMIC_INC, 1, 1);
	NUMBERS(log, INDEX_RECORD_EXT_RESET, 2, 0);
}
static void add_group(struct buf *log)
{
	autobuf struct buf group = { 0 };

	put_append(&group, 10, 0);
	put_keyword(&group, INDEX_RECORD_ADD, "x", 10, 10);
	put_group(log, &group);
}
static void add_half_group(struct buf *log)
{
	add_group(log);
	log->len -= 4;
}
static void add_garbage(struct buf *log)
{
	put_u64(log, 0x0101010101010101);
}

static const struct {
	void (*add)(struct buf *log);
	enum index_class class;
	const char *reason;
	unsigned appends;
} records[] = {
	{ add_nothing, NONE, "" },
	{ add_append, UNIMPORTANT, "what can be computed again", 1 },
	{ add_append_internal, UNIMPORTANT, "what can be computed again", 1 },
	{ add_append_seen, IMPORTANT, "a mail was added with flags", 1 },
	{ add_append_draft, IMPORTANT, "a mail was added with flags", 1 },
	{ add_flag, IMPORTANT, "flags were changed" },
	{ add_unflag, IMPORTANT, "flags were changed" },
	{ add_flag_internal, UNIMPORTANT, "what can be computed again" },
	{ add_flag_modseq, UNIMPORTANT, "what can be computed again" },
	{ add_keyword, IMPORTANT, "keywords were changed" },
	{ add_keyword_off, IMPORTANT, "keywords were changed" },
	{ add_attachment, UNIMPORTANT, "what can be computed again" },
	{ add_no_attachment, UNIMPORTANT, "what can be computed again" },
	{ add_attachments, IMPORTANT, "keywords were changed" },
	{ add_keyword_reset, IMPORTANT, "keywords were reset" },
	{ add_expunge, IMPORTANT, "a mail was expunged" },
	{ add_expunge_request, IMPORTANT, "a mail was expunged" },
	{ add_expunge_new, UNIMPORTANT, "what can be computed again", 1 },
	{ add_expunge_both, IMPORTANT, "a mail was expunged", 1 },
	{ add_uidvalidity, IMPORTANT, "UIDVALIDITY was changed" },
	{ add_uidvalidity_end, IMPORTANT, "UIDVALIDITY was changed" },
	{ add_next_uid, UNIMPORTANT, "what can be computed again" },
	{ add_flags_field, UNIMPORTANT, "what can be computed again" },
	{ add_recent, UNIMPORTANT, "what can be computed again" },
	{ add_attribute, IMPORTANT, "a mailbox attribute was changed" },
	{ add_modseq, UNIMPORTANT, "what can be computed again" },
	{ add_deleted, IMPORTANT, "the index was marked as deleted or not" },
	{ add_ext, UNIMPORTANT, "what can be computed again" },
	{ add_group, IMPORTANT, "keywords were changed", 1 },
	{ add_half_group, NONE, "" },
	{ add_garbage, IMPORTANT, "the log is corrupt" },
};

/* A log with a flag change that is before the position. */
static struct index_position start_log(struct buf *log)
{
	put_log_header(log, 5, 4, 1000);
	put_flags(log, 1, INDEX_FLAG_SEEN, 0);
	return (struct index_position){ INDEXID, 5, log->len };
}

static void test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(records); i++) {
		autobuf struct buf log = { 0 };
		struct index_position from = start_log(&log);
		struct index_changes changes;
		uint64_t before = log.len;
		bool whole = records[i].add != add_half_group && records[i].add != add_garbage;

		records[i].add(&log);
		changes = changes_of(&log, NULL, false, &from);
		see(&changes, records[i].class, records[i].reason);
		assert_int_equal(changes.appends, records[i].appends);
		assert_int_equal(changes.end.indexid, INDEXID);
		assert_int_equal(changes.end.file_seq, 5);
		assert_int_equal(changes.end.offset, whole ? log.len : before);
	}
}

/* Each of them in the rotated log, and each behind the rotation. */
static void test_rotation(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(records); i++) {
		autobuf struct buf log = { 0 }, log2 = { 0 };
		struct index_position from = start_log(&log2);
		struct index_changes changes;

		if (records[i].add == add_half_group || records[i].add == add_garbage)
			continue;
		put_log_header(&log, 6, 5, (uint32_t)log2.len);
		records[i].add(&log);
		changes = changes_of(&log, &log2, false, &from);
		see(&changes, records[i].class, records[i].reason);
		/* The new log begins where the position is, so the old one is not needed. */
		changes = changes_of(&log, NULL, false, &from);
		see(&changes, records[i].class, records[i].reason);

		buf_truncate(&log, 0);
		records[i].add(&log2);
		put_log_header(&log, 6, 5, (uint32_t)log2.len);
		changes = changes_of(&log, &log2, false, &from);
		see(&changes, records[i].class, records[i].reason);
		assert_int_equal(changes.appends, records[i].appends);
		assert_int_equal(changes.end.file_seq, 6);
		assert_int_equal(changes.end.offset, LOG_HEADER);
	}
}

/* ---- logs that tell too little ---- */

static void test_unknown(void **state)
{
	autobuf struct buf log = { 0 }, log2 = { 0 }, next = { 0 };
	struct index_position here = start_log(&log2), from;
	struct index_changes changes;

	(void)state;
	put_append(&log2, 1, 0);
	put_log_header(&log, 6, 5, (uint32_t)log2.len);
	put_log_header(&next, 7, 6, (uint32_t)log.len);

	changes = changes_of(NULL, NULL, false, &here);
	see(&changes, IMPORTANT, "there is no log");
	assert_int_equal(changes.end.indexid, 0);
	from = here;
	from.indexid++;
	changes = changes_of(&log2, NULL, false, &from);
	see(&changes, IMPORTANT, "it is another index than before");
	assert_int_equal(changes.end.offset, log2.len);
	changes = changes_of(&log, NULL, false, &here);
	see(&changes, IMPORTANT, "the log does not reach back to the last position");
	changes = changes_of(&next, &log, false, &here);
	see(&changes, IMPORTANT, "the log does not reach back to the last position");
	from = (struct index_position){ INDEXID, 9, LOG_HEADER };
	changes = changes_of(&next, &log, false, &from);
	see(&changes, IMPORTANT, "the log does not reach back to the last position");
	from = (struct index_position){ INDEXID, 5, log2.len + 4 };
	changes = changes_of(&log2, NULL, false, &from);
	see(&changes, IMPORTANT, "the log is shorter than it was");
	from = (struct index_position){ INDEXID, 5, 4 };
	changes = changes_of(&log2, NULL, false, &from);
	see(&changes, IMPORTANT, "the log is shorter than it was");
	/* In the middle of a record. */
	from = (struct index_position){ INDEXID, 5, here.offset + 4 };
	changes = changes_of(&log2, NULL, false, &from);
	see(&changes, IMPORTANT, "the log is corrupt");
	changes = changes_of(&log2, NULL, true, &from);
	see(&changes, IMPORTANT, "the log is not what it was");
	/* The rotated log lacks its end. */
	log2.len -= 4;
	changes = changes_of(&log, &log2, false, &here);
	see(&changes, IMPORTANT, "the rotated log is not whole");
	set_u32(&log, 4, 0);
	changes = changes_of(&log, &log2, false, &here);
	see(&changes, IMPORTANT, "the log cannot be read");
}

static void test_from_the_beginning(void **state)
{
	autobuf struct buf log = { 0 }, log2 = { 0 }, next = { 0 };
	struct index_changes changes;

	(void)state;
	put_log_header(&log2, 1, 0, 0);
	changes = changes_of(&log2, NULL, false, NULL);
	see(&changes, NONE, "");
	put_append(&log2, 1, 0);
	put_expunge(&log2, 1, 1);
	changes = changes_of(&log2, NULL, false, NULL);
	see(&changes, UNIMPORTANT, "what can be computed again");
	assert_int_equal(changes.appends, 1);
	put_log_header(&log, 2, 1, (uint32_t)log2.len);
	put_append(&log, 2, 0);
	changes = changes_of(&log, &log2, false, NULL);
	see(&changes, UNIMPORTANT, "what can be computed again");
	assert_int_equal(changes.appends, 2);
	changes = changes_of(&log, NULL, false, NULL);
	see(&changes, IMPORTANT, "the log does not reach back to the beginning");
	put_log_header(&next, 3, 0, 0);
	changes = changes_of(&next, NULL, false, NULL);
	see(&changes, IMPORTANT, "the log does not reach back to the beginning");
}

/* ---- the list index ---- */

static void add_list_rec(struct buf *log)
{
	put_intro(log, 0, NULL, 0, 8, 28);
	put_ext_rec(log, 1, "abcdefghijklmnopqrstuvwxyz12", 28);
}
static void add_list_hdr(struct buf *log)
{
	put_intro(log, 0, "list", 0, 8, 28);
	put_ext_hdr(log, 0, "ab", 2);
}
static void add_list_looked(struct buf *log)
{
	put_intro(log, 0, NULL, 0, 8, 28);
	put_ext_hdr(log, 0, "\0", 1);
}
static void add_list_look(struct buf *log)
{
	put_intro(log, 0, NULL, 0, 8, 28);
	put_ext_hdr(log, 0, "\1", 1);
}
static void add_list_name(struct buf *log)
{
	put_intro(log, 0, NULL, 0, 8, 28);
	put_ext_hdr(log, 1, "\0", 1);
}
static void add_msgs(struct buf *log)
{
	put_intro(log, 1, NULL, 0, 0, 16);
	put_ext_rec(log, 1, "abcdefghijklmnop", 16);
}
static void add_vsize(struct buf *log)
{
	put_intro(log, 0, "vsize", 0, 0, 16);
	put_ext_rec(log, 1, "abcdefghijklmnop", 16);
}
static void add_subs(struct buf *log)
{
	put_intro(log, 0, "subs", 0, 4, 0);
	put_ext_hdr(log, 0, "abcd", 4);
}
static void add_other(struct buf *log)
{
	put_intro(log, 0, "other", 0, 4, 0);
	put_ext_hdr(log, 0, "abcd", 4);
}
static void add_unknown(struct buf *log)
{
	put_intro(log, 2, NULL, 0, 4, 0);
	put_ext_hdr(log, 0, "abcd", 4);
}
static void add_no_intro(struct buf *log)
{
	add_msgs(log);
	put_intro(log, UINT32_MAX - 1, NULL, 0, 4, 0);
	NUMBERS(log, INDEX_RECORD_EXT_RESET, 2, 0);
}

static void test_list(void **state)
{
	static const struct {
		void (*add)(struct buf *log);
		enum index_class class;
		const char *reason;
	} rows[] = {
		{ add_nothing, NONE, "" },
		{ add_append, IMPORTANT, "a folder was added" },
		{ add_expunge, IMPORTANT, "a folder was removed" },
		{ add_flag, IMPORTANT, "flags were changed" },
		{ add_list_rec, IMPORTANT, "the list of folders was changed" },
		{ add_list_hdr, IMPORTANT, "the list of folders was changed" },
		{ add_list_looked, UNIMPORTANT, "what can be computed again" },
		{ add_list_look, IMPORTANT, "the list of folders was changed" },
		{ add_list_name, IMPORTANT, "the list of folders was changed" },
		{ add_msgs, UNIMPORTANT, "what can be computed again" },
		{ add_vsize, UNIMPORTANT, "what can be computed again" },
		{ add_subs, IMPORTANT, "subscriptions were changed" },
		{ add_other, IMPORTANT, "another extension was changed" },
		{ add_unknown, IMPORTANT, "an extension that is not known was changed" },
		{ add_no_intro, IMPORTANT, "an extension that is not known was changed" },
		{ add_recent, UNIMPORTANT, "what can be computed again" },
		{ add_modseq, UNIMPORTANT, "what can be computed again" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		autobuf struct buf log = { 0 }, log2 = { 0 };
		struct index_position from;
		struct index_changes changes;

		put_log_header(&log2, 1, 0, 0);
		put_intro(&log2, 0, "list", 0, 8, 28);
		put_intro(&log2, 0, "msgs", 0, 0, 16);
		from = (struct index_position){ INDEXID, 1, log2.len };
		rows[i].add(&log2);
		changes = changes_of(&log2, NULL, true, &from);
		see(&changes, rows[i].class, rows[i].reason);
		/* Rotated: the introductions are only in the old log. */
		put_log_header(&log, 2, 1, (uint32_t)log2.len);
		changes = changes_of(&log, &log2, true, &from);
		see(&changes, rows[i].class, rows[i].reason);
		from = (struct index_position){ INDEXID, 2, log.len };
		rows[i].add(&log);
		changes = changes_of(&log, &log2, true, &from);
		see(&changes, rows[i].class, rows[i].reason);
	}
}

/* ---- by name ---- */

static void test_by_name(void **state)
{
	struct scratch *scratch = *state;
	autobuf struct buf log = { 0 }, log2 = { 0 };
	struct index_position from = start_log(&log2), end;
	struct index_changes changes;
	struct err err;
	int fd;

	assert_int_equal(
		index_changes_since(scratch->fd, "dovecot.index.log", &from, &changes, &err), 0);
	see(&changes, IMPORTANT, "there is no log");
	put_link(scratch->fd, "dovecot.index.log", "/etc/passwd");
	assert_int_equal(
		index_changes_since(scratch->fd, "dovecot.index.log", &from, &changes, &err), 0);
	see(&changes, IMPORTANT, "there is no log");
	unlinkat(scratch->fd, "dovecot.index.log", 0);
	assert_int_equal(mkfifoat(scratch->fd, "dovecot.index.log", 0600), 0);
	assert_int_equal(
		index_changes_since(scratch->fd, "dovecot.index.log", &from, &changes, &err), 0);
	see(&changes, IMPORTANT, "there is no log");
	unlinkat(scratch->fd, "dovecot.index.log", 0);
	put_log_header(&log, 6, 5, (uint32_t)log2.len);
	put_append(&log, 7, 0);
	put_bytes(scratch->fd, "dovecot.index.log", log.data, log.len);
	put_bytes(scratch->fd, "dovecot.index.log.2", log2.data, log2.len);
	assert_int_equal(
		index_changes_since(scratch->fd, "dovecot.index.log", &from, &changes, &err), 0);
	see(&changes, UNIMPORTANT, "what can be computed again");
	put_bytes(scratch->fd, "dovecot.list.index.log", log.data, log.len);
	put_bytes(scratch->fd, "dovecot.list.index.log.2", log2.data, log2.len);
	assert_int_equal(
		index_changes_since(scratch->fd, "dovecot.list.index.log", &from, &changes, &err),
		0);
	see(&changes, IMPORTANT, "a folder was added");
	fd = openat(scratch->fd, "dovecot.index.log", O_RDONLY);
	assert_int_equal(index_changes_end(fd, log.len, &end, &err), 0);
	assert_int_equal(end.indexid, INDEXID);
	assert_int_equal(end.file_seq, 6);
	assert_int_equal(end.offset, log.len);
	assert_int_equal(index_changes_end(fd, log.len - 1, &end, &err), 0);
	assert_int_equal(end.offset, LOG_HEADER);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records), cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_unknown), cmocka_unit_test(test_from_the_beginning),
		cmocka_unit_test(test_list),    scratch_test(test_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
