#include "fscache/fscache_reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Often one line is wanted: the first read is small. */
#define FIRST 4096
#define BLOCK (sizeof((struct fscache_reader *)0)->block - 1)

void fscache_reader_init(struct fscache_reader *reader, int fd, uint64_t offset, uint64_t end)
{
	reader->fd = fd;
	reader->end = end > offset ? end : offset;
	reader->start = reader->offset = reader->at = offset;
	reader->damaged = 0;
	reader->overlong = false;
	reader->used = reader->next = 0;
}

/* More bytes behind those that are left of the block. 1, 0 at the end, -1. */
static int fill(struct fscache_reader *reader, struct err *err)
{
	size_t left = reader->used - reader->next;
	uint64_t at = reader->at + left;
	size_t want = (reader->used == 0 ? FIRST : BLOCK) - left;
	ssize_t n;

	memmove(reader->block, reader->block + reader->next, left);
	reader->used = left;
	reader->next = 0;
	if (want > reader->end - at)
		want = (size_t)(reader->end - at);
	do
		n = pread(reader->fd, reader->block + left, want, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, errno, "read fscache.log");
	reader->used += (size_t)n;
	return n > 0;
}

/* What stands in the block is the beginning or the middle of a line that no
 * record can have. */
static void drop_block(struct fscache_reader *reader)
{
	reader->at += reader->used - reader->next;
	reader->used = reader->next = 0;
	reader->overlong = true;
}

int fscache_reader_next(struct fscache_reader *reader, struct fscache_record *record_r,
			struct err *err)
{
	for (;;) {
		char *line = reader->block + reader->next;
		char *newline = memchr(line, '\n', reader->used - reader->next);
		size_t len;
		bool overlong = reader->overlong;

		if (!newline) {
			int ret;

			if (reader->used - reader->next == BLOCK)
				drop_block(reader);
			ret = fill(reader, err);
			if (ret <= 0)
				return ret;
			continue;
		}
		len = (size_t)(newline - line);
		reader->start = reader->offset;
		reader->offset = reader->at += len + 1;
		reader->next += len + 1;
		reader->overlong = false;
		*newline = '\0';
		if (!overlong && fscache_record_parse(line, len, record_r))
			return 1;
		reader->damaged++;
	}
}
