/* seeds_bundle DIR: a base and a diff with each filter, for fuzz_bundle to start from. */
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

static struct bundle_manifest new_manifest(const char *base)
{
	return (struct bundle_manifest){
		.type = base ? BUNDLE_DIFF : BUNDLE_BASE,
		.base = base ? xstrdup(base) : NULL,
		.username = xstrdup("u"),
		.unit = xstrdup("fts"),
		.unit_id = xstrdup("fts"),
		.host = xstrdup("h"),
		.created_ns = 1700000000123456789,
	};
}

/* `base`: its name for a diff, else NULL. */
static int make_seed(const char *dir, const char *filter, const char *base,
		     const struct bundle_source *sources, size_t count)
{
	automanifest struct bundle_manifest manifest = new_manifest(base);
	autospool struct spool *spool = spool_new(NULL, 1 << 20);
	struct bundle_compression compression = { .name = filter };
	autofree char *bundle_name = xasprintf("%s-%s", filter, base ? "diff" : "base");
	struct err err = { 0 };

	if (bundle_pack(&manifest, sources, count, &compression, spool, &err) < 0) {
		fprintf(stderr, "seeds_bundle: %s: %s\n", bundle_name, err.msg);
		return -1;
	}
	return write_seed(dir, bundle_name, spool_memory(spool), spool_size(spool));
}

int main(int argc, char **argv)
{
	static const char *const filters[] = { "none", "zstd", "gz", "lz4" };
	static const char base[] = "bundle.6553f100.1e240.00112233445566778899aabbccddeeff";
	static const struct bundle_range ranges[] = { { 0, 2 }, { 9, 3 } };
	struct bundle_source sources[] = {
		{ .name = "dir/a", .size_bytes = 9, .mode = 0600, .mtime_ns = 1 },
		{ .name = "b", .size_bytes = 0, .mode = 0644, .mtime_ns = -1 },
		{ .name = "dir/c",
		  .size_bytes = 12,
		  .from = "b",
		  .ranges = ranges,
		  .range_count = 2 },
		{ .name = "b", .size_bytes = 9, .from = "b" },
	};
	int fd = memfd_create("content", MFD_CLOEXEC);

	if (argc != 2) {
		fprintf(stderr, "usage: seeds_bundle DIR\n");
		return 64;
	}
	if (fd < 0 || pwrite(fd, "content b...", 12, 0) != 12)
		return 74;
	hash_content("content b...", 12, sources[2].digest);
	hash_content("co...", 5, sources[2].ranges_digest);
	hash_content("content b", 9, sources[3].digest);
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
		sources[i].fd = fd;
	for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
		if (make_seed(argv[1], filters[i], NULL, sources, 2) < 0 ||
		    make_seed(argv[1], filters[i], base, sources + 2, 2) < 0)
			return 73;
	return 0;
}
