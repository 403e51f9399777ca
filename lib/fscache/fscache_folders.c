#include "fscache/fscache_folders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void fscache_folders_init(struct fscache_folders *folders, int dirfd)
{
	folders->dirfd = dirfd;
	for (unsigned i = 0; i < FSCACHE_FOLDERS; i++)
		folders->fds[i] = -1;
}

void fscache_folders_close(struct fscache_folders *folders)
{
	for (unsigned i = 0; i < FSCACHE_FOLDERS; i++) {
		if (folders->fds[i] >= 0)
			close(folders->fds[i]);
		folders->fds[i] = -1;
	}
}

static int open_folder(struct fscache_folders *folders, unsigned folder)
{
	int *fd = &folders->fds[folder % FSCACHE_FOLDERS];
	char name[3];

	if (*fd < 0) {
		snprintf(name, sizeof name, "%02x", folder % FSCACHE_FOLDERS);
		*fd = openat(folders->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	return *fd;
}

bool fscache_folders_look(struct fscache_folders *folders, unsigned folder, const char *name,
			  uint64_t inode, uint64_t *bytes_r)
{
	int fd = open_folder(folders, folder);
	struct stat st;

	if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_ino != inode)
		return false;
	*bytes_r = (uint64_t)st.st_blocks * 512;
	return true;
}

int fscache_folders_unlink(struct fscache_folders *folders, unsigned folder, const char *name)
{
	int fd = open_folder(folders, folder);

	if (fd >= 0 && unlinkat(fd, name, 0) == 0)
		return 1;
	return errno == ENOENT ? 0 : -1;
}
