/* seeds_bundle DIR: a bundle with each filter, and a manifest alone, for
 * fuzz_bundle to start from. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "bundle/bundle.h"

static int write_seed(const char *dir, const char *name, const void *data, size_t len)
{
	autofree char *path = xasprintf("%s/%s", dir, name);
	autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd >= 0 && write(fd, data, len) == (ssize_t)len)
		return 0;
	perror(path);
	return -1;
}

static struct bundle_manifest new_manifest(void)
{
	return (struct bundle_manifest){
		.username = xstrdup("u"),
		.unit = xstrdup("fts"),
		.unit_id = xstrdup("fts"),
		.host = xstrdup("h"),
		.created_ns = 1700000000123456789,
	};
}

static int make_seed(const char *dir, const char *filter, const struct bundle_source *sources)
{
	automanifest struct bundle_manifest manifest = new_manifest();
	autospool struct spool *spool = spool_new(NULL, 1 << 20);
	struct bundle_compression compression = { .name = filter };
	autobuf struct buf text = { 0 };
	struct err err = { 0 };

	if (bundle_pack(&manifest, sources, 2, &compression, spool, &err) < 0) {
		fprintf(stderr, "seeds_bundle: %s: %s\n", filter, err.msg);
		return -1;
	}
	bundle_manifest_write(&manifest, &text);
	if (write_seed(dir, "manifest", text.data, text.len) < 0)
		return -1;
	return write_seed(dir, filter, spool_memory(spool), spool_size(spool));
}

int main(int argc, char **argv)
{
	static const char *const filters[] = { "none", "zstd", "gz", "lz4" };
	struct bundle_source sources[] = {
		{ .name = "dir/a", .size_bytes = 9, .mode = 0600, .mtime_ns = 1 },
		{ .name = "b", .size_bytes = 0, .mode = 0644, .mtime_ns = -1 },
	};
	int fd = memfd_create("content", MFD_CLOEXEC);

	if (argc != 2) {
		fprintf(stderr, "usage: seeds_bundle DIR\n");
		return 64;
	}
	if (fd < 0 || pwrite(fd, "content a", 9, 0) != 9)
		return 74;
	sources[0].fd = sources[1].fd = fd;
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
		if (make_seed(argv[1], filters[i], sources) < 0)
			return 73;
	return 0;
}
