#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* As for every output: whatever is wrong with stdout, and a file that can't be made. */
static int fail_as(enum err_code code, struct err *err)
{
	err->code = code;
	return -1;
}

static int write_block(int fd, const char *at, size_t len, struct err *err)
{
	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int copy(const struct fscache_object *object, int fd, struct err *err)
{
	char block[65536];
	uint64_t offset = 0;
	ssize_t n;

	while ((n = fscache_object_read(object, offset, block, sizeof block, err)) > 0) {
		if (write_block(fd, block, (size_t)n, err) < 0)
			return -1;
		offset += (uint64_t)n;
	}
	return n < 0 ? -1 : 0;
}

int output_write(const struct fscache_object *object, const char *path, struct err *err)
{
	autofd int fd = -1;

	if (strcmp(path, "-") == 0)
		return copy(object, STDOUT_FILENO, err) < 0 ? fail_as(ERR_IO, err) : 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		err_sys(err, errno, "open");
		return fail_as(ERR_CANTCREATE, err);
	}
	if (copy(object, fd, err) < 0)
		return -1;
	return close(steal_fd(&fd)) < 0 ? err_sys(err, errno, "close") : 0;
}
