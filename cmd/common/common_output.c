#include "common/common_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"

/* Whole or not at all: who collects the file may look at any time. Another run may be at it. */
static int write_file(const char *path, const struct buf *text, struct err *err)
{
	const char *slash = strrchr(path, '/');
	autofree char *dir = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	const char *name = slash ? slash + 1 : path;
	autofree char *absolute = dir[0] == '/' ? NULL : realpath(dir, NULL);
	autofd int fd = fsx_open_root(absolute ? absolute : dir, err);
	struct fsx_stat st;

	if (fd < 0)
		return -1;
	if (*name == '\0' || (fsx_stat(fd, name, &st) > 0 && !S_ISREG(st.mode)))
		return err_set(err, ERR_CANTCREATE, "--output %s: no regular file",
			       quote_str(path).s);
	if (flock(fd, LOCK_EX) < 0)
		return err_sys(err, errno, "lock %s", dir);
	umask(022);
	return fsx_replace(fd, name, text->data, text->len, 0644, false, NULL, err);
}

int common_output_write(const char *path, const struct buf *text, struct err *err)
{
	size_t done = 0;

	if (path)
		return write_file(path, text, err);
	while (done < text->len) {
		ssize_t n = write(STDOUT_FILENO, text->data + done, text->len - done);

		if (n < 0 && errno != EINTR) {
			err_sys(err, errno, "cannot write the output");
			if (err)
				err->code = ERR_IO; /* a full disk under the output is not ours */
			return -1;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}
