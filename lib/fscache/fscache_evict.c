#include "fscache/fscache_evict.h"

#include "fscache/fscache_folder.h"
#include "fscache/fscache_reader.h"

/* So many in a row that can't be removed, and this time no room is made: the log is locked
 * meanwhile. They are queued again, so the next who wants room begins behind them. */
#define STUCK_MAX 8

/* Consume one entry. First the file, then the line: killed between, the log says more
 * than there is. `stuck` counts those in a row. */
static int consume(struct fscache_log *log, const struct fscache_record *entry, uint64_t cursor,
		   bool force, unsigned *stuck, uint64_t *evictions_r, struct err *err)
{
	struct fscache_record record = *entry;
	enum fscache_folder_gone gone = FSCACHE_FOLDER_GONE;
	struct fscache_name name;

	if (fscache_name_of_file(entry->name, &name, NULL))
		gone = fscache_folder_evict(log->dirfd, &name, entry->inode, force);
	*evictions_r += gone == FSCACHE_FOLDER_REMOVED;
	*stuck = gone == FSCACHE_FOLDER_STUCK ? *stuck + 1 : 0;
	record.kind = gone == FSCACHE_FOLDER_SPARED || gone == FSCACHE_FOLDER_STUCK
			      ? FSCACHE_SPARED
			      : FSCACHE_REMOVED;
	record.when_s = 0;
	record.cursor = cursor;
	return fscache_log_append(log, &record, err);
}

static int no_room(struct err *err)
{
	return err_set(err, ERR_CANTCREATE, "no room can be made in the cache");
}

/* The entries that are there now, each at most once. */
static int go_round(struct fscache_log *log, uint64_t keep_bytes, bool force, uint64_t *evictions_r,
		    struct err *err)
{
	struct fscache_reader reader;
	struct fscache_record record;
	unsigned stuck = 0;
	int ret = 0;

	fscache_reader_init(&reader, log->fd, log->totals.cursor, log->offset);
	while (log->totals.bytes > keep_bytes &&
	       (ret = fscache_reader_next(&reader, &record, err)) > 0) {
		if ((record.kind == FSCACHE_ADDED || record.kind == FSCACHE_SPARED) &&
		    consume(log, &record, reader.offset, force, &stuck, evictions_r, err) < 0)
			return -1;
		if (stuck == STUCK_MAX)
			return no_room(err);
	}
	return ret < 0 ? -1 : 0;
}

int fscache_evict(struct fscache_log *log, uint64_t keep_bytes, uint64_t *evictions_r,
		  struct err *err)
{
	if (go_round(log, keep_bytes, false, evictions_r, err) < 0 ||
	    go_round(log, keep_bytes, true, evictions_r, err) < 0)
		return -1;
	return log->totals.bytes > keep_bytes ? no_room(err) : 0;
}
