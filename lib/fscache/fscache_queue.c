#include "fscache/fscache_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/workers.h"
#include "fscache/fscache_name.h"
#include "fscache/fscache_reader.h"

/* One piece is a few ten thousand lines. */
#define PIECE_BYTES (4 << 20)
#define THREADS 4
#define BLOCK 4096

struct queue {
	int fd;
	uint64_t from, to;
	struct fscache_table *table;
	atomic_uint_fast64_t next, damaged;
	atomic_bool failed;
};

struct reading {
	struct queue *queue;
	struct fscache_reader reader;
	struct err err;
};

/* The first beginning of a line from `at` on and before `to`; `to` where there is none. */
static int line_start(const struct queue *queue, uint64_t at, uint64_t to, uint64_t *start_r,
		      struct err *err)
{
	char text[BLOCK];

	*start_r = at;
	while (*start_r > queue->from && *start_r < to) {
		ssize_t n = pread(queue->fd, text, sizeof text, (off_t)(*start_r - 1));
		const char *newline = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;

		if (n < 0)
			return err_sys(err, errno, "read fscache.log");
		if (newline) {
			*start_r += (uint64_t)(newline - text);
			break;
		}
		*start_r = n == 0 ? to : *start_r + (uint64_t)n;
	}
	if (*start_r > to)
		*start_r = to;
	return 0;
}

/* The lines that begin in the piece. No record ends further behind it than the longest is
 * long: damage without a newline is read once, by those whose pieces it covers. */
static int read_piece(struct reading *reading, uint64_t from, uint64_t to)
{
	struct queue *queue = reading->queue;
	struct fscache_reader *reader = &reading->reader;
	struct fscache_record record;
	uint64_t end;
	int ret;

	if (to > queue->to)
		to = queue->to;
	end = queue->to - to > FSCACHE_RECORD_MAX ? to + FSCACHE_RECORD_MAX : queue->to;
	if (line_start(queue, from, to, &from, &reading->err) < 0 ||
	    line_start(queue, to, end, &end, &reading->err) < 0)
		return -1;
	if (from == to)
		return 0;
	fscache_reader_init(reader, queue->fd, from, end);
	while ((ret = fscache_reader_next(reader, &record, &reading->err)) > 0) {
		size_t len;
		int folder;

		if (record.kind != FSCACHE_ADDED && record.kind != FSCACHE_SPARED)
			continue;
		len = strlen(record.name);
		folder = fscache_name_folder_of_file(record.name, len);
		if (folder < 0)
			reader->damaged++;
		else
			fscache_table_add(queue->table,
					  fscache_table_print(queue->table, (unsigned)folder,
							      record.name, len, record.inode),
					  record.bytes);
	}
	/* Its last line is longer than a record. */
	reader->damaged += ret == 0 && reader->offset < to;
	atomic_fetch_add(&queue->damaged, reader->damaged);
	return ret;
}

static void read_pieces(void *arg)
{
	struct reading *reading = arg;
	struct queue *queue = reading->queue;
	uint64_t at;

	while ((at = atomic_fetch_add(&queue->next, PIECE_BYTES)) < queue->to &&
	       !atomic_load(&queue->failed)) {
		if (read_piece(reading, at, at + PIECE_BYTES) < 0)
			atomic_store(&queue->failed, true);
	}
}

static void read_on_threads(struct queue *queue, unsigned threads, struct reading *readings)
{
	autoworkers struct workers *workers = workers_new(threads, threads);
	autogroup struct workers_group *group = workers_group_new(workers);

	for (unsigned i = 0; i < threads; i++) {
		readings[i].queue = queue;
		workers_submit(group, read_pieces, &readings[i]);
	}
}

int fscache_queue_read(int fd, uint64_t from, uint64_t to, struct fscache_table *table,
		       uint64_t *damaged_r, struct err *err)
{
	struct queue queue = { fd, from, to, table, .next = from };
	uint64_t pieces = to > from ? (to - from) / PIECE_BYTES + 1 : 1;
	unsigned threads = pieces < THREADS ? (unsigned)pieces : THREADS;
	autofree struct reading *readings = xcalloc(threads, sizeof *readings);

	/* A cold disk streams it while the first lines are parsed. */
	(void)posix_fadvise(fd, (off_t)from, (off_t)(to - from), POSIX_FADV_WILLNEED);
	if (threads == 1) {
		readings[0].queue = &queue;
		read_pieces(&readings[0]);
	} else {
		read_on_threads(&queue, threads, readings);
	}
	*damaged_r = queue.damaged;
	for (unsigned i = 0; i < threads; i++) {
		if (readings[i].err.code != ERR_NONE) {
			if (err)
				*err = readings[i].err;
			return -1;
		}
	}
	return 0;
}
