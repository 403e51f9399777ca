/* Any bytes as a bundle that is unpacked into a folder of its own, or applied over a
 * base. Nothing may be made outside of it, nothing may be unpacked that the manifest
 * does not announce. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "bundle/bundle.h"
#include "fuzz.h"

#define NAME_DEPTH_MAX 4
#define TOTAL_MAX (64 * 1024 * 1024)

static void check_unpacked(int dirfd, const struct bundle_manifest *manifest)
{
	for (size_t i = 0; i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];
		struct stat st;

		need(fstatat(dirfd, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0);
		need(S_ISREG(st.st_mode) && (uint64_t)st.st_size == file->size_bytes);
	}
}

/* `basefd`: what a diff is applied over; -1: it is unpacked as a base. */
static void fuzz_unpack(const unsigned char *data, size_t len, int top, int basefd)
{
	static const struct bundle_limits limits = { .total_bytes_max = TOTAL_MAX,
						     .depth_max = NAME_DEPTH_MAX };
	automanifest struct bundle_manifest manifest = { 0 };
	autospool struct spool *spool = spool_from(data, len);
	struct fsx_entry entry;
	autodir struct fsx_dir dir;
	struct err err = { 0 };
	size_t entries = 0;
	int dest, ret;

	need(mkdirat(top, "dest", 0700) == 0);
	dest = openat(top, "dest", O_RDONLY | O_DIRECTORY);
	need(dest >= 0);
	if (basefd < 0)
		ret = bundle_unpack(spool, dest, &limits, &manifest, &err);
	else
		ret = bundle_apply(spool, basefd, dest, &limits, &manifest, &err);
	if (ret == 0)
		check_unpacked(dest, &manifest);
	else
		need(err.code != ERR_NONE && err.msg[0] != '\0');
	close(dest);
	fsx_dir_open(&dir, fsx_opendir(top, ""));
	while (fsx_dir_next(&dir, &entry) > 0)
		entries++;
	need(entries == 2);
	need(fsx_remove_tree(top, "dest", NULL) == 0);
}

/* What the seeds' diff is made on. */
static int make_base(int top)
{
	int dirfd, fd;

	need(mkdirat(top, "base", 0700) == 0);
	dirfd = openat(top, "base", O_RDONLY | O_DIRECTORY);
	fd = openat(dirfd, "b", O_WRONLY | O_CREAT, 0600);
	need(fd >= 0 && write(fd, "content b", 9) == 9);
	close(fd);
	return dirfd;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	static int top = -1, basefd;

	if (top < 0) {
		top = scratch();
		basefd = make_base(top);
	}
	fuzz_unpack(data, len, top, -1);
	fuzz_unpack(data, len, top, basefd);
	return 0;
}
