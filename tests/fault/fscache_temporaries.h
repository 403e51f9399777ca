/* The temporaries of a cache, seen and removed as somebody who is no program of ours. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"

/* All that are there now, whoever fetches into them. How many. */
static inline uint64_t remove_temporaries(int dirfd)
{
	struct fsx_dir dir;
	struct fsx_entry entry;
	uint64_t count = 0;
	int fd = openat(dirfd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	fsx_dir_open(&dir, fd);
	while (fsx_dir_next(&dir, &entry) > 0)
		count += unlinkat(dir.fd, entry.name, 0) == 0;
	fsx_dir_close(&dir);
	return count;
}

struct temporaries {
	unsigned files, locked; /* by who fetches; the others are leftovers, or just made */
	uint64_t locked_bytes;
};

static inline void add_temporary(struct temporaries *sum, int dirfd, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	int fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_nlink > 0) {
		bool locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;

		sum->files++;
		sum->locked += locked;
		sum->locked_bytes += locked ? (uint64_t)st.st_blocks * 512 : 0;
	}
	close(fd);
}

static inline struct temporaries add_temporaries(int dirfd)
{
	struct temporaries sum = { 0 };
	struct fsx_dir dir;
	struct fsx_entry entry;
	int fd = openat(dirfd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return sum;
	fsx_dir_open(&dir, fd);
	while (fsx_dir_next(&dir, &entry) > 0)
		add_temporary(&sum, dir.fd, entry.name);
	fsx_dir_close(&dir);
	return sum;
}
