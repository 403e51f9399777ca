/* What has changed since a position in a transaction log, and whether it would be
 * lost with the local copy.
 *
 * In a folder's log (dovecot.index.log):
 *   important    a flag update of a flag that clients see; a keyword added, removed
 *                or reset, but for $HasAttachment and $HasNoAttachment; an expunge of a
 *                mail that was there at the position; a mail appended with flags; a mailbox
 *                attribute; UIDVALIDITY; the index marked as deleted or not
 *   unimportant  all else: mails appended without flags and their expunge, extension
 *                records and headers (cache offsets, sizes, sdbox and mdbox), modseqs, other
 *                header fields such as first_recent_uid, Dovecot's internal flag bits
 * In the list index's log (dovecot.list.index.log):
 *   important    folders appended, expunged or with other flags; the extensions "list"
 *                (names, parents, GUIDs; the mark to look at the folders again, but not its
 *                removal) and "subs", and any that is not known
 *   unimportant  what STATUS has cached there ("msgs", "hmodseq", "vsize", "1saved",
 *                and what storage drivers note), modseqs, header fields but UIDVALIDITY
 *
 * Unknown means important: a log that no longer reaches back, is of another index,
 * or cannot be parsed is no error here. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "index/index_files.h"

/* Only a record's beginning or the end of the log is a position. */
struct index_position {
	uint32_t indexid, file_seq;
	uint64_t offset;
};

enum index_class {
	INDEX_CHANGES_NONE,
	INDEX_CHANGES_UNIMPORTANT,
	INDEX_CHANGES_IMPORTANT,
};

struct index_changes {
	enum index_class class;
	uint64_t appends;          /* mails appended since; folders in the list index */
	struct index_position end; /* up to where the log is complete; all 0 where its
				      header cannot be read */
	const char *reason;        /* of the highest class, static text; "" for none */
};

/* From `from` to the end of the log; NULL is from the beginning of the index, which
 * a log that was rotated more than once does not reach. Of a folder's
 * files, the index itself is not asked for. -1 only with ERR_IO. */
int index_changes_in(const struct index_files *files, const struct index_position *from,
		     struct index_changes *changes_r, struct err *err);

/* The same for the files in a directory as they are now: index_files_open(). No log
 * at all is important. -1 with ERR_IO, ERR_NOPERM. */
int index_changes_since(int dirfd, const char *log_name, const struct index_position *from,
			struct index_changes *changes_r, struct err *err);

/* Where an open log ends. -1 with ERR_DATA where it is corrupt, ERR_IO. */
int index_changes_end(int log_fd, uint64_t size_bytes, struct index_position *end_r,
		      struct err *err);

/* "none", "unimportant", "important". */
const char *index_changes_name(enum index_class class);
