#include "bundle/bundle_source.h"

#include <errno.h>
#include <unistd.h>

#include "base/quote.h"

/* All pieces of a file but its last are whole blocks. */
static void hash_blocks(const void *data, size_t len, struct buf *out)
{
	const char *at = data;

	while (len > 0) {
		size_t n = len < BUNDLE_BLOCK ? len : BUNDLE_BLOCK;

		hash_content(at, n, (unsigned char *)buf_reserve(out, HASH_CONTENT_SIZE));
		out->len += HASH_CONTENT_SIZE;
		at += n;
		len -= n;
	}
}

int bundle_source_changed(const struct bundle_source *source, const char *how, struct err *err)
{
	err_set(err, ERR_BUSY, "%s %s while it was packed", quote_str(source->name).s, how);
	return err_again(err);
}

/* Just `len` bytes of the source from `offset`. */
static int read_exact(const struct bundle_source *source, uint64_t offset, char *out, size_t len,
		      struct err *err)
{
	while (len > 0) {
		ssize_t n = pread(source->fd, out, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read %s", quote_str(source->name).s);
		if (n == 0)
			return bundle_source_changed(source, "became shorter", err);
		out += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* A whole file is one range. */
static size_t ranges_of(const struct bundle_source *source, struct bundle_range *whole,
			const struct bundle_range **ranges_r)
{
	*whole = (struct bundle_range){ .len = source->size_bytes };
	*ranges_r = source->from ? source->ranges : whole;
	return source->from ? source->range_count : 1;
}

int bundle_source_read(const struct bundle_source *source, char *content,
		       unsigned char digest_r[HASH_CONTENT_SIZE], struct err *err)
{
	struct bundle_range whole;
	const struct bundle_range *ranges;
	size_t len = 0, count = ranges_of(source, &whole, &ranges);

	for (size_t i = 0; i < count; i++) {
		if (read_exact(source, ranges[i].offset, content + len, (size_t)ranges[i].len,
			       err) < 0)
			return -1;
		len += (size_t)ranges[i].len;
	}
	hash_content(content, len, digest_r);
	if (source->blocks)
		hash_blocks(content, len, source->blocks);
	return 0;
}

static int stream_range(const struct bundle_source *source, const struct bundle_range *range,
			char *piece, bundle_source_sink *sink, void *ctx,
			struct hash_content_stream *hash, struct err *err)
{
	uint64_t done = 0;

	while (done < range->len) {
		uint64_t left = range->len - done;
		size_t len = left < BUNDLE_SOURCE_PIECE ? (size_t)left : BUNDLE_SOURCE_PIECE;

		if (read_exact(source, range->offset + done, piece, len, err) < 0)
			return -1;
		hash_content_add(hash, piece, len);
		if (sink && sink(ctx, piece, len, err) < 0)
			return -1;
		if (!sink && source->blocks)
			hash_blocks(piece, len, source->blocks);
		done += len;
	}
	return 0;
}

int bundle_source_stream(const struct bundle_source *source, char *piece, bundle_source_sink *sink,
			 void *ctx, unsigned char digest_r[HASH_CONTENT_SIZE], struct err *err)
{
	autohash struct hash_content_stream *hash = hash_content_new();
	struct bundle_range whole;
	const struct bundle_range *ranges;
	size_t count = ranges_of(source, &whole, &ranges);

	for (size_t i = 0; i < count; i++)
		if (stream_range(source, &ranges[i], piece, sink, ctx, hash, err) < 0)
			return -1;
	hash_content_get(hash, digest_r);
	return 0;
}
