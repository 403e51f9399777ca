#include "metacache/blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle_source.h"
#include "index/index_header.h"

void blocks_free(struct blocks *blocks)
{
	for (size_t i = 0; i < blocks->files.count; i++) {
		free(blocks->files.items[i].name);
		buf_free(&blocks->files.items[i].hashes);
	}
	vec_free(&blocks->files);
	free(blocks->base);
	*blocks = (struct blocks){ 0 };
}

/* Room for `count` files that stay where they are: sources point to their hashes. */
static void make_room(struct blocks *blocks, size_t count)
{
	*blocks = (struct blocks){ 0 };
	blocks->files.items = xcalloc(count ? count : 1, sizeof *blocks->files.items);
	blocks->files.cap = count;
}

static int add_source(struct blocks *blocks, struct bundle_source *source, uint64_t *hashed,
		      struct err *err)
{
	struct blocks_file *file = &blocks->files.items[blocks->files.count];
	struct fsx_stat st;

	if (fsx_fstat(source->fd, &st) < 0)
		return err_sys(err, errno, "look at %s", quote_str(source->name).s);
	*file = (struct blocks_file){
		.name = xstrdup(source->name),
		.ino = st.ino,
		.size_bytes = source->size_bytes,
		.mtime_ns = source->mtime_ns,
	};
	blocks->files.count++;
	source->blocks = NULL;
	if (source->size_bytes > BLOCKS_HASHED_MAX - *hashed)
		return 0;
	*hashed += source->size_bytes;
	source->blocks = &file->hashes;
	return 0;
}

int blocks_start(struct blocks *blocks_r, struct bundle_source *sources, size_t count,
		 struct err *err)
{
	uint64_t hashed = 0;

	make_room(blocks_r, count);
	for (size_t i = 0; i < count; i++) {
		if (add_source(blocks_r, &sources[i], &hashed, err) < 0) {
			blocks_free(blocks_r);
			return -1;
		}
	}
	return 0;
}

void blocks_finish(struct blocks *blocks, const char *base, const struct bundle_manifest *manifest)
{
	blocks->base = xstrdup(base);
	for (size_t i = 0; i < blocks->files.count; i++)
		memcpy(blocks->files.items[i].digest, manifest->files.items[i].digest,
		       HASH_CONTENT_SIZE);
}

/* One file of an unpacked base. Nobody else is at it: other content is damage. */
static int add_unpacked(struct blocks *blocks, int dirfd, const struct bundle_file *file,
			char *piece, uint64_t *hashed, struct err *err)
{
	autofd int fd = fsx_openat(dirfd, file->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
	struct bundle_source source = {
		.name = file->name,
		.fd = fd,
		.size_bytes = file->size_bytes,
		.mtime_ns = file->mtime_ns,
	};
	unsigned char digest[HASH_CONTENT_SIZE];

	if (fd < 0)
		return err_sys(err, errno, "open %s", quote_str(file->name).s);
	if (add_source(blocks, &source, hashed, err) < 0 ||
	    (source.blocks && bundle_source_stream(&source, piece, NULL, NULL, digest, err) < 0))
		return -1;
	if (source.blocks && memcmp(digest, file->digest, sizeof digest) != 0)
		return err_set(err, ERR_DATA, "%s is not what was unpacked",
			       quote_str(file->name).s);
	memcpy(blocks->files.items[blocks->files.count - 1].digest, file->digest, sizeof digest);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct blocks_file *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int blocks_from_dir(const char *base, int dirfd, const struct bundle_manifest *manifest,
		    struct blocks *blocks_r, struct err *err)
{
	autofree char *piece = xmalloc(BUNDLE_SOURCE_PIECE);
	uint64_t hashed = 0;

	make_room(blocks_r, manifest->files.count);
	blocks_r->base = xstrdup(base);
	for (size_t i = 0; i < manifest->files.count; i++) {
		if (add_unpacked(blocks_r, dirfd, &manifest->files.items[i], piece, &hashed, err) <
		    0) {
			blocks_free(blocks_r);
			return -1;
		}
	}
	qsort(blocks_r->files.items, blocks_r->files.count, sizeof *blocks_r->files.items, by_name);
	return 0;
}

void blocks_note_index(struct blocks *blocks, int index_fd, uint64_t index_bytes)
{
	struct index_header header;

	if (index_header_read(index_fd, index_bytes, &header, NULL) < 0 ||
	    header.flags & INDEX_HEADER_CORRUPTED)
		return;
	blocks->indexid = header.indexid;
	blocks->log_file_seq = header.log_file_seq;
	blocks->log_offset = header.log_file_head_offset;
}

static struct blocks_file *find(const struct blocks *blocks, const char *name)
{
	struct blocks_file key = { .name = (char *)(uintptr_t)name };

	return bsearch(&key, blocks->files.items, blocks->files.count, sizeof key, by_name);
}

const struct blocks_file *blocks_find(const struct blocks *blocks, const char *name)
{
	return find(blocks, name);
}

/* The file of the base that this one is all of. */
static struct blocks_file *same_in_base(const struct blocks *blocks, const struct bundle_file *file)
{
	struct blocks_file *base = file->from ? find(blocks, file->from) : NULL;

	return base && base->size_bytes == file->size_bytes &&
			       memcmp(base->digest, file->digest, sizeof base->digest) == 0
		       ? base
		       : NULL;
}

int blocks_identify(struct blocks *blocks, int dirfd, const struct bundle_manifest *manifest,
		    struct err *err)
{
	for (size_t i = 0; i < blocks->files.count; i++)
		blocks->files.items[i].ino = 0;
	for (size_t i = 0; i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];
		struct blocks_file *base = same_in_base(blocks, file);
		autofd int fd = -1;
		struct fsx_stat st;

		if (!base)
			continue;
		fd = fsx_openat(dirfd, file->name, O_PATH | O_NOFOLLOW, 0);
		if (fd < 0 || fsx_fstat(fd, &st) < 0)
			return err_sys(err, errno, "look at %s", quote_str(file->name).s);
		base->ino = st.ino;
		base->mtime_ns = st.mtime_ns;
	}
	return 0;
}

void blocks_keep(const struct blocks_file *file, struct bundle_source *source)
{
	source->from = file->name;
	source->size_bytes = file->size_bytes;
	source->mtime_ns = file->mtime_ns;
	source->ranges = NULL;
	source->range_count = 0;
	memcpy(source->digest, file->digest, sizeof source->digest);
}
