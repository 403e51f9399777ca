/* The files of one index: dovecot.index with its log and the log before it, or the
 * same of dovecot.list.index, and how the three belong together. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "index/index_log.h"

/* Open for reading, and how much of each counts. A handle that is not there is -1. */
struct index_files {
	bool is_list;         /* of dovecot.list.index */
	int index, log, log2; /* dovecot.index, .log, .log.2 */
	uint64_t index_bytes, log_bytes, log2_bytes;
};

/* Open what is there in a directory, by the log's name: it is the list index's if it
 * begins with "dovecot.list.". What is no regular file counts as not there. A
 * rotation meanwhile is waited out. 0, or -1 with ERR_IO, ERR_NOPERM; to be closed
 * in any case. */
int index_files_open(int dirfd, const char *log_name, struct index_files *files_r, struct err *err);
void index_files_close(struct index_files *files);
#define autoindexfiles CLEANUP(index_files_close)

/* The logs with their headers. */
struct index_files_log {
	int fd;
	uint64_t size_bytes;
	struct index_log_header header;
};
struct index_files_logs {
	struct index_files_log log, log2;
	bool has_log2; /* .log.2 is there and .log goes on where it ended */
};

/* 1; 0 there is no log that can be read, and err says why (ERR_NOTFOUND, ERR_DATA);
 * -1 ERR_IO. */
int index_files_logs(const struct index_files *files, struct index_files_logs *logs_r,
		     struct err *err);

/* Where reading from a position begins: in .log.2 or .log, or it is in neither. */
enum index_files_start { INDEX_FILES_LOST, INDEX_FILES_LOG, INDEX_FILES_LOG2 };
enum index_files_start index_files_find(const struct index_files_logs *logs, uint32_t file_seq,
					uint64_t offset, uint64_t *offset_r);

/* The same from where an index began: the log that has none before it. */
enum index_files_start index_files_find_first(const struct index_files_logs *logs,
					      uint64_t *offset_r);

/* Whether a dovecot.index whose header said indexid, log_file_seq and
 * log_file_head_offset gives today's state together with the logs: they reach back to
 * it, are whole, and the index was not repaired without them since; if files->index is given,
 * it stands in them too. False when unsure. */
bool index_files_reach(const struct index_files *files, uint32_t indexid, uint32_t log_file_seq,
		       uint64_t log_file_head_offset);
