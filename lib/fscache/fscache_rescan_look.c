#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "fscache/fscache_rescan_impl.h"
#include "fscache/fscache_scan.h"

static void keep_err(struct rescan *rescan, const struct err *err)
{
	if (rescan->err.code == ERR_NONE)
		rescan->err = *err;
}

/* Deleted, unless somebody was faster. */
static bool remove_file(struct rescan *rescan, const struct fscache_scan_file *file)
{
	struct err err;

	if (unlinkat(file->folder_fd, file->name, 0) == 0) {
		rescan_count(&rescan->report->expired, file->bytes);
		return true;
	}
	if (errno != ENOENT) {
		err_sys(&err, errno, "cannot remove %02x/%s", file->folder, file->name);
		keep_err(rescan, &err);
	}
	return false;
}

void fscache_rescan_strange(void *ctx, const char *path, const char *what)
{
	struct rescan *rescan = ctx;

	pthread_mutex_lock(&rescan->lock);
	rescan->report->strange++;
	pthread_mutex_unlock(&rescan->lock);
	if (rescan->options->foreign)
		rescan->options->foreign(rescan->options->ctx, path, what);
}

static void on_foreign(struct rescan *rescan, const struct fscache_scan_file *file, bool is_old)
{
	autofree char *path = xasprintf("%02x/%s", file->folder, file->name);

	rescan_count(&rescan->report->foreign, file->bytes);
	if (is_old && rescan->report->log != FSCACHE_RESCAN_LOST)
		remove_file(rescan, file);
	else if (rescan->options->foreign)
		rescan->options->foreign(rescan->options->ctx, path, "not an object");
}

static void on_unlogged(struct rescan *rescan, const struct fscache_scan_file *file, bool is_old)
{
	struct fscache_record record = {
		.kind = FSCACHE_ADDED,
		.when_s = file->mtime_s > 0 ? file->mtime_s : 0,
		.bytes = file->bytes,
		.inode = file->ino,
		.name = file->name,
	};
	struct err err = { 0 };

	if (is_old && remove_file(rescan, file))
		rescan_count(&rescan->unlogged_deleted, file->bytes);
	if (!is_old && fscache_rescan_unlogged_add(rescan, &record, &err) < 0)
		keep_err(rescan, &err);
}

/* The usual file takes no lock: the table's part is this thread's. */
static void on_file(struct rescan *rescan, const struct fscache_scan_file *file,
		    struct fscache_print print)
{
	bool is_old = file->mtime_s < rescan->expire_before_s;
	uint64_t was;
	bool known = fscache_table_see(rescan->table, print, file->bytes, &was);

	if (known && was == file->bytes && !is_old)
		return;
	pthread_mutex_lock(&rescan->lock);
	if (known) {
		rescan->report->resized_files += was != file->bytes;
		rescan->report->resized_bytes += (int64_t)(file->bytes - was);
		if (is_old && remove_file(rescan, file))
			fscache_table_expire(rescan->table, print);
		else if (is_old)
			fscache_table_doubt(rescan->table, print);
	} else if (fscache_name_folder_of_file(file->name, strlen(file->name)) ==
		   (int)file->folder) {
		on_unlogged(rescan, file, is_old);
	} else {
		on_foreign(rescan, file, is_old);
	}
	pthread_mutex_unlock(&rescan->lock);
}

static void on_files(void *ctx, const struct fscache_scan_file *files, size_t count)
{
	struct rescan *rescan = ctx;
	const struct fscache_rescan_options *options = rescan->options;
	struct fscache_print prints[FSCACHE_SCAN_FILES];

	for (size_t i = 0; i < count; i++) {
		prints[i] = fscache_table_print(rescan->table, files[i].folder, files[i].name,
						strlen(files[i].name), files[i].ino);
		fscache_table_fetch(rescan->table, prints[i]);
	}
	for (size_t i = 0; i < count; i++)
		on_file(rescan, &files[i], prints[i]);
	if (options->progress)
		options->progress(options->ctx, count, rescan->report->tracked.files);
}

int fscache_rescan_look(struct rescan *rescan, struct err *err)
{
	const struct fscache_scan walk = {
		.dirfd = rescan->dirfd,
		.threads = rescan->options->threads,
		.files = on_files,
		.foreign = fscache_rescan_strange,
		.ctx = rescan,
	};

	if (fscache_scan(&walk, err) < 0)
		return -1;
	if (rescan->err.code == ERR_NONE)
		return 0;
	*err = rescan->err;
	return -1;
}
