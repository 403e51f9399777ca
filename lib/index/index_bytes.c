#include "index/index_bytes.h"

#include <errno.h>
#include <unistd.h>

int index_bytes_read(int fd, uint64_t offset, size_t len, struct buf *out, struct err *err)
{
	char *p = buf_reserve(out, len);

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read the file");
		if (n == 0)
			return err_set(err, ERR_DATA, "the file is shorter than it says");
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
		out->len += (size_t)n;
	}
	return 0;
}
