/* Any bytes as fscache.log: what is refused is not touched; else all who read it agree, also after
 * lines were appended, and a compaction holds what was queued. */
#include <unistd.h>

#include "fscache/fscache_log.h"
#include "fscache/fscache_reader.h"
#include "fscache/fscache_rewrite.h"
#include "fuzz.h"

static void put_log(int dirfd, const unsigned char *data, size_t len)
{
	int fd = openat(dirfd, FSCACHE_LOG_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	need(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static void need_read_as(int dirfd, const struct fscache_log *log)
{
	autofscachelog struct fscache_log other;

	fscache_log_init(&other, dirfd);
	need(fscache_log_read(&other, NULL) == 1);
	need(other.offset == log->offset && other.checkpoint == log->checkpoint);
	need(memcmp(&other.totals, &log->totals, sizeof log->totals) == 0);
}

static void count_queue(const struct fscache_log *log, uint64_t *files_r, uint64_t *bytes_r)
{
	struct fscache_reader reader;
	struct fscache_record record;

	*files_r = *bytes_r = 0;
	fscache_reader_init(&reader, log->fd, log->totals.cursor, log->offset);
	while (fscache_reader_next(&reader, &record, NULL) > 0) {
		if (record.kind != FSCACHE_ADDED && record.kind != FSCACHE_SPARED)
			continue;
		(*files_r)++;
		*bytes_r += record.bytes;
	}
}

static void use(int dirfd, struct fscache_log *log)
{
	struct fscache_record added = { .kind = FSCACHE_ADDED, .bytes = 1, .name = "name" };
	uint64_t files, bytes, queued_files, queued_bytes;

	need(log->totals.cursor >= FSCACHE_LOG_START && log->totals.cursor <= log->offset);
	need_read_as(dirfd, log);
	need(fscache_log_append(log, &added, NULL) == 0);
	need(fscache_log_checkpoint(log, "size", NULL) == 0);
	need_read_as(dirfd, log);
	count_queue(log, &files, &bytes);
	need(fscache_rewrite_compact(log, NULL) == 0);
	need_read_as(dirfd, log);
	count_queue(log, &queued_files, &queued_bytes);
	need(queued_files == files && queued_bytes == bytes);
	need(log->totals.files == files && log->totals.bytes == bytes);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	static int dirfd = -1;
	autofscachelog struct fscache_log log;
	struct err err = { 0 };
	int ret;

	if (dirfd < 0)
		dirfd = scratch();
	put_log(dirfd, data, len);
	fscache_log_init(&log, dirfd);
	ret = fscache_log_read(&log, &err);
	need(ret >= 0 || (err.code == ERR_DATA && err.msg[0]));
	need((fscache_log_lock(&log, 0, &err) < 0) == (ret < 0));
	if (ret >= 0)
		use(dirfd, &log);
	return 0;
}
