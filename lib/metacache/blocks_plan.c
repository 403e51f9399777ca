#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle_source.h"
#include "metacache/blocks.h"

#define RANGE_BYTES 24 /* what one more range costs in the manifest, about */
#define MATCHES_MAX 3  /* by inode, by name, and NAME.log for NAME.log.2 */

void blocks_plan_free(struct blocks_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		vec_free(&plan->ranges[i]);
	free(plan->ranges);
	*plan = (struct blocks_plan){ 0 };
}

/* ---- files of the base by inode ---- */

static int by_inode(const void *a, const void *b)
{
	const struct blocks_file *x = *(const struct blocks_file *const *)a;
	const struct blocks_file *y = *(const struct blocks_file *const *)b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

static const struct blocks_file **sort_by_inode(const struct blocks *blocks)
{
	size_t count = blocks->files.count;
	const struct blocks_file **sorted = xreallocarray(NULL, count + 1, sizeof *sorted);

	for (size_t i = 0; i < count; i++)
		sorted[i] = &blocks->files.items[i];
	qsort(sorted, count, sizeof *sorted, by_inode);
	return sorted;
}

static const struct blocks_file *find_inode(const struct blocks_file **sorted, size_t count,
					    uint64_t ino)
{
	const struct blocks_file wanted = { .ino = ino }, *key = &wanted;
	const struct blocks_file **found =
		ino == 0 ? NULL : bsearch(&key, sorted, count, sizeof key, by_inode);

	return found ? *found : NULL;
}

/* ---- comparing one source with files of the base ---- */

/* What of the source is not in this file of the base. */
struct match {
	const struct blocks_file *file;
	struct bundle_range_vec ranges;
	uint64_t bytes; /* of the ranges */
	struct hash_content_stream *hash;
};

struct look {
	struct match matches[MATCHES_MAX];
	size_t count;
	uint64_t position; /* of the next block */
};

static void look_end(struct look *look)
{
	for (size_t i = 0; i < look->count; i++) {
		vec_free(&look->matches[i].ranges);
		hash_content_free(&look->matches[i].hash);
	}
}

/* A file whose blocks are not known can't be compared with. */
static void add_match(struct look *look, const struct blocks_file *file)
{
	if (!file || (file->hashes.len == 0 && file->size_bytes > 0))
		return;
	for (size_t i = 0; i < look->count; i++)
		if (look->matches[i].file == file)
			return;
	look->matches[look->count++] = (struct match){ .file = file, .hash = hash_content_new() };
}

/* What is now NAME.log.2 was NAME.log before the log rotated. */
static const struct blocks_file *before_rotation(const struct blocks *blocks, const char *name)
{
	static const char end[] = ".log.2";
	size_t len = strlen(name);
	autofree char *log = NULL;

	if (len < sizeof end || strcmp(name + len - (sizeof end - 1), end) != 0)
		return NULL;
	log = xstrndup(name, len - 2);
	return blocks_find(blocks, log);
}

/* One more range than there can be stands for too many. */
static void add_range(struct match *match, uint64_t offset, const void *data, size_t len)
{
	struct bundle_range_vec *ranges = &match->ranges;
	struct bundle_range *last;

	if (len == 0 || ranges->count > BUNDLE_RANGES_MAX)
		return;
	hash_content_add(match->hash, data, len);
	match->bytes += len;
	if (ranges->count > 0) {
		last = &ranges->items[ranges->count - 1];
		if (last->offset + last->len == offset) {
			last->len += len;
			return;
		}
	}
	vec_push(ranges, ((struct bundle_range){ offset, len }));
}

/* How many bytes of the block are as in the base: those of its block there (which
 * may be its last, and shorter), or none. */
static size_t same_bytes(const struct blocks_file *file, uint64_t offset, const void *data,
			 size_t len)
{
	unsigned char digest[HASH_CONTENT_SIZE];
	uint64_t left = offset < file->size_bytes ? file->size_bytes - offset : 0;
	size_t base_len = left < BUNDLE_BLOCK ? (size_t)left : BUNDLE_BLOCK;

	if (base_len == 0 || base_len > len)
		return 0;
	hash_content(data, base_len, digest);
	return memcmp(digest, file->hashes.data + offset / BUNDLE_BLOCK * sizeof digest,
		      sizeof digest) == 0
		       ? base_len
		       : 0;
}

static int look_at_piece(void *ctx, const void *data, size_t len, struct err *err)
{
	struct look *look = ctx;
	const char *at = data;

	(void)err;
	while (len > 0) {
		size_t n = len < BUNDLE_BLOCK ? len : BUNDLE_BLOCK;

		for (size_t i = 0; i < look->count; i++) {
			struct match *match = &look->matches[i];
			size_t same = same_bytes(match->file, look->position, at, n);

			add_range(match, look->position + same, at + same, n - same);
		}
		look->position += n;
		at += n;
		len -= n;
	}
	return 0;
}

static uint64_t cost_of(const struct match *match)
{
	return match->ranges.count > BUNDLE_RANGES_MAX
		       ? UINT64_MAX
		       : match->bytes + match->ranges.count * RANGE_BYTES;
}

static struct match *cheapest(struct look *look)
{
	struct match *best = &look->matches[0];

	for (size_t i = 1; i < look->count; i++)
		if (cost_of(&look->matches[i]) < cost_of(best))
			best = &look->matches[i];
	return best;
}

/* Takes the ranges over. */
static void use_match(struct match *match, struct bundle_source *source,
		      struct bundle_range_vec *ranges_r)
{
	*ranges_r = match->ranges;
	match->ranges = (struct bundle_range_vec){ 0 };
	source->from = match->file->name;
	source->ranges = ranges_r->items;
	source->range_count = ranges_r->count;
	hash_content_get(match->hash, source->ranges_digest);
}

/* ---- the plan ---- */

struct planning {
	const struct blocks *blocks;
	const struct blocks_file **inodes; /* its files, sorted by inode */
	char *piece;
};

static void planning_end(struct planning *planning)
{
	free(planning->inodes);
	free(planning->piece);
}

static int compare_source(const struct planning *planning, struct look *look,
			  struct bundle_source *source, struct bundle_range_vec *ranges_r,
			  struct err *err)
{
	struct match *best;

	if (look->count == 0)
		return 0;
	if (bundle_source_stream(source, planning->piece, look_at_piece, look, source->digest,
				 err) < 0)
		return -1;
	best = cheapest(look);
	if (cost_of(best) <= source->size_bytes)
		use_match(best, source, ranges_r);
	return 0;
}

static int plan_source(const struct planning *planning, struct bundle_source *source,
		       struct bundle_range_vec *ranges_r, struct err *err)
{
	const struct blocks *blocks = planning->blocks;
	CLEANUP(look_end) struct look look = { .count = 0 };
	const struct blocks_file *file;
	struct fsx_stat st;

	if (fsx_fstat(source->fd, &st) < 0)
		return err_sys(err, errno, "look at %s", quote_str(source->name).s);
	file = find_inode(planning->inodes, blocks->files.count, st.ino);
	if (file && file->size_bytes == source->size_bytes && file->mtime_ns == source->mtime_ns) {
		blocks_keep(file, source);
		return 0;
	}
	add_match(&look, file);
	add_match(&look, blocks_find(blocks, source->name));
	add_match(&look, before_rotation(blocks, source->name));
	return compare_source(planning, &look, source, ranges_r, err);
}

static uint64_t travel_bytes(const struct bundle_source *source)
{
	uint64_t bytes = 0;

	if (!source->from)
		return source->size_bytes;
	for (size_t i = 0; i < source->range_count; i++)
		bytes += source->ranges[i].len + RANGE_BYTES;
	return bytes;
}

int blocks_plan(const struct blocks *blocks, struct bundle_source *sources, size_t count,
		struct blocks_plan *plan_r, struct err *err)
{
	CLEANUP(planning_end)
	struct planning planning = {
		.blocks = blocks,
		.inodes = sort_by_inode(blocks),
		.piece = xmalloc(BUNDLE_SOURCE_PIECE),
	};

	*plan_r = (struct blocks_plan){ .count = count };
	plan_r->ranges = xcalloc(count ? count : 1, sizeof *plan_r->ranges);
	for (size_t i = 0; i < blocks->files.count; i++)
		plan_r->base_bytes += blocks->files.items[i].size_bytes;
	for (size_t i = 0; i < count; i++) {
		if (!sources[i].from &&
		    plan_source(&planning, &sources[i], &plan_r->ranges[i], err) < 0) {
			blocks_plan_free(plan_r);
			return -1;
		}
		plan_r->travel_bytes += travel_bytes(&sources[i]);
	}
	return 0;
}
