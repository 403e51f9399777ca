/* Any bytes as .state.blocks, with a right checksum too; and a plan made with what
 * was taken, which has to lead back to the source. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "fuzz.h"
#include "metacache/blocks.h"

/* Ranges are apart and within the file, as bundle_pack() asks. */
static void check_source(const struct bundle_source *source)
{
	uint64_t end = 0;

	for (size_t i = 0; source->from && i < source->range_count; i++) {
		const struct bundle_range *range = &source->ranges[i];

		need(range->len > 0 && range->offset >= end &&
		     range->offset + range->len <= source->size_bytes);
		end = range->offset + range->len;
	}
}

/* Sources of the names that the blocks have, all with the same content. */
static void fuzz_plan(const struct blocks *blocks, int fd)
{
	struct bundle_source sources[4];
	autoplan struct blocks_plan plan = { 0 };
	size_t count = 0;
	struct err err = { 0 };

	while (count < 4 && count < blocks->files.count) {
		sources[count] = (struct bundle_source){
			.name = blocks->files.items[count].name,
			.fd = fd,
			.size_bytes = 10000,
		};
		count++;
	}
	need(blocks_plan(blocks, sources, count, &plan, &err) == 0);
	for (size_t i = 0; i < count; i++)
		check_source(&sources[i]);
}

/* What is read can be written, and reads again as the same. */
static void fuzz_parse(const void *data, size_t len, int dirfd, int fd)
{
	autoblocks struct blocks blocks = { 0 }, again = { 0 };
	autobuf struct buf back = { 0 };
	struct err err = { 0 };

	if (blocks_parse(data, len, &blocks, &err) < 0) {
		need(err.code == ERR_DATA && err.msg[0] != '\0' && !blocks.base);
		return;
	}
	need(blocks_write(dirfd, &blocks, &err) == 0);
	need(blocks_read(dirfd, &again, &err) == 1);
	need(fsx_read(dirfd, BLOCKS_NAME, BLOCKS_BYTES_MAX, &back, &err) == 1);
	need(back.len == len && memcmp(back.data, data, len) == 0);
	fuzz_plan(&blocks, fd);
}

static int make_source(void)
{
	int fd = memfd_create("source", MFD_CLOEXEC);

	need(fd >= 0 && ftruncate(fd, 10000) == 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	static int dirfd = -1, fd;
	autobuf struct buf right = { 0 };
	unsigned char digest[HASH_CONTENT_SIZE];

	if (dirfd < 0) {
		dirfd = scratch();
		fd = make_source();
	}
	fuzz_parse(data, len, dirfd, fd);
	buf_append(&right, data, len);
	hash_content(buf_str(&right), right.len, digest);
	buf_append(&right, digest, sizeof digest);
	fuzz_parse(right.data, right.len, dirfd, fd);
	return 0;
}
