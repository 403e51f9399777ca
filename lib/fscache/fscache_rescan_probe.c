#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "fscache/fscache_disk.h"
#include "fscache/fscache_rescan_impl.h"

#define ENOUGH 100

struct sample {
	uint64_t objects, others;
};

static int sample_folder(int dirfd, unsigned folder, struct sample *sample, struct err *err)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	char name[3];
	int fd, ret = 0;

	snprintf(name, sizeof name, "%02x", folder);
	fd = fsx_opendir(dirfd, name);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			       ? 0
			       : err_sys(err, errno, "cannot open %s", name);
	fsx_dir_open(&dir, fd);
	while (sample->objects + sample->others < ENOUGH &&
	       (ret = fsx_dir_next(&dir, &entry)) > 0) {
		int of = fscache_name_folder_of_file(entry.name, strlen(entry.name));

		sample->objects += of == (int)folder;
		sample->others += of != (int)folder;
	}
	return ret < 0 ? err_sys(err, errno, "cannot read %s", name) : 0;
}

/* Where there is no log, the objects have to say that this is a cache: other programs
 * have 256 folders too. An emptied log of that name says it of emptied folders. */
static int check_without_log(struct rescan *rescan, bool has_empty_log, struct err *err)
{
	struct sample sample = { 0 };

	for (unsigned folder = 0; folder < FSCACHE_FOLDERS; folder++) {
		if (sample_folder(rescan->dirfd, folder, &sample, err) < 0)
			return -1;
	}
	if (sample.objects > sample.others || (has_empty_log && sample.others == 0))
		return 0;
	err_set(err, ERR_DATA, "this is no fscache: there is no " FSCACHE_LOG_FILE "%s",
		sample.others > 0 ? ", and what is in the folders are no cached objects"
				  : ", and no object");
	return -1;
}

static bool is_torn(const struct fscache_log *log)
{
	struct stat st;
	char last;

	return fstat(log->fd, &st) == 0 && st.st_size > 0 &&
	       pread(log->fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

int fscache_rescan_probe(struct rescan *rescan, struct err *err)
{
	autofscachelog struct fscache_log log;
	struct fscache_disk disk;
	int ret;

	if (fscache_disk_look(rescan->dirfd, &disk, err) < 0)
		return -1;
	fscache_log_init(&log, rescan->dirfd);
	ret = fscache_log_read(&log, err);
	if (ret > 0 && is_torn(&log))
		rescan->report->log = FSCACHE_RESCAN_TORN;
	if (ret != 0)
		return ret < 0 ? -1 : 0;
	rescan->report->log = FSCACHE_RESCAN_LOST;
	return check_without_log(rescan, log.fd >= 0, err);
}
