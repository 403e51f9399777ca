/* seeds_blocks DIR: .state.blocks of what fuzz_blocks plans with, with its checksum
 * and without. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "metacache/blocks.h"

#define BASE "bundle.6553f100.1e240.00112233445566778899aabbccddeeff"

static int make_blocks(struct bundle_source *sources, size_t count, struct blocks *blocks,
		       struct err *err)
{
	automanifest struct bundle_manifest manifest = {
		.username = xstrdup("u"),
		.unit = xstrdup(""),
		.unit_id = xstrdup(""),
		.host = xstrdup("h"),
	};
	autospool struct spool *spool = spool_new(NULL, 1 << 20);

	if (blocks_start(blocks, sources, count, err) < 0 ||
	    bundle_pack(&manifest, sources, count, NULL, spool, err) < 0)
		return -1;
	blocks_finish(blocks, BASE, &manifest);
	return 0;
}

int main(int argc, char **argv)
{
	struct bundle_source sources[] = {
		{ .name = "dovecot.index.log", .size_bytes = 6000 },
		{ .name = "dovecot.index.log.2", .size_bytes = 10000, .mtime_ns = 1 },
	};
	int fd = memfd_create("content", MFD_CLOEXEC);
	int dirfd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	autoblocks struct blocks blocks = { 0 };
	autobuf struct buf data = { 0 };
	struct err err = { 0 };

	if (fd < 0 || ftruncate(fd, 10000) < 0 || dirfd < 0) {
		fprintf(stderr, "usage: seeds_blocks DIR\n");
		return 64;
	}
	sources[0].fd = sources[1].fd = fd;
	if (make_blocks(sources, 2, &blocks, &err) < 0 || blocks_write(dirfd, &blocks, &err) < 0 ||
	    fsx_read(dirfd, BLOCKS_NAME, 4096, &data, &err) < 0 ||
	    fsx_replace(dirfd, "unsigned", data.data, data.len - HASH_CONTENT_SIZE, 0644, false,
			NULL, &err) < 0 ||
	    renameat(dirfd, BLOCKS_NAME, dirfd, "signed") < 0) {
		fprintf(stderr, "seeds_blocks: %s\n", err.msg);
		return 73;
	}
	return 0;
}
