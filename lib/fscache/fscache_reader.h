/* The records of an open fscache.log from an offset on, in little memory. It takes
 * no lock and needs none: only whole lines count, and what was appended does not
 * change. One reader, one thread. */
#pragma once

#include "base/err.h"
#include "fscache/fscache_record.h"

struct fscache_reader {
	int fd;           /* borrowed */
	uint64_t end;     /* nothing behind this is read */
	uint64_t start;   /* of the line that was returned last */
	uint64_t offset;  /* behind the last whole line, damaged or not */
	uint64_t damaged; /* lines passed over that are no records */
	bool overlong;    /* within a line that does not fit */
	uint64_t at;      /* in the file, of block[next] */
	size_t used, next;
	char block[65536 + 1];
};

/* `offset` is the beginning of a line. */
void fscache_reader_init(struct fscache_reader *reader, int fd, uint64_t offset, uint64_t end);

/* 1: the next record; its name is valid until the next call. 0: no more whole lines.
 * -1: reading failed (ERR_IO). A file that ends before `end` just ends. */
int fscache_reader_next(struct fscache_reader *reader, struct fscache_record *record_r,
			struct err *err);
