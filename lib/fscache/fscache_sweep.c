#include "fscache/fscache_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fsx.h"
#include "base/lock.h"
#include "base/mem.h"
#include "fscache/fscache_temp.h"

/* Who fetches into a temporary has it locked. 1 it was nobody's and is gone, 0, -1. */
static int remove_leftover(int dirfd, const char *name, uint64_t *bytes_r)
{
	autofd int fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st, there;
	int ret;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	ret = lock_range(fd, LOCK_RANGE_WRITE, FSCACHE_TEMP_LOCK_AT, 1, 0);
	if (ret <= 0)
		return ret;
	/* Only who has the lock renames it: what is there now stays until we are done. */
	if (fstat(fd, &st) < 0 || fstatat(dirfd, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (st.st_ino != there.st_ino)
		return 0;
	*bytes_r = (uint64_t)st.st_blocks * 512;
	return unlinkat(dirfd, name, 0) == 0 ? 1 : -1;
}

static bool is_temporary(const struct fsx_entry *entry)
{
	return entry->type == DT_REG && strlen(entry->name) == 32 &&
	       strspn(entry->name, "0123456789abcdef") == 32;
}

int fscache_sweep(int dirfd, uint64_t *files_r, uint64_t *bytes_r,
		  void (*foreign)(void *ctx, const char *path, const char *what), void *ctx,
		  struct err *err)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int ret = 0, fd = fsx_opendir(dirfd, FSCACHE_TEMP_DIR);

	*files_r = *bytes_r = 0;
	if (fd < 0) /* a link is foreign: the walk says so */
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			       ? 0
			       : err_sys(err, errno, "cannot open " FSCACHE_TEMP_DIR);
	fsx_dir_open(&dir, fd);
	while (ret >= 0 && (ret = fsx_dir_next(&dir, &entry)) > 0) {
		uint64_t bytes = 0;

		if (!is_temporary(&entry)) {
			autofree char *path = xasprintf(FSCACHE_TEMP_DIR "/%s", entry.name);

			if (foreign)
				foreign(ctx, path, "not a temporary of ours");
			continue;
		}
		ret = remove_leftover(dir.fd, entry.name, &bytes);
		if (ret > 0) {
			++*files_r;
			*bytes_r += bytes;
		}
	}
	return ret < 0 ? err_sys(err, errno, "cannot tidy up " FSCACHE_TEMP_DIR) : 0;
}
