/* The five things that can be printed of an index. Each returns the exit code; what
 * failed was said, and rows before it stand. */
#pragma once

#include "index/index_changes.h"
#include "tool/tool.h"

/* The records of one log, or the fields of a cache, and what its header says as the
 * summary. */
typedef int rows_file_fn(struct tool *tool, const char *path, int fd, uint64_t size_bytes);
rows_file_fn rows_log, rows_cache;

/* Mails, folders, or which changes there are since a position (NULL: all). */
int rows_map(struct tool *tool, const char *path, const struct index_files *files);
int rows_list(struct tool *tool, const char *path, const struct index_files *files);
int rows_changes(struct tool *tool, const char *path, const struct index_files *files,
		 const struct index_position *from);
