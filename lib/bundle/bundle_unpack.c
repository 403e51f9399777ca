#include "bundle/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/quote.h"
#include "bundle/bundle_file.h"
#include "bundle/bundle_stream.h"

#define TAR_BLOCK UINT64_C(512)
#define TAR_END (2 * TAR_BLOCK)
/* Beyond its content an entry is its header and, for a long name, a pax header. */
#define ENTRY_OVERHEAD_MAX UINT64_C(8192)
/* What one more piece of the stream can bring before anybody looks at it. */
#define DECODED_SLACK (UINT64_C(1) << 20)
#define TOTAL_BYTES_DEFAULT (UINT64_C(64) << 30)

/* Two readers, one on top of the other: the stream takes the compression off,
 * `tar` sees only plain bytes. So it is known to the byte where the archive ended
 * and what came after it. */
struct unpack {
	struct bundle_stream stream;
	struct err stream_err; /* why the stream failed below `tar` */
	struct archive *tar;
	struct archive_entry *entry; /* the one being read; tar's */
	uint64_t entry_end;          /* where the content of the last entry ended */
};

static void unpack_end(struct unpack *unpack)
{
	if (unpack->tar)
		archive_read_free(unpack->tar);
	bundle_stream_close(&unpack->stream);
}

static la_ssize_t from_stream(struct archive *tar, void *ctx, const void **data_r)
{
	struct unpack *unpack = ctx;
	ssize_t n = bundle_stream_next(&unpack->stream, data_r, &unpack->stream_err);

	if (n < 0)
		archive_set_error(tar, EIO, "%s", unpack->stream_err.msg);
	return n;
}

static int tar_failed(const struct unpack *unpack, struct err *err)
{
	const char *reason = archive_error_string(unpack->tar);

	if (unpack->stream_err.code != ERR_NONE) {
		if (err)
			*err = unpack->stream_err;
		return -1;
	}
	return err_set(err, ERR_DATA, "damaged or cut short: %s",
		       reason ? reason : "unknown error");
}

static int unpack_begin(struct unpack *unpack, const struct spool *in, struct err *err)
{
	if (bundle_stream_open(&unpack->stream, in, err) < 0)
		return -1;
	unpack->stream.decoded_max = BUNDLE_MANIFEST_MAX + DECODED_SLACK;
	unpack->tar = archive_read_new();
	if (!unpack->tar)
		abort();
	if (archive_read_support_format_tar(unpack->tar) != ARCHIVE_OK ||
	    archive_read_open(unpack->tar, unpack, NULL, from_stream, NULL) != ARCHIVE_OK)
		return tar_failed(unpack, err);
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
static const char *entry_name(struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);

	if (!name)
		name = archive_entry_pathname_utf8(entry);
	return name ? name : "";
}

/* 1 an entry with a plain file, 0 end of the archive, -1. */
static int next_entry(struct unpack *unpack, struct err *err)
{
	int result = archive_read_next_header(unpack->tar, &unpack->entry);
	const char *name, *type;

	if (result == ARCHIVE_EOF)
		return 0;
	if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
		return tar_failed(unpack, err);
	name = entry_name(unpack->entry);
	type = type_name(unpack->entry);
	if (type)
		return err_set(err, ERR_DATA, "%s is %s", quote_str(name).s, type);
	/* A warning: a header that libarchive could read only in part. */
	if (result == ARCHIVE_WARN) {
		tar_failed(unpack, err);
		return err_prefix(err, "%s", quote_str(name).s);
	}
	return 1;
}

/* The next piece of the entry's content: its length, 0 at the end, -1. */
static ssize_t next_data(struct unpack *unpack, const char *name, uint64_t position,
			 const void **data_r, struct err *err)
{
	la_int64_t offset;
	size_t len = 0;
	int result;

	do
		result = archive_read_data_block(unpack->tar, data_r, &len, &offset);
	while (result == ARCHIVE_OK && len == 0);
	if (result == ARCHIVE_EOF) {
		unpack->entry_end = (uint64_t)archive_filter_bytes(unpack->tar, 0);
		return 0;
	}
	if (result != ARCHIVE_OK) {
		tar_failed(unpack, err);
		return err_prefix(err, "%s", quote_str(name).s);
	}
	if (offset < 0 || (uint64_t)offset != position)
		return err_set(err, ERR_DATA, "%s has a hole", quote_str(name).s);
	return (ssize_t)len;
}

/* ---- the manifest ---- */

static int take_manifest(struct unpack *unpack, struct bundle_manifest *manifest_r, struct err *err)
{
	autobuf struct buf text = { 0 };
	const void *data;
	int64_t size;
	ssize_t n;
	int found = next_entry(unpack, err);

	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_DATA, "has no manifest");
	if (strcmp(entry_name(unpack->entry), BUNDLE_MANIFEST_NAME) != 0)
		return err_set(err, ERR_DATA, "starts with %s, not with a manifest",
			       quote_str(entry_name(unpack->entry)).s);
	size = archive_entry_size(unpack->entry);
	if (size < 0 || (uint64_t)size > BUNDLE_MANIFEST_MAX)
		return err_set(err, ERR_DATA, "manifest of %" PRId64 " bytes, at most %zu can be",
			       size, BUNDLE_MANIFEST_MAX);
	while ((n = next_data(unpack, BUNDLE_MANIFEST_NAME, text.len, &data, err)) > 0)
		buf_append(&text, data, (size_t)n);
	if (n < 0)
		return -1;
	return bundle_manifest_read(buf_str(&text), text.len, manifest_r, err);
}

int bundle_read_manifest(const struct spool *in, struct bundle_manifest *manifest_r,
			 struct err *err)
{
	CLEANUP(unpack_end) struct unpack unpack = { 0 };

	*manifest_r = (struct bundle_manifest){ 0 };
	if (unpack_begin(&unpack, in, err) < 0)
		return -1;
	return take_manifest(&unpack, manifest_r, err);
}

static int check_limits(const struct bundle_manifest *manifest, const struct bundle_limits *limits,
			uint64_t *total_r, struct err *err)
{
	uint64_t max =
		limits && limits->total_bytes_max ? limits->total_bytes_max : TOTAL_BYTES_DEFAULT;
	unsigned depth_max = limits && limits->depth_max ? limits->depth_max : 1;

	*total_r = 0;
	for (size_t i = 0; i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];

		if (!bundle_name_allowed(file->name, depth_max))
			return err_set(err, ERR_DATA, "name %s is not allowed in this unit",
				       quote_str(file->name).s);
		if (file->size_bytes > max - *total_r)
			return err_set(err, ERR_DATA,
				       "unpacks to more than the limit of %" PRIu64 " bytes", max);
		*total_r += file->size_bytes;
	}
	return 0;
}

/* ---- files ---- */

static int check_announced(const struct unpack *unpack, const struct bundle_manifest *manifest,
			   size_t at, struct err *err)
{
	const char *name = entry_name(unpack->entry);
	const struct bundle_file *file =
		at < manifest->files.count ? &manifest->files.items[at] : NULL;
	int64_t size = archive_entry_size(unpack->entry);
	size_t i = 0;

	if (file && strcmp(name, file->name) == 0) {
		if (size >= 0 && (uint64_t)size == file->size_bytes)
			return 0;
		return err_set(err, ERR_DATA,
			       "%s has %" PRId64 " bytes, the manifest says %" PRIu64,
			       quote_str(name).s, size, file->size_bytes);
	}
	if (strcmp(name, BUNDLE_MANIFEST_NAME) == 0)
		return err_set(err, ERR_DATA, "has a second manifest");
	while (i < manifest->files.count && strcmp(manifest->files.items[i].name, name) != 0)
		i++;
	if (i == manifest->files.count)
		return err_set(err, ERR_DATA, "%s is not in the manifest", quote_str(name).s);
	if (!file || i < at)
		return err_set(err, ERR_DATA, "%s is there twice", quote_str(name).s);
	return err_set(err, ERR_DATA, "%s is missing before %s", quote_str(file->name).s,
		       quote_str(name).s);
}

static int write_content(struct unpack *unpack, const struct bundle_file *file, int fd,
			 struct err *err)
{
	autohash struct hash_content_stream *hash = hash_content_new();
	unsigned char digest[HASH_CONTENT_SIZE];
	uint64_t position = 0;
	const void *data;
	ssize_t n;

	while ((n = next_data(unpack, file->name, position, &data, err)) > 0) {
		if ((uint64_t)n > file->size_bytes - position)
			return err_set(err, ERR_DATA, "%s has more bytes than it announces",
				       quote_str(file->name).s);
		hash_content_add(hash, data, (size_t)n);
		if (bundle_file_write(fd, file->name, data, (size_t)n, err) < 0)
			return -1;
		position += (uint64_t)n;
	}
	if (n < 0)
		return -1;
	if (position != file->size_bytes)
		return err_set(err, ERR_DATA, "%s is cut short", quote_str(file->name).s);
	hash_content_get(hash, digest);
	if (memcmp(digest, file->digest, sizeof digest) != 0)
		return err_set(err, ERR_DATA, "%s has a wrong digest", quote_str(file->name).s);
	return 0;
}

static int unpack_file(struct unpack *unpack, const struct bundle_file *file, int dirfd,
		       struct err *err)
{
	autofd int fd = bundle_file_create(dirfd, file->name, err);

	if (fd < 0 || write_content(unpack, file, fd, err) < 0)
		return -1;
	return bundle_file_finish(file, steal_fd(&fd), err);
}

static int unpack_files(struct unpack *unpack, const struct bundle_manifest *manifest, int dirfd,
			struct err *err)
{
	size_t at = 0;
	int found;

	while ((found = next_entry(unpack, err)) > 0) {
		if (check_announced(unpack, manifest, at, err) < 0 ||
		    unpack_file(unpack, &manifest->files.items[at], dirfd, err) < 0)
			return -1;
		at++;
	}
	if (found < 0)
		return -1;
	if (at < manifest->files.count)
		return err_set(err, ERR_DATA, "%s is missing",
			       quote_str(manifest->files.items[at].name).s);
	return 0;
}

/* The archive ends with just two blocks of zeros, and the stream with them. */
static int check_end(struct unpack *unpack, struct err *err)
{
	uint64_t end = (unpack->entry_end + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK + TAR_END;
	const void *data;
	ssize_t n;

	if ((uint64_t)archive_filter_bytes(unpack->tar, 0) < end)
		return err_set(err, ERR_DATA, "damaged or cut short: no end of the archive");
	while ((n = bundle_stream_next(&unpack->stream, &data, err)) > 0)
		if (unpack->stream.decoded > end)
			break;
	if (n < 0)
		return -1;
	if (unpack->stream.decoded > end)
		return err_set(err, ERR_DATA, "data after the end of the archive");
	return 0;
}

static int unpack_whole(struct unpack *unpack, const struct spool *in, int dirfd,
			const struct bundle_limits *limits, struct bundle_manifest *manifest_r,
			struct err *err)
{
	uint64_t total;

	if (unpack_begin(unpack, in, err) < 0 || take_manifest(unpack, manifest_r, err) < 0 ||
	    check_limits(manifest_r, limits, &total, err) < 0)
		return -1;
	unpack->stream.decoded_max = unpack->stream.decoded + total +
				     manifest_r->files.count * ENTRY_OVERHEAD_MAX + DECODED_SLACK;
	if (unpack_files(unpack, manifest_r, dirfd, err) < 0)
		return -1;
	return check_end(unpack, err);
}

int bundle_unpack(const struct spool *in, int dirfd, const struct bundle_limits *limits,
		  struct bundle_manifest *manifest_r, struct err *err)
{
	CLEANUP(unpack_end) struct unpack unpack = { 0 };

	*manifest_r = (struct bundle_manifest){ 0 };
	if (unpack_whole(&unpack, in, dirfd, limits, manifest_r, err) == 0)
		return 0;
	bundle_manifest_free(manifest_r);
	return -1;
}
