#include "fscache/fscache_disk.h"

#include <errno.h>
#include <sys/vfs.h>

#define ZFS_MAGIC 0x2FC12FC1

int fscache_disk_look(int dirfd, struct fscache_disk *disk_r, struct err *err)
{
	struct statfs fs;

	if (fstatfs(dirfd, &fs) < 0)
		return err_sys(err, errno, "cannot look at the filesystem");
	if ((uint32_t)fs.f_type == ZFS_MAGIC) {
		err_set(err, ERR_DATA, "it is on ZFS, whose block counts are no measure");
		return err_hint(err, "put the cache on ext4 or XFS, on a ZFS volume if need be");
	}
	disk_r->size_bytes = (uint64_t)fs.f_blocks * (uint64_t)fs.f_frsize;
	disk_r->avail_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
	return 0;
}
