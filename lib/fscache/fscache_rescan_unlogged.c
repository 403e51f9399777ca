#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fscache/fscache_reader.h"
#include "fscache/fscache_rescan_impl.h"

#define FLUSH_BYTES 65536
#define ROOM_BYTES (2 * FLUSH_BYTES)

/* Without a name, so that nothing is left of it. */
static int open_nameless(int dirfd)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		fd = memfd_create("fscache", MFD_CLOEXEC);
	return fd;
}

static int flush(struct rescan *rescan)
{
	size_t done = 0;

	if (rescan->unlogged_fd < 0)
		rescan->unlogged_fd = open_nameless(rescan->dirfd);
	if (rescan->unlogged_fd < 0)
		return -1;
	while (done < rescan->unlogged.len) {
		ssize_t n =
			pwrite(rescan->unlogged_fd, rescan->unlogged.data + done,
			       rescan->unlogged.len - done, (off_t)(rescan->unlogged_size + done));

		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	rescan->unlogged_size += done;
	buf_truncate(&rescan->unlogged, 0);
	return 0;
}

/* It is only a cache: where the lines need room, some of the files make way. */
static int give_up_some(struct rescan *rescan, struct err *err)
{
	char *line = rescan->unlogged.data, *newline;
	uint64_t freed = 0;

	while (freed < ROOM_BYTES && (newline = strchr(line, '\n')) != NULL) {
		struct fscache_record record;
		int folder, ret;

		*newline = '\0';
		if (!fscache_record_parse(line, (size_t)(newline - line), &record))
			return err_set(err, ERR_BUG, "a line of our own is none");
		folder = fscache_name_folder_of_file(record.name, strlen(record.name));
		ret = fscache_folders_unlink(&rescan->folders, (unsigned)folder, record.name);
		if (ret < 0)
			return err_sys(err, errno, "cannot remove %02x/%s", (unsigned)folder,
				       record.name);
		if (ret > 0) {
			rescan_count(&rescan->report->evicted, record.bytes);
			rescan_count(&rescan->unlogged_deleted, record.bytes);
			freed += record.bytes;
		}
		line = newline + 1;
	}
	rescan->unlogged.len -= (size_t)(line - rescan->unlogged.data);
	memmove(rescan->unlogged.data, line, rescan->unlogged.len + 1);
	return 0;
}

static int keep(struct rescan *rescan, struct err *err)
{
	while (rescan->unlogged.len > 0 && flush(rescan) < 0) {
		if (errno != ENOSPC && errno != EDQUOT)
			return err_sys(err, errno, "cannot note what is not in the log");
		if (give_up_some(rescan, err) < 0)
			return -1;
	}
	return 0;
}

int fscache_rescan_unlogged_add(struct rescan *rescan, const struct fscache_record *record,
				struct err *err)
{
	fscache_record_format(&rescan->unlogged, record);
	return rescan->unlogged.len < FLUSH_BYTES ? 0 : keep(rescan, err);
}

static bool is_valid(struct rescan *rescan, const struct fscache_record *record, unsigned folder)
{
	size_t len = strlen(record->name);
	uint64_t bytes;

	if (fscache_table_has(rescan->table, fscache_table_print(rescan->table, folder,
								 record->name, len, record->inode)))
		return false; /* it was added to the log meanwhile */
	if (!fscache_table_has(rescan->changed,
			       fscache_table_print(rescan->changed, folder, record->name, len, 0)))
		return true;
	return fscache_folders_look(&rescan->folders, folder, record->name, record->inode, &bytes);
}

int fscache_rescan_unlogged_each(struct rescan *rescan,
				 int (*fn)(void *ctx, struct fscache_record *record,
					   unsigned folder, struct err *err),
				 void *ctx, struct err *err)
{
	struct fscache_reader reader;
	struct fscache_record record;
	int ret;

	if (keep(rescan, err) < 0)
		return -1;
	fscache_reader_init(&reader, rescan->unlogged_fd, 0, rescan->unlogged_size);
	while ((ret = rescan->unlogged_size > 0 ? fscache_reader_next(&reader, &record, err) : 0) >
	       0) {
		int folder = fscache_name_folder_of_file(record.name, strlen(record.name));

		if (folder >= 0 && is_valid(rescan, &record, (unsigned)folder) &&
		    fn(ctx, &record, (unsigned)folder, err) < 0)
			return -1;
	}
	return ret;
}
