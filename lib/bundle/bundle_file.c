#include "bundle/bundle_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"

bool bundle_file_is_packed(const struct bundle_file *file)
{
	return !file->from || file->ranges.count > 0;
}

/* A checked manifest's ranges are apart and within the file: no sum is too large. */
uint64_t bundle_file_packed_bytes(const struct bundle_file *file)
{
	uint64_t bytes = 0;

	if (!file->from)
		return file->size_bytes;
	for (size_t i = 0; i < file->ranges.count; i++)
		bytes += file->ranges.items[i].len;
	return bytes;
}

uint64_t bundle_file_packed_sum(const struct bundle_file_vec *files)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < files->count; i++)
		sum += bundle_file_packed_bytes(&files->items[i]);
	return sum;
}

int bundle_file_create(int dirfd, const char *name, struct err *err)
{
	const char *slash = strrchr(name, '/');
	int fd;

	if (slash) {
		autofree char *parent = xstrndup(name, (size_t)(slash - name));

		if (fsx_mkdirs(dirfd, parent, 0700, err) < 0)
			return -1;
	}
	fd = fsx_openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(err, errno, "create %s", quote_str(name).s) : fd;
}

int bundle_file_write(int fd, const char *name, const void *data, size_t len, struct err *err)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write %s", quote_str(name).s);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int set_attributes(const struct bundle_file *file, int fd, struct err *err)
{
	int64_t ns = file->mtime_ns % 1000000000;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	times[1].tv_sec = file->mtime_ns / 1000000000 - (ns < 0);
	times[1].tv_nsec = ns < 0 ? ns + 1000000000 : ns;
	if (fchmod(fd, file->mode) < 0 || futimens(fd, times) < 0)
		return err_sys(err, errno, "set mode and time of %s", quote_str(file->name).s);
	return 0;
}

int bundle_file_finish(const struct bundle_file *file, int fd, struct err *err)
{
	int result = set_attributes(file, fd, err);

	/* Some file systems say only here that the disk is full. */
	if (close(fd) < 0 && result == 0)
		return err_sys(err, errno, "close %s", quote_str(file->name).s);
	return result;
}
