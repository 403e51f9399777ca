#include "fscache/fscache_rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "fscache/fscache_rate.h"
#include "fscache/fscache_reader.h"

#define FLUSH_BYTES 65536
#define NS_PER_S 1000000000

static int flush(struct fscache_rewrite *rewrite, struct err *err)
{
	size_t done = 0;

	while (done < rewrite->out.len) {
		ssize_t n = write(rewrite->fd, rewrite->out.data + done, rewrite->out.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write %s", FSCACHE_LOG_NEW);
		done += (size_t)n;
	}
	rewrite->size += done;
	buf_truncate(&rewrite->out, 0);
	return 0;
}

/* Who may use the old log may use the new one, whoever writes it. What is not allowed
 * does no harm to those who are. */
static int take_after(int fd, int old_fd, struct err *err)
{
	struct stat st;

	if (fstat(old_fd, &st) < 0)
		return err_sys(err, errno, "look at %s", FSCACHE_LOG_FILE);
	if (fchown(fd, st.st_uid, st.st_gid) < 0 && errno != EPERM)
		return err_sys(err, errno, "set the owner of %s", FSCACHE_LOG_NEW);
	if (fchmod(fd, st.st_mode & 0777) < 0)
		return err_sys(err, errno, "set the mode of %s", FSCACHE_LOG_NEW);
	return 0;
}

int fscache_rewrite_begin(struct fscache_rewrite *rewrite, struct fscache_log *log, struct err *err)
{
	*rewrite = (struct fscache_rewrite){ .log = log, .totals = log->totals };
	rewrite->totals.bytes = rewrite->totals.files = 0;
	rewrite->totals.cursor = FSCACHE_LOG_START;
	unlinkat(log->dirfd, FSCACHE_LOG_NEW, 0);
	rewrite->fd = openat(log->dirfd, FSCACHE_LOG_NEW,
			     O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (rewrite->fd < 0)
		return err_sys(err, errno, "make %s", FSCACHE_LOG_NEW);
	if (take_after(rewrite->fd, log->fd, err) < 0)
		return -1;
	buf_puts(&rewrite->out, FSCACHE_LOG_HEADER);
	return 0;
}

int fscache_rewrite_add(struct fscache_rewrite *rewrite, const struct fscache_record *entry,
			struct err *err)
{
	struct fscache_record record = *entry;

	record.kind = FSCACHE_ADDED;
	fscache_record_format(&rewrite->out, &record);
	rewrite->totals.bytes += entry->bytes;
	rewrite->totals.files++;
	return rewrite->out.len < FLUSH_BYTES ? 0 : flush(rewrite, err);
}

static struct fscache_record checkpoint_of(const struct fscache_rewrite *rewrite, int64_t when_s,
					   const char *why)
{
	return (struct fscache_record){
		.kind = FSCACHE_CHECKPOINT,
		.when_s = when_s,
		.offset = rewrite->size + rewrite->out.len,
		.totals = rewrite->totals,
		.name = why,
	};
}

/* The lines that tell how fast the cache evicts are left behind. In their place checkpoints
 * of then, right but for what was counted since: should the last one get damaged, they are
 * as good as it. */
static int keep_rate(struct fscache_rewrite *rewrite, int64_t now_s, struct err *err)
{
	struct fscache_rate rate;

	if (fscache_rate_read(rewrite->log, now_s, &rate, err) < 0)
		return -1;
	for (size_t i = 0; i < rate.count; i++) {
		struct fscache_record record =
			checkpoint_of(rewrite, rate.points[i].when_s, "rate");

		record.totals.evictions = rate.points[i].evictions;
		fscache_record_format(&rewrite->out, &record);
	}
	return 0;
}

int fscache_rewrite_commit(struct fscache_rewrite *rewrite, const char *why, struct err *err)
{
	struct fscache_log *log = rewrite->log;
	int64_t now_s = clock_now_ns() / NS_PER_S;
	struct fscache_record checkpoint;
	struct stat st;

	if (keep_rate(rewrite, now_s, err) < 0)
		return -1;
	checkpoint = checkpoint_of(rewrite, now_s, why);
	fscache_record_format(&rewrite->out, &checkpoint);
	if (flush(rewrite, err) < 0)
		return -1;
	/* Locked before anybody can find it. */
	if (fstat(rewrite->fd, &st) < 0 || lock_range(rewrite->fd, LOCK_RANGE_WRITE, 0, 1, 0) != 1)
		return err_sys(err, errno, "lock %s", FSCACHE_LOG_NEW);
	if (renameat(log->dirfd, FSCACHE_LOG_NEW, log->dirfd, FSCACHE_LOG_FILE) < 0)
		return err_sys(err, errno, "replace %s", FSCACHE_LOG_FILE);
	close(log->fd);
	log->fd = steal_fd(&rewrite->fd);
	log->inode = st.st_ino;
	log->offset = rewrite->size;
	log->checkpoint = checkpoint.offset;
	log->totals = rewrite->totals;
	fscache_log_mark(log);
	return 0;
}

void fscache_rewrite_end(struct fscache_rewrite *rewrite)
{
	if (rewrite->fd >= 0) {
		unlinkat(rewrite->log->dirfd, FSCACHE_LOG_NEW, 0);
		close(rewrite->fd);
	}
	rewrite->fd = -1;
	buf_free(&rewrite->out);
}

int fscache_rewrite_compact(struct fscache_log *log, struct err *err)
{
	autorewrite struct fscache_rewrite rewrite;
	struct fscache_reader reader;
	struct fscache_record record;
	int ret;

	if (fscache_rewrite_begin(&rewrite, log, err) < 0)
		return -1;
	fscache_reader_init(&reader, log->fd, log->totals.cursor, log->offset);
	while ((ret = fscache_reader_next(&reader, &record, err)) > 0) {
		if ((record.kind == FSCACHE_ADDED || record.kind == FSCACHE_SPARED) &&
		    fscache_rewrite_add(&rewrite, &record, err) < 0)
			return -1;
	}
	return ret < 0 ? -1 : fscache_rewrite_commit(&rewrite, "compacted", err);
}
