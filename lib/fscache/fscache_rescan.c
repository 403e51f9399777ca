#include "fscache/fscache_rescan.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fscache/fscache_queue.h"
#include "fscache/fscache_reader.h"
#include "fscache/fscache_rescan_impl.h"
#include "fscache/fscache_sweep.h"

#define LOCK_TIMEOUT_MS 30000
#define LINE_MIN 12 /* bytes of the shortest + line */
#define TRIES 3
#define NS_PER_S 1000000000

/* What the log was when its queue was noted. */
struct noted {
	uint64_t inode, offset, cursor;
	char tail[FSCACHE_LOG_TAIL];
};

/* One line that the log got while the directory was looked at. */
static void replay_line(struct rescan *rescan, const struct fscache_record *record)
{
	size_t len = strlen(record->name);
	int folder = fscache_name_folder_of_file(record->name, len);
	struct fscache_print print;
	uint64_t bytes, was;

	if (folder < 0)
		return;
	print = fscache_table_print(rescan->table, (unsigned)folder, record->name, len,
				    record->inode);
	fscache_table_add(
		rescan->changed,
		fscache_table_print(rescan->changed, (unsigned)folder, record->name, len, 0), 0);
	if (record->kind != FSCACHE_ADDED)
		fscache_table_remove(rescan->table, print);
	if (record->kind == FSCACHE_REMOVED)
		return;
	/* Whichever file had this name before is not there any more. */
	fscache_table_doubt(rescan->table, print);
	fscache_table_add(rescan->table, print, record->bytes);
	if (fscache_folders_look(&rescan->folders, (unsigned)folder, record->name, record->inode,
				 &bytes))
		fscache_table_see(rescan->table, print, bytes, &was);
}

static int replay(struct rescan *rescan, uint64_t from, struct err *err)
{
	struct fscache_reader reader;
	struct fscache_record record;
	int ret;

	fscache_reader_init(&reader, rescan->log.fd, from, rescan->log.offset);
	while ((ret = fscache_reader_next(&reader, &record, err)) > 0) {
		if (record.kind == FSCACHE_ADDED || record.kind == FSCACHE_REMOVED ||
		    record.kind == FSCACHE_SPARED)
			replay_line(rescan, &record);
	}
	rescan->report->damaged_lines += reader.damaged;
	return ret;
}

static int lock_log(struct rescan *rescan, struct err *err)
{
	int ret = fscache_log_lock(&rescan->log, LOCK_TIMEOUT_MS, err);

	if (ret > 0 || (ret < 0 && (err->code != ERR_CANTCREATE)))
		return ret < 0 ? -1 : 0;
	if (ret == 0)
		return err_set(err, ERR_BUSY, "somebody keeps " FSCACHE_LOG_FILE " locked");
	if (rescan->report->log != FSCACHE_RESCAN_LOST)
		return -1;
	/* A full disk on which there is no log: nothing says what is the oldest. */
	if (fscache_rescan_make_room(rescan, err) < 0)
		return -1;
	return fscache_log_lock(&rescan->log, LOCK_TIMEOUT_MS, err) > 0 ? 0 : -1;
}

/* A log that we had to make belongs to whom the cache belongs. */
static int own_log(const struct rescan *rescan, struct err *err)
{
	struct stat st;

	if (fstat(rescan->dirfd, &st) < 0 ||
	    (fchown(rescan->log.fd, st.st_uid, st.st_gid) < 0 && errno != EPERM))
		return err_sys(err, errno, "cannot set the owner of " FSCACHE_LOG_FILE);
	return 0;
}

static void note(const struct rescan *rescan, struct noted *noted_r)
{
	const struct fscache_log *log = &rescan->log;

	*noted_r = (struct noted){ log->inode, log->offset, log->totals.cursor };
	memcpy(noted_r->tail, log->tail, sizeof noted_r->tail);
}

static int note_queue(struct rescan *rescan, struct noted *noted_r, struct err *err)
{
	const struct fscache_log *log = &rescan->log;
	uint64_t files;
	int ret;

	if (lock_log(rescan, err) < 0)
		return -1;
	ret = rescan->report->log == FSCACHE_RESCAN_LOST ? own_log(rescan, err) : 0;
	if (ret == 0)
		ret = fscache_log_hold(&rescan->log, err);
	note(rescan, noted_r);
	fscache_log_unlock(&rescan->log);
	if (ret <= 0)
		return ret < 0 ? -1 : err_set(err, ERR_BUSY, "another rescan is running");
	files = (noted_r->offset - noted_r->cursor) / LINE_MIN;
	rescan->report->tracked.files = log->totals.files;
	fscache_table_free(&rescan->table);
	fscache_table_free(&rescan->changed);
	/* As the log says, if it is as long as that. */
	rescan->table = fscache_table_new(files < log->totals.files ? files : log->totals.files);
	rescan->changed = fscache_table_new(0);
	return fscache_queue_read(log->fd, noted_r->cursor, noted_r->offset, rescan->table,
				  &rescan->report->damaged_lines, err);
}

/* Whether what was noted still is the beginning of the log. */
static bool is_same_log(const struct rescan *rescan, const struct noted *noted)
{
	char tail[FSCACHE_LOG_TAIL];
	size_t len = noted->offset < sizeof tail ? (size_t)noted->offset : sizeof tail;

	return rescan->log.inode == noted->inode && rescan->log.offset >= noted->offset &&
	       pread(rescan->log.fd, tail, len, (off_t)(noted->offset - len)) == (ssize_t)len &&
	       memcmp(tail, noted->tail, len) == 0;
}

static int count_entry(void *ctx, struct fscache_record *record, unsigned folder, struct err *err)
{
	(void)folder, (void)err;
	rescan_count(ctx, record->bytes);
	return 0;
}

static void add(struct fscache_rescan_count *count, uint64_t files, uint64_t bytes)
{
	count->files += files;
	count->bytes += bytes;
}

/* Under the log's lock, with all replayed. */
static int judge(struct rescan *rescan, struct err *err)
{
	struct fscache_rescan_report *report = rescan->report;
	static const enum fscache_table_state here[] = { FSCACHE_TABLE_PRESENT,
							 FSCACHE_TABLE_RESIZED,
							 FSCACHE_TABLE_EXPIRED };
	struct fscache_table_sum absent = fscache_table_sum(rescan->table, FSCACHE_TABLE_ABSENT);

	report->tracked =
		(struct fscache_rescan_count){ rescan->log.totals.files, rescan->log.totals.bytes };
	report->missing = (struct fscache_rescan_count){ absent.files, absent.bytes };
	report->unlogged = (struct fscache_rescan_count){ 0 };
	if (fscache_rescan_unlogged_each(rescan, count_entry, &report->unlogged, err) < 0)
		return -1;
	report->now = report->found = report->unlogged;
	for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
		struct fscache_table_sum sum = fscache_table_sum(rescan->table, here[i]);

		add(&report->found, sum.files, sum.bytes);
		if (here[i] != FSCACHE_TABLE_EXPIRED)
			add(&report->now, sum.files, sum.bytes);
	}
	add(&report->unlogged, rescan->unlogged_deleted.files, rescan->unlogged_deleted.bytes);
	add(&report->found, rescan->unlogged_deleted.files, rescan->unlogged_deleted.bytes);
	report->miscounted_bytes = (int64_t)(report->tracked.bytes - report->missing.bytes -
					     (report->found.bytes - report->unlogged.bytes -
					      (uint64_t)report->resized_bytes));
	report->right = report->log != FSCACHE_RESCAN_LOST &&
			report->tracked.bytes == report->found.bytes &&
			report->tracked.files == report->found.files &&
			report->unlogged.files + report->missing.files + report->resized_files == 0;
	return 0;
}

/* 1, 0 it has to be done again, -1. */
static int repair(struct rescan *rescan, struct err *err)
{
	struct fscache_rescan_report *report = rescan->report;
	int ret;

	if (judge(rescan, err) < 0)
		return -1;
	if (report->right && report->damaged_lines + report->expired.files == 0) {
		fscache_log_checkpoint(&rescan->log, "rescan", NULL);
		unlinkat(rescan->dirfd, FSCACHE_LOG_NEW,
			 0); /* a leftover, since we have the lock */
		return 1;
	}
	ret = fscache_rescan_write(rescan, err);
	report->repaired = ret > 0;
	return ret;
}

/* Lock the log and see what it got. 1, 0 it is another one, -1; locked only with 1. */
static int catch_up(struct rescan *rescan, const struct noted *noted, struct err *err)
{
	if (lock_log(rescan, err) < 0)
		return -1;
	if (is_same_log(rescan, noted))
		return 1;
	fscache_log_unlock(&rescan->log);
	return 0;
}

static int once(struct rescan *rescan, struct err *err)
{
	struct noted noted;
	uint64_t from;
	int ret;

	if (note_queue(rescan, &noted, err) < 0 || fscache_rescan_look(rescan, err) < 0)
		return -1;
	/* Most of it is replayed without the lock, but only what was complete under it: what
	 * a + line adds has no name before the lock is given up. */
	from = noted.offset;
	ret = catch_up(rescan, &noted, err);
	if (ret <= 0)
		return ret;
	note(rescan, &noted);
	fscache_log_unlock(&rescan->log);
	if (replay(rescan, from, err) < 0)
		return -1;
	from = noted.offset;
	ret = catch_up(rescan, &noted, err);
	if (ret <= 0)
		return ret;
	ret = replay(rescan, from, err) < 0 ? -1 : repair(rescan, err);
	fscache_log_unlock(&rescan->log);
	return ret;
}

static void forget(struct rescan *rescan)
{
	if (rescan->unlogged_fd >= 0)
		close(rescan->unlogged_fd);
	rescan->unlogged_fd = -1;
	rescan->unlogged_size = 0;
	buf_free(&rescan->unlogged);
	fscache_table_free(&rescan->table);
	fscache_table_free(&rescan->changed);
	fscache_log_close(&rescan->log);
}

/* What a try found is void; what it deleted is not. */
static void start_again(struct rescan *rescan)
{
	struct fscache_rescan_report *report = rescan->report;

	forget(rescan);
	fscache_log_init(&rescan->log, rescan->dirfd);
	report->foreign = (struct fscache_rescan_count){ 0 };
	report->resized_files = report->strange = 0;
	report->resized_bytes = 0;
}

static int run(struct rescan *rescan, struct err *err)
{
	int ret = 0;

	for (int i = 0; ret == 0 && i < TRIES; i++) {
		if (i > 0)
			start_again(rescan);
		ret = once(rescan, err);
	}
	if (ret == 0)
		err_set(err, ERR_TEMP, FSCACHE_LOG_FILE " was replaced all the time");
	return ret > 0 ? 0 : -1;
}

int fscache_rescan(int dirfd, const struct fscache_rescan_options *options,
		   struct fscache_rescan_report *report_r, struct err *err)
{
	struct rescan rescan = {
		.options = options,
		.report = report_r,
		.dirfd = dirfd,
		.expire_before_s = INT64_MIN,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.unlogged_fd = -1,
	};
	struct err own = { 0 };
	int ret;

	*report_r = (struct fscache_rescan_report){ 0 };
	if (options->max_age_s > 0)
		rescan.expire_before_s = clock_now_ns() / NS_PER_S - options->max_age_s;
	fscache_log_init(&rescan.log, dirfd);
	fscache_folders_init(&rescan.folders, dirfd);
	ret = fscache_rescan_probe(&rescan, &own);
	if (ret == 0)
		ret = run(&rescan, &own);
	if (ret == 0)
		ret = fscache_sweep(dirfd, &report_r->leftovers.files, &report_r->leftovers.bytes,
				    fscache_rescan_strange, &rescan, &own);
	forget(&rescan);
	fscache_folders_close(&rescan.folders);
	if (ret < 0 && err)
		*err = own;
	return ret;
}
