#include "metacache/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsx.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/str.h"

#define TRIES 5

void snapshot_free(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->source_count; i++)
		cleanup_fd(&snapshot->sources[i].fd);
	unit_files_free(&snapshot->files);
	free(snapshot->sources);
	*snapshot = (struct snapshot){ 0 };
}

static int busy(struct err *err, const char *what, const char *name)
{
	err_set(err, ERR_BUSY, "%s %s", name, what);
	err_hint(err, "it is tried again at the next run");
	return err_again(err);
}

/* Wait for the writer of this log to finish. Locks a handle that stays open, so
 * the lock lives until that is closed or unlocked. */
static int lock_for_reading(int fd, const char *name, int64_t timeout_ms, struct err *err)
{
	int ret = lock_range(fd, LOCK_RANGE_READ, 0, 0, timeout_ms);

	if (ret < 0)
		return err_sys(err, errno, "lock %s", name);
	return ret > 0 ? 0 : busy(err, "stayed locked by Dovecot", name);
}

/* Open one file and note what it is. 1, 0 gone meanwhile, -1. */
static int open_source(int unitfd, const struct unit_file *file, struct snapshot *snapshot,
		       struct err *err)
{
	struct bundle_source *source = &snapshot->sources[snapshot->source_count];
	struct unit_file noted = { .ino = 0 };
	struct fsx_stat st;
	autofd int fd = fsx_openat(unitfd, file->name, O_RDONLY | O_NONBLOCK, 0);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fsx_fstat(fd, &st) < 0)
		return err_sys(err, errno, "open %s", file->name);
	if (!S_ISREG(st.mode))
		return err_set(err, ERR_DATA, "%s is not a regular file any more", file->name);
	noted = (struct unit_file){
		.name = xstrdup(file->name),
		.ino = st.ino,
		.size_bytes = st.size_bytes,
		.mtime_ns = st.mtime_ns,
		.mode = st.mode & 0777,
	};
	vec_push(&snapshot->files, noted);
	*source = (struct bundle_source){
		.name = noted.name,
		.fd = steal_fd(&fd),
		.size_bytes = st.size_bytes,
		.mtime_ns = st.mtime_ns,
		.mode = noted.mode,
	};
	snapshot->source_count++;
	return 1;
}

static int open_sources(int unitfd, const struct unit *unit, struct snapshot *snapshot,
			struct err *err)
{
	snapshot->sources = xcalloc(unit->files.count, sizeof *snapshot->sources);
	for (size_t i = 0; i < unit->files.count; i++) {
		int ret = open_source(unitfd, &unit->files.items[i], snapshot, err);

		if (ret <= 0)
			return ret;
	}
	return 1;
}

static int log_handle(const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->source_count; i++) {
		if (str_ends_with(snapshot->sources[i].name, ".index.log"))
			return snapshot->sources[i].fd;
	}
	return -1;
}

/* The files by these names are still those that were opened (a log rotates by
 * rename): then note their sizes as they are now. 1, 0 something was replaced, -1. */
static int note_current(int unitfd, const struct unit *unit, const struct unit_rules *rules,
			struct snapshot *snapshot, struct err *err)
{
	autounit struct unit now = { 0 };

	if (unit_rescan(unitfd, unit->path, rules, &now, err) < 0)
		return -1;
	if (now.files.count != snapshot->files.count)
		return 0;
	for (size_t i = 0; i < now.files.count; i++) {
		struct unit_file *noted = &snapshot->files.items[i];

		if (strcmp(now.files.items[i].name, noted->name) != 0 ||
		    now.files.items[i].ino != noted->ino)
			return 0;
		noted->size_bytes = snapshot->sources[i].size_bytes = now.files.items[i].size_bytes;
		noted->mtime_ns = snapshot->sources[i].mtime_ns = now.files.items[i].mtime_ns;
	}
	return 1;
}

static bool is_cache(const struct bundle_source *source)
{
	return str_ends_with(source->name, ".index.cache");
}

/* The log's lock is gone by now: Dovecot takes the log's with the cache's in hand, so waiting
 * for the cache with the log in hand could block both.
 * The noted files keep the older size, so that growth meanwhile counts as a change. */
static int lock_caches(const struct snapshot *snapshot, int64_t timeout_ms, struct err *err)
{
	for (size_t i = 0; i < snapshot->source_count; i++) {
		struct bundle_source *source = &snapshot->sources[i];
		struct fsx_stat st;

		if (!is_cache(source))
			continue;
		if (lock_for_reading(source->fd, source->name, timeout_ms, err) < 0)
			return -1;
		if (fsx_fstat(source->fd, &st) < 0)
			return err_sys(err, errno, "look at %s", source->name);
		source->size_bytes = st.size_bytes;
	}
	return 0;
}

void snapshot_unlock(const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->source_count; i++) {
		if (is_cache(&snapshot->sources[i]))
			(void)lock_unrange(snapshot->sources[i].fd, 0, 0);
	}
}

/* 1 taken, 0 files were replaced meanwhile, -1. */
static int try_take(int unitfd, const struct unit *unit, const struct unit_rules *rules,
		    int64_t timeout_ms, struct snapshot *snapshot, struct err *err)
{
	int ret = open_sources(unitfd, unit, snapshot, err);
	int log_fd;

	if (ret <= 0)
		return ret;
	log_fd = log_handle(snapshot);
	if (log_fd >= 0 && lock_for_reading(log_fd, "dovecot.index.log", timeout_ms, err) < 0)
		return -1;
	ret = note_current(unitfd, unit, rules, snapshot, err);
	if (log_fd >= 0 && lock_unrange(log_fd, 0, 0) < 0)
		return err_sys(err, errno, "unlock dovecot.index.log");
	if (ret > 0 && lock_caches(snapshot, timeout_ms, err) < 0)
		return -1;
	return ret;
}

int snapshot_take(int unitfd, const struct unit *unit, const struct unit_rules *rules,
		  int64_t timeout_ms, struct snapshot *snapshot_r, struct err *err)
{
	*snapshot_r = (struct snapshot){ 0 };
	for (int i = 0; i < TRIES; i++) {
		autounit struct unit now = { 0 };
		int ret;

		if (i > 0 && unit_rescan(unitfd, unit->path, rules, &now, err) < 0)
			return -1;
		ret = try_take(unitfd, i > 0 ? &now : unit, rules, timeout_ms, snapshot_r, err);
		if (ret > 0)
			return 0;
		snapshot_free(snapshot_r);
		if (ret < 0)
			return -1;
	}
	return busy(err, "changes all the time", unit_title(unit));
}
