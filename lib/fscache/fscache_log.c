#include "fscache/fscache_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "fscache/fscache_reader.h"
#include "fscache/fscache_rewrite.h"

#define LOCK_AT 0 /* the byte of who appends */
#define HOLD_AT 1 /* the byte of who wants no compaction */
#define REPLACED_MAX 100
#define NS_PER_S 1000000000

void fscache_log_init(struct fscache_log *log, int dirfd)
{
	*log = (struct fscache_log){ .dirfd = dirfd, .fd = -1 };
}

static void forget(struct fscache_log *log)
{
	log->offset = log->checkpoint = 0;
	log->totals = (struct fscache_totals){ 0 };
}

void fscache_log_close(struct fscache_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
	forget(log);
}

/* 1, 0 there is none, -1. */
static int open_file(struct fscache_log *log, int flags, uint64_t *size_r, struct err *err)
{
	struct stat st;

	fscache_log_close(log);
	log->fd = openat(log->dirfd, FSCACHE_LOG_FILE, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			 0600);
	if (log->fd < 0 && errno == ENOENT)
		return 0;
	if (log->fd < 0 || fstat(log->fd, &st) < 0)
		return err_sys(err, errno, "open %s", FSCACHE_LOG_FILE);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_DATA, "%s is not a file", FSCACHE_LOG_FILE);
	log->inode = st.st_ino;
	log->writable = flags & O_RDWR;
	*size_r = (uint64_t)st.st_size;
	return 1;
}

/* Whether the open file is the one in the directory, and its size. 1, 0, -1. The times are not
 * asked for: a file whose times somebody has seen takes a write longer (multigrain timestamps). */
static int is_current(const struct fscache_log *log, uint64_t *size_r, struct err *err)
{
	struct statx st;

	if (statx(log->dirfd, FSCACHE_LOG_FILE, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_SIZE, &st) <
	    0) {
		if (errno == ENOENT)
			return 0;
		return err_sys(err, errno, "look at %s", FSCACHE_LOG_FILE);
	}
	*size_r = st.stx_size;
	return st.stx_ino == log->inode;
}

/* 1: a log of ours; 0: the beginning of its first line, or nothing; -1. */
static int check_header(const struct fscache_log *log, struct err *err)
{
	char text[FSCACHE_LOG_START];
	ssize_t n = pread(log->fd, text, sizeof text, 0);

	if (n < 0)
		return err_sys(err, errno, "read %s", FSCACHE_LOG_FILE);
	if (memcmp(text, FSCACHE_LOG_HEADER, (size_t)n) == 0)
		return (size_t)n == sizeof text;
	err_set(err, ERR_DATA, "%s is not of version 1", FSCACHE_LOG_FILE);
	return err_hint(err, "remove it, then run fscache-rescan");
}

/* Take the totals of a checkpoint that can be where it is. */
static bool take_checkpoint(struct fscache_log *log, const struct fscache_record *record,
			    uint64_t start)
{
	if (record->kind != FSCACHE_CHECKPOINT || record->offset > start ||
	    record->offset < FSCACHE_LOG_START || record->totals.cursor > record->offset ||
	    record->totals.cursor < FSCACHE_LOG_START)
		return false;
	log->totals = record->totals;
	log->offset = record->offset;
	log->checkpoint = start;
	return true;
}

/* The last checkpoint, block by block from the end. Without one all counts. */
static int find_checkpoint(struct fscache_log *log, uint64_t size, struct err *err)
{
	struct fscache_reader reader;
	struct fscache_record record;
	uint64_t from, before = size;
	bool found = false;

	log->offset = log->checkpoint = log->totals.cursor = FSCACHE_LOG_START;
	for (; !found && before > FSCACHE_LOG_START; before = from) {
		int ret;

		/* From the byte before, since what is read first may be the rest of a line. */
		from = before - FSCACHE_LOG_START > FSCACHE_LOG_CHECKPOINT_BYTES
			       ? before - FSCACHE_LOG_CHECKPOINT_BYTES
			       : FSCACHE_LOG_START;
		/* And to the end of the last line: damage may have none far and wide. */
		fscache_reader_init(&reader, log->fd, from - 1,
				    size - before > FSCACHE_RECORD_MAX ? before + FSCACHE_RECORD_MAX
								       : size);
		while ((ret = fscache_reader_next(&reader, &record, err)) > 0 &&
		       reader.start < before) {
			if (reader.start >= from)
				found |= take_checkpoint(log, &record, reader.start);
		}
		if (ret < 0)
			return -1;
	}
	return 0;
}

/* The last bytes that were read, to be found there the next time: a log that was cut
 * short and has grown since is another one. */
static size_t read_tail(const struct fscache_log *log, char tail[FSCACHE_LOG_TAIL])
{
	size_t len = log->offset < FSCACHE_LOG_TAIL ? (size_t)log->offset : FSCACHE_LOG_TAIL;

	return pread(log->fd, tail, len, (off_t)(log->offset - len)) == (ssize_t)len ? len : 0;
}

void fscache_log_mark(struct fscache_log *log)
{
	read_tail(log, log->tail);
}

/* Whether the log of that size begins with what was read. */
static bool is_same(const struct fscache_log *log, uint64_t size)
{
	char tail[FSCACHE_LOG_TAIL];
	size_t len;

	if (log->offset == 0 || size < log->offset)
		return false;
	len = read_tail(log, tail);
	return len > 0 && memcmp(tail, log->tail, len) == 0;
}

/* Add what stands between what was read, where that is the same, and `size`. */
static int read_on(struct fscache_log *log, bool same, uint64_t size, struct err *err)
{
	struct fscache_reader reader;
	struct fscache_record record;
	int ret;

	if (!same) {
		log->totals = (struct fscache_totals){ 0 };
		if (find_checkpoint(log, size, err) < 0)
			return -1;
	} else if (size == log->offset) {
		return 0;
	}
	fscache_reader_init(&reader, log->fd, log->offset, size);
	while ((ret = fscache_reader_next(&reader, &record, err)) > 0) {
		if (!fscache_record_apply(&log->totals, &record, reader.start))
			log->damaged++;
		if (record.kind == FSCACHE_CHECKPOINT)
			log->checkpoint = reader.start;
	}
	log->offset = reader.offset;
	log->damaged += reader.damaged;
	fscache_log_mark(log);
	return ret;
}

int fscache_log_read(struct fscache_log *log, struct err *err)
{
	uint64_t size = 0;
	int ret = log->fd >= 0 ? is_current(log, &size, err) : 0;
	bool same;

	if (ret == 0)
		ret = open_file(log, O_RDONLY, &size, err);
	if (ret <= 0)
		return ret;
	same = is_same(log, size);
	if (!same)
		ret = check_header(log, err);
	if (ret <= 0) {
		forget(log);
		return ret;
	}
	return read_on(log, same, size, err) < 0 ? -1 : 1;
}

static int write_header(struct fscache_log *log, struct err *err)
{
	ssize_t n;

	if (ftruncate(log->fd, 0) < 0)
		return err_sys(err, errno, "cut %s", FSCACHE_LOG_FILE);
	n = write(log->fd, FSCACHE_LOG_HEADER, FSCACHE_LOG_START);
	if (n != FSCACHE_LOG_START)
		return err_sys(err, n < 0 ? errno : ENOSPC, "write %s", FSCACHE_LOG_FILE);
	return 0;
}

/* The locked file is the current one: read it, whole lines only. */
static int bring_up(struct fscache_log *log, uint64_t size, struct err *err)
{
	bool same = is_same(log, size);

	if (!same) {
		int ret = check_header(log, err);

		if (ret == 0) {
			forget(log);
			size = FSCACHE_LOG_START;
			ret = write_header(log, err);
		}
		if (ret < 0)
			return -1;
	}
	if (read_on(log, same, size, err) < 0)
		return -1;
	if (log->offset < size && ftruncate(log->fd, (off_t)log->offset) < 0)
		return err_sys(err, errno, "cut the torn line off %s", FSCACHE_LOG_FILE);
	return 0;
}

/* Lock the file that is open, if it is the current one. 1; 0 it is not, or not
 * within the time; -1. */
static int lock_current(struct fscache_log *log, int64_t timeout_ms, uint64_t *size_r, bool *busy_r,
			struct err *err)
{
	int ret = lock_range(log->fd, LOCK_RANGE_WRITE, LOCK_AT, 1, timeout_ms);

	*busy_r = ret == 0;
	if (ret < 0)
		return err_sys(err, errno, "lock %s", FSCACHE_LOG_FILE);
	return ret == 0 ? 0 : is_current(log, size_r, err);
}

int fscache_log_lock(struct fscache_log *log, int64_t timeout_ms, struct err *err)
{
	int64_t until = clock_mono_ms() + timeout_ms;
	uint64_t size = 0;
	bool busy;

	for (int tries = 0; tries < REPLACED_MAX; tries++) {
		int64_t left = tries == 0 ? timeout_ms : until - clock_mono_ms();
		int ret;

		if ((log->fd < 0 || !log->writable) &&
		    open_file(log, O_RDWR | O_APPEND | O_CREAT, &size, err) <= 0)
			return -1;
		ret = lock_current(log, left > 0 ? left : 0, &size, &busy, err);
		if (busy)
			return 0;
		if (ret > 0)
			ret = bring_up(log, size, err) < 0 ? -1 : 1;
		if (ret > 0)
			return 1;
		fscache_log_close(log);
		if (ret < 0)
			return -1;
	}
	return err_set(err, ERR_TEMP, "%s is replaced all the time", FSCACHE_LOG_FILE);
}

void fscache_log_unlock(struct fscache_log *log)
{
	if (log->fd >= 0)
		lock_unrange(log->fd, LOCK_AT, 1);
}

int fscache_log_append(struct fscache_log *log, const struct fscache_record *record,
		       struct err *err)
{
	autobuf struct buf line = { 0 };
	struct fscache_record filled = *record;
	ssize_t n;

	if (filled.when_s == 0)
		filled.when_s = clock_now_ns() / NS_PER_S;
	fscache_record_format(&line, &filled);
	do
		n = write(log->fd, line.data, line.len);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)line.len) {
		err_sys(err, n < 0 ? errno : ENOSPC, "append to %s", FSCACHE_LOG_FILE);
		/* Should this fail too, the next who locks does it. */
		if (n > 0 && ftruncate(log->fd, (off_t)log->offset) < 0)
			err_prefix(err, "a torn line is left");
		return -1;
	}
	fscache_record_apply(&log->totals, &filled, log->offset);
	if (filled.kind == FSCACHE_CHECKPOINT)
		log->checkpoint = log->offset;
	log->offset += line.len;
	if (line.len >= FSCACHE_LOG_TAIL)
		memcpy(log->tail, line.data + line.len - FSCACHE_LOG_TAIL, FSCACHE_LOG_TAIL);
	else
		fscache_log_mark(log);
	return 0;
}

void fscache_log_take_back(struct fscache_log *log, const struct fscache_log *before)
{
	if (ftruncate(log->fd, (off_t)before->offset) == 0)
		*log = *before;
}

int fscache_log_checkpoint(struct fscache_log *log, const char *why, struct err *err)
{
	struct fscache_record record = {
		.kind = FSCACHE_CHECKPOINT,
		.offset = log->offset,
		.totals = log->totals,
		.name = why,
	};

	return fscache_log_append(log, &record, err);
}

void fscache_log_tidy(struct fscache_log *log)
{
	if (log->offset - log->checkpoint < FSCACHE_LOG_CHECKPOINT_BYTES)
		return;
	if (log->offset >= FSCACHE_LOG_COMPACT_BYTES && log->totals.cursor > log->offset / 2 &&
	    fscache_log_hold(log, NULL) > 0) {
		int ret = fscache_rewrite_compact(log, NULL);

		lock_unrange(log->fd, HOLD_AT, 1);
		if (ret == 0)
			return;
	}
	fscache_log_checkpoint(log, "size", NULL);
}

int fscache_log_hold(struct fscache_log *log, struct err *err)
{
	int ret = lock_range(log->fd, LOCK_RANGE_WRITE, HOLD_AT, 1, 0);

	return ret < 0 ? err_sys(err, errno, "lock %s", FSCACHE_LOG_FILE) : ret;
}
