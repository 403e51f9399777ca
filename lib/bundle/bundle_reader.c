#include "bundle/bundle_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/quote.h"
#include "bundle/bundle_file.h"

#define TAR_BLOCK UINT64_C(512)
#define TAR_END (2 * TAR_BLOCK)
/* Beyond its content an entry is its header and, for a long name, a pax header. */
#define ENTRY_OVERHEAD_MAX UINT64_C(8192)
/* What one more piece of the stream can bring before anybody looks at it. */
#define DECODED_SLACK (UINT64_C(1) << 20)

void bundle_reader_close(struct bundle_reader *reader)
{
	if (reader->tar)
		archive_read_free(reader->tar);
	bundle_stream_close(&reader->stream);
}

static la_ssize_t from_stream(struct archive *tar, void *ctx, const void **data_r)
{
	struct bundle_reader *reader = ctx;
	ssize_t n = bundle_stream_next(&reader->stream, data_r, &reader->stream_err);

	if (n < 0)
		archive_set_error(tar, EIO, "%s", reader->stream_err.msg);
	return n;
}

static int tar_failed(const struct bundle_reader *reader, struct err *err)
{
	const char *reason = archive_error_string(reader->tar);

	if (reader->stream_err.code != ERR_NONE) {
		if (err)
			*err = reader->stream_err;
		return -1;
	}
	return err_set(err, ERR_DATA, "damaged or cut short: %s",
		       reason ? reason : "unknown error");
}

int bundle_reader_open(struct bundle_reader *reader, const struct spool *in, struct err *err)
{
	if (bundle_stream_open(&reader->stream, in, err) < 0)
		return -1;
	reader->stream.decoded_max = BUNDLE_MANIFEST_MAX + DECODED_SLACK;
	reader->tar = archive_read_new();
	if (!reader->tar)
		abort();
	if (archive_read_support_format_tar(reader->tar) != ARCHIVE_OK ||
	    archive_read_open(reader->tar, reader, NULL, from_stream, NULL) != ARCHIVE_OK)
		return tar_failed(reader, err);
	return 0;
}

/* ---- entries ---- */

static const char *type_name(struct archive_entry *entry)
{
	if (archive_entry_hardlink(entry))
		return "a hard link";
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return archive_entry_sparse_count(entry) > 0 ? "a sparse file" : NULL;
	case AE_IFLNK:
		return "a symbolic link";
	case AE_IFDIR:
		return "a directory";
	case AE_IFCHR:
	case AE_IFBLK:
		return "a device";
	case AE_IFIFO:
		return "a fifo";
	default:
		return "of an unknown type";
	}
}

/* Names are compared as the bytes that they are; a name that this locale can't
 * show is still there as UTF-8. */
static const char *name_of(struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);

	if (!name)
		name = archive_entry_pathname_utf8(entry);
	return name ? name : "";
}

int bundle_reader_entry(struct bundle_reader *reader, struct err *err)
{
	struct archive_entry *entry;
	int result = archive_read_next_header(reader->tar, &entry);
	const char *type;

	if (result == ARCHIVE_EOF)
		return 0;
	if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
		return tar_failed(reader, err);
	reader->name = name_of(entry);
	reader->size_bytes = archive_entry_size(entry);
	reader->position = 0;
	type = type_name(entry);
	if (type)
		return err_set(err, ERR_DATA, "%s is %s", quote_str(reader->name).s, type);
	/* A warning: a header that libarchive could read only in part. */
	if (result == ARCHIVE_WARN) {
		tar_failed(reader, err);
		return err_prefix(err, "%s", quote_str(reader->name).s);
	}
	return 1;
}

ssize_t bundle_reader_data(struct bundle_reader *reader, const void **data_r, struct err *err)
{
	la_int64_t offset;
	size_t len = 0;
	int result;

	do
		result = archive_read_data_block(reader->tar, data_r, &len, &offset);
	while (result == ARCHIVE_OK && len == 0);
	if (result == ARCHIVE_EOF) {
		reader->entry_end = (uint64_t)archive_filter_bytes(reader->tar, 0);
		return 0;
	}
	if (result != ARCHIVE_OK) {
		tar_failed(reader, err);
		return err_prefix(err, "%s", quote_str(reader->name).s);
	}
	if (offset < 0 || (uint64_t)offset != reader->position)
		return err_set(err, ERR_DATA, "%s has a hole", quote_str(reader->name).s);
	reader->position += len;
	return (ssize_t)len;
}

/* ---- the manifest and the end ---- */

int bundle_reader_manifest(struct bundle_reader *reader, struct bundle_manifest *manifest_r,
			   struct err *err)
{
	autobuf struct buf text = { 0 };
	const void *data;
	ssize_t n;
	int found = bundle_reader_entry(reader, err);

	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_DATA, "has no manifest");
	if (strcmp(reader->name, BUNDLE_MANIFEST_NAME) != 0)
		return err_set(err, ERR_DATA, "starts with %s, not with a manifest",
			       quote_str(reader->name).s);
	if (reader->size_bytes < 0 || (uint64_t)reader->size_bytes > BUNDLE_MANIFEST_MAX)
		return err_set(err, ERR_DATA, "manifest of %" PRId64 " bytes, at most %zu can be",
			       reader->size_bytes, BUNDLE_MANIFEST_MAX);
	while ((n = bundle_reader_data(reader, &data, err)) > 0)
		buf_append(&text, data, (size_t)n);
	if (n < 0)
		return -1;
	return bundle_manifest_read(buf_str(&text), text.len, manifest_r, err);
}

void bundle_reader_expect(struct bundle_reader *reader, const struct bundle_file_vec *files)
{
	reader->stream.decoded_max = reader->stream.decoded + bundle_file_packed_sum(files) +
				     files->count * ENTRY_OVERHEAD_MAX + DECODED_SLACK;
}

int bundle_reader_end(struct bundle_reader *reader, struct err *err)
{
	uint64_t end = (reader->entry_end + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK + TAR_END;
	const void *data;
	ssize_t n;

	if ((uint64_t)archive_filter_bytes(reader->tar, 0) < end)
		return err_set(err, ERR_DATA, "damaged or cut short: no end of the archive");
	while ((n = bundle_stream_next(&reader->stream, &data, err)) > 0)
		if (reader->stream.decoded > end)
			break;
	if (n < 0)
		return -1;
	if (reader->stream.decoded > end)
		return err_set(err, ERR_DATA, "data after the end of the archive");
	return 0;
}
