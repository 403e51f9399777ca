#include "fscache/fscache_status.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "fscache/fscache_log.h"
#include "fscache/fscache_name.h"
#include "fscache/fscache_rate.h"
#include "fscache/fscache_scan.h"

#define NS_PER_S 1000000000

static int read_log(int dirfd, struct fscache_status *status, struct err *err)
{
	autofscachelog struct fscache_log log;
	struct fscache_rate rate;
	int64_t now_s;
	int ret;

	fscache_log_init(&log, dirfd);
	ret = fscache_log_read(&log, err);
	if (ret <= 0)
		return ret;
	status->has_log = true;
	status->totals = log.totals;
	status->log_bytes = log.offset;
	now_s = clock_now_ns() / NS_PER_S;
	if (fscache_rate_read(&log, now_s, &rate, err) < 0)
		return -1;
	status->evictions_per_minute = fscache_rate_per_minute(&rate, log.totals.evictions, now_s);
	return 0;
}

struct counting {
	struct fscache_status *status;
	pthread_mutex_t lock;
	/* Each folder is one thread's. */
	struct {
		uint64_t files, bytes;
	} folders[FSCACHE_FOLDERS];
};

static void on_file(struct counting *counting, const struct fscache_scan_file *file)
{
	struct fscache_status *status = counting->status;
	bool is_object =
		fscache_name_folder_of_file(file->name, strlen(file->name)) == (int)file->folder;
	bool is_oversize = status->limit_bytes > 0 && file->bytes > status->limit_bytes / 2;

	if (is_object) {
		counting->folders[file->folder].files++;
		counting->folders[file->folder].bytes += file->bytes;
	}
	if (is_object && !is_oversize)
		return;
	pthread_mutex_lock(&counting->lock);
	status->oversize_files += is_oversize;
	status->oversize_bytes += is_oversize ? file->bytes : 0;
	status->foreign_files += !is_object;
	status->foreign_bytes += is_object ? 0 : file->bytes;
	pthread_mutex_unlock(&counting->lock);
}

static void on_files(void *ctx, const struct fscache_scan_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		on_file(ctx, &files[i]);
}

static void on_foreign(void *ctx, const char *path, const char *what)
{
	struct counting *counting = ctx;

	(void)path, (void)what;
	pthread_mutex_lock(&counting->lock);
	counting->status->strange++;
	pthread_mutex_unlock(&counting->lock);
}

static int scan_files(int dirfd, struct fscache_status *status, struct err *err)
{
	struct counting counting = { status, PTHREAD_MUTEX_INITIALIZER };
	const struct fscache_scan scan = {
		.dirfd = dirfd, .files = on_files, .foreign = on_foreign, .ctx = &counting
	};

	if (fscache_scan(&scan, err) < 0)
		return -1;
	for (size_t i = 0; i < FSCACHE_FOLDERS; i++) {
		status->files += counting.folders[i].files;
		status->bytes += counting.folders[i].bytes;
	}
	status->is_scanned = true;
	return 0;
}

int fscache_status_read(int dirfd, uint64_t limit_bytes, bool scan, struct fscache_status *status_r,
			struct err *err)
{
	struct stat st;

	*status_r = (struct fscache_status){ .limit_bytes = limit_bytes };
	if (fstat(dirfd, &st) < 0)
		return err_sys(err, errno, "cannot look at the directory");
	status_r->dev = st.st_dev;
	if (fscache_disk_look(dirfd, &status_r->disk, err) < 0 ||
	    read_log(dirfd, status_r, err) < 0)
		return -1;
	return scan ? scan_files(dirfd, status_r, err) : 0;
}
