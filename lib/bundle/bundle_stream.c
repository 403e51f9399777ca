#include "bundle/bundle_stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"

#define BLOCK ((size_t)64 * 1024)

static la_ssize_t from_spool(struct archive *archive, void *ctx, const void **data_r)
{
	struct bundle_stream *stream = ctx;
	const char *memory = spool_memory(stream->in);
	ssize_t n;

	if (memory) {
		*data_r = memory + stream->offset;
		n = (ssize_t)(spool_size(stream->in) - stream->offset);
	} else {
		if (!stream->block)
			stream->block = xmalloc(BLOCK);
		*data_r = stream->block;
		n = spool_read(stream->in, stream->offset, stream->block, BLOCK, &stream->in_err);
	}
	if (n < 0)
		archive_set_error(archive, EIO, "%s", stream->in_err.msg);
	else
		stream->offset += (uint64_t)n;
	return n;
}

static int failed(struct bundle_stream *stream, struct err *err)
{
	const char *reason = archive_error_string(stream->archive);

	if (stream->in_err.code != ERR_NONE) {
		if (err)
			*err = stream->in_err;
		return -1;
	}
	return err_set(err, ERR_DATA, "damaged or cut short: %s",
		       reason ? reason : "unknown error");
}

/* ARCHIVE_WARN is libarchive's word for "an external program would do it". */
static int add_filters(struct archive *archive, struct err *err)
{
	if (archive_read_support_filter_zstd(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(archive) != ARCHIVE_OK ||
	    archive_read_support_filter_lz4(archive) != ARCHIVE_OK)
		return err_set(err, ERR_CONFIG,
			       "this libarchive was built without zstd, gz or lz4");
	return 0;
}

int bundle_stream_open(struct bundle_stream *stream, const struct spool *in, struct err *err)
{
	struct archive_entry *entry;

	*stream = (struct bundle_stream){ .in = in, .decoded_max = UINT64_MAX };
	if (spool_size(in) == 0)
		return err_set(err, ERR_DATA, "empty");
	stream->archive = archive_read_new();
	if (!stream->archive)
		abort();
	if (add_filters(stream->archive, err) < 0)
		return -1;
	/* "raw" is what is left when the filter is taken off: its bytes. */
	if (archive_read_support_format_raw(stream->archive) != ARCHIVE_OK ||
	    archive_read_open(stream->archive, stream, NULL, from_spool, NULL) != ARCHIVE_OK)
		return failed(stream, err);
	/* The filter, and the one that stands for our callback. */
	if (archive_filter_count(stream->archive) > 2)
		return err_set(err, ERR_DATA, "compressed more than once (%s in %s)",
			       archive_filter_name(stream->archive, 0),
			       archive_filter_name(stream->archive, 1));
	if (archive_read_next_header(stream->archive, &entry) != ARCHIVE_OK)
		return failed(stream, err);
	return 0;
}

/* Some filters take what follows their last frame for no business of theirs. */
static int check_used_up(const struct bundle_stream *stream, struct err *err)
{
	la_int64_t used = archive_filter_bytes(stream->archive, -1);

	if (used >= 0 && (uint64_t)used == spool_size(stream->in))
		return 0;
	return err_set(err, ERR_DATA, "data after the end of the compressed stream");
}

ssize_t bundle_stream_next(struct bundle_stream *stream, const void **data_r, struct err *err)
{
	la_int64_t offset;
	size_t len = 0;
	int result = archive_read_data_block(stream->archive, data_r, &len, &offset);

	if (result == ARCHIVE_EOF)
		return check_used_up(stream, err);
	if (result != ARCHIVE_OK)
		return failed(stream, err);
	stream->decoded += len;
	if (stream->decoded > stream->decoded_max)
		return err_set(err, ERR_DATA, "decompresses to more than the manifest announces");
	return (ssize_t)len;
}

void bundle_stream_close(struct bundle_stream *stream)
{
	if (stream->archive)
		archive_read_free(stream->archive);
	free(stream->block);
	*stream = (struct bundle_stream){ 0 };
}
