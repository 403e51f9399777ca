/* The queue of a log, read into a table on several threads. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "fscache/fscache_table.h"

/* Add each + and ~ line of the open log from the line at `from` up to `to`. Lines that are
 * none, or whose name is none, are counted. 0, or -1 when reading failed. */
int fscache_queue_read(int fd, uint64_t from, uint64_t to, struct fscache_table *table,
		       uint64_t *damaged_r, struct err *err);
