#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsx.h"
#include "fscache/fscache_reader.h"
#include "fscache/fscache_rescan_impl.h"
#include "fscache/fscache_rewrite.h"

#define TRIES 4
#define ROOM_BYTES 65536

/* One try to write the log. */
struct writing {
	struct rescan *rescan;
	struct fscache_rewrite *rewrite;
	uint64_t to_free; /* of the disk, before anything is kept */
};

static int make_way(struct writing *writing, const struct fscache_record *record, unsigned folder,
		    struct err *err)
{
	struct rescan *rescan = writing->rescan;
	int ret = fscache_folders_unlink(&rescan->folders, folder, record->name);

	if (ret < 0)
		return err_sys(err, errno, "cannot remove %02x/%s", folder, record->name);
	fscache_table_expire(rescan->table,
			     fscache_table_print(rescan->table, folder, record->name,
						 strlen(record->name), record->inode));
	if (ret == 0)
		return 0;
	writing->to_free -= record->bytes < writing->to_free ? record->bytes : writing->to_free;
	rescan_count(&rescan->report->evicted, record->bytes);
	return 0;
}

static int write_entry(void *ctx, struct fscache_record *record, unsigned folder, struct err *err)
{
	struct writing *writing = ctx;

	if (writing->to_free > 0)
		return make_way(writing, record, folder, err);
	rescan_count(&writing->rescan->report->now, record->bytes);
	return fscache_rewrite_add(writing->rewrite, record, err);
}

/* What the queue has and the disk has too. */
static int write_queue(struct writing *writing, struct err *err)
{
	struct rescan *rescan = writing->rescan;
	struct fscache_reader reader;
	struct fscache_record record;
	int ret;

	fscache_reader_init(&reader, rescan->log.fd, rescan->log.totals.cursor, rescan->log.offset);
	while ((ret = fscache_reader_next(&reader, &record, err)) > 0) {
		size_t len;
		int folder;

		if (record.kind != FSCACHE_ADDED && record.kind != FSCACHE_SPARED)
			continue;
		len = strlen(record.name);
		folder = fscache_name_folder_of_file(record.name, len);
		if (folder < 0 ||
		    !fscache_table_take(rescan->table,
					fscache_table_print(rescan->table, (unsigned)folder,
							    record.name, len, record.inode),
					&record.bytes))
			continue;
		if (write_entry(writing, &record, (unsigned)folder, err) < 0)
			return -1;
	}
	return ret;
}

/* 1, 0 the table has entries that the queue has not, -1. */
static int try_write(struct rescan *rescan, uint64_t to_free, struct err *err)
{
	autorewrite struct fscache_rewrite rewrite = { .fd = -1 };
	struct writing writing = { rescan, &rewrite, to_free };

	rescan->report->now = (struct fscache_rescan_count){ 0 };
	fscache_table_untake(rescan->table);
	if (fscache_rewrite_begin(&rewrite, &rescan->log, err) < 0 ||
	    write_queue(&writing, err) < 0 ||
	    fscache_rescan_unlogged_each(rescan, write_entry, &writing, err) < 0)
		return -1;
	if (fscache_table_sum(rescan->table, FSCACHE_TABLE_PRESENT).files > 0 ||
	    fscache_table_sum(rescan->table, FSCACHE_TABLE_RESIZED).files > 0)
		return 0;
	return fscache_rewrite_commit(&rewrite, "rescan", err) < 0 ? -1 : 1;
}

int fscache_rescan_write(struct rescan *rescan, struct err *err)
{
	uint64_t to_free = 0;

	for (int i = 0;; i++) {
		int ret = try_write(rescan, to_free, err);

		if (ret >= 0 || err->code != ERR_CANTCREATE || i == TRIES)
			return ret;
		/* The new log is no longer than the old one and what that had not. */
		to_free = (rescan->log.offset - rescan->log.totals.cursor + rescan->unlogged_size +
			   ROOM_BYTES)
			  << i;
		err_clear(err);
	}
}

static int empty_folder(struct rescan *rescan, unsigned folder, uint64_t *freed, struct err *err)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	struct fscache_folders *folders = &rescan->folders;
	char name[3];
	int fd, ret = 0;

	snprintf(name, sizeof name, "%02x", folder);
	fd = fsx_opendir(rescan->dirfd, name);
	if (fd < 0)
		return 0;
	fsx_dir_open(&dir, fd);
	while (*freed < ROOM_BYTES && (ret = fsx_dir_next(&dir, &entry)) > 0) {
		struct fsx_stat st;

		if (fscache_name_folder_of_file(entry.name, strlen(entry.name)) != (int)folder ||
		    fsx_stat(dir.fd, entry.name, &st) <= 0 || !S_ISREG(st.mode))
			continue;
		if (fscache_folders_unlink(folders, folder, entry.name) < 0)
			return err_sys(err, errno, "cannot remove %s/%s", name, entry.name);
		rescan_count(&rescan->report->evicted, st.size_bytes);
		*freed += st.size_bytes;
	}
	return ret < 0 ? err_sys(err, errno, "cannot read %s", name) : 0;
}

int fscache_rescan_make_room(struct rescan *rescan, struct err *err)
{
	uint64_t freed = 0;

	for (unsigned folder = 0; folder < FSCACHE_FOLDERS && freed < ROOM_BYTES; folder++) {
		if (empty_folder(rescan, folder, &freed, err) < 0)
			return -1;
	}
	return 0;
}
