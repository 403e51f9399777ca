#include "bundle/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle_check.h"

#define BLOCK ((size_t)128 * 1024)
#define ZSTD_LEVEL 3

/* What goes on while one bundle is written. */
struct pack {
	struct archive *archive;
	struct archive_entry *entry;
	struct spool *out;
	struct err out_err; /* why the write callback failed */
	bool abandoned;     /* what libarchive still has to say is dropped */
	char *block;        /* for sources that are streamed; NULL until one is */
};

static void pack_end(struct pack *pack)
{
	pack->abandoned = true;
	if (pack->entry)
		archive_entry_free(pack->entry);
	if (pack->archive)
		archive_write_free(pack->archive);
	free(pack->block);
}

static char *pack_block(struct pack *pack)
{
	if (!pack->block)
		pack->block = xmalloc(BLOCK);
	return pack->block;
}

static la_ssize_t to_spool(struct archive *archive, void *ctx, const void *data, size_t len)
{
	struct pack *pack = ctx;

	if (pack->abandoned)
		return (la_ssize_t)len;
	if (spool_write(pack->out, data, len, &pack->out_err) < 0) {
		archive_set_error(archive, EIO, "%s", pack->out_err.msg);
		return -1;
	}
	return (la_ssize_t)len;
}

/* The reason of the spool says more (disk full) than what libarchive makes of it. */
static int archive_failed(const struct pack *pack, struct err *err)
{
	const char *reason;

	if (pack->out_err.code != ERR_NONE) {
		if (err)
			*err = pack->out_err;
		return -1;
	}
	reason = archive_error_string(pack->archive);
	return err_set(err, ERR_BUG, "libarchive: %s", reason ? reason : "unknown error");
}

static int add_filter(struct pack *pack, const struct bundle_compression *compression,
		      struct err *err)
{
	static const struct {
		const char *name, *filter;
		int (*add)(struct archive *);
	} filters[] = {
		{ "zstd", "zstd", archive_write_add_filter_zstd },
		{ "gz", "gzip", archive_write_add_filter_gzip },
		{ "lz4", "lz4", archive_write_add_filter_lz4 },
		{ "none", NULL, archive_write_add_filter_none },
	};
	const char *name = compression && compression->name ? compression->name : "";
	int level = compression ? compression->level : 0;
	char option[16];
	size_t i = 0;

	while (*name != '\0' && strcmp(filters[i].name, name) != 0)
		if (++i == sizeof filters / sizeof *filters)
			return err_set(err, ERR_CONFIG,
				       "unknown compression %s (there are zstd, gz, lz4, none)",
				       quote_str(name).s);
	/* ARCHIVE_WARN is libarchive's word for "an external program would do it". */
	if (filters[i].add(pack->archive) != ARCHIVE_OK)
		return err_set(err, ERR_CONFIG, "this libarchive was built without %s",
			       filters[i].name);
	if (level == 0 && i == 0)
		level = ZSTD_LEVEL;
	if (level == 0 || !filters[i].filter)
		return 0;
	snprintf(option, sizeof option, "%d", level);
	if (archive_write_set_filter_option(pack->archive, filters[i].filter, "compression-level",
					    option) != ARCHIVE_OK)
		return err_set(err, ERR_CONFIG, "%s has no compression level %d", filters[i].name,
			       level);
	return 0;
}

static bool names_are_ascii(const struct bundle_file_vec *files)
{
	for (size_t i = 0; i < files->count; i++)
		for (const char *at = files->items[i].name; *at != '\0'; at++)
			if ((unsigned char)*at > 127)
				return false;
	return true;
}

/* Names are bytes, whatever the locale of the process that we are in. Saying so
 * costs a pax header an entry, so it is said only where there is something to say. */
static int pack_begin(struct pack *pack, const struct bundle_compression *compression,
		      const struct bundle_file_vec *files, struct err *err)
{
	pack->archive = archive_write_new();
	pack->entry = archive_entry_new();
	if (!pack->archive || !pack->entry)
		abort();
	if (archive_write_set_format_pax_restricted(pack->archive) != ARCHIVE_OK)
		return archive_failed(pack, err);
	if (!names_are_ascii(files) &&
	    archive_write_set_format_option(pack->archive, "pax", "hdrcharset", "BINARY") !=
		    ARCHIVE_OK)
		return archive_failed(pack, err);
	/* Whole blocks pass without a copy; the last one is not padded. */
	if (archive_write_set_bytes_per_block(pack->archive, (int)BLOCK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(pack->archive, 1) != ARCHIVE_OK)
		return archive_failed(pack, err);
	if (add_filter(pack, compression, err) < 0)
		return -1;
	if (archive_write_open(pack->archive, pack, NULL, to_spool, NULL) != ARCHIVE_OK)
		return archive_failed(pack, err);
	return 0;
}

/* Nothing in the header depends on who packs where: the time is cut to seconds
 * (the manifest has the rest), owner is 0 and has no name. */
static int pack_header(struct pack *pack, const char *name, uint64_t size, int64_t mtime_ns,
		       unsigned mode, struct err *err)
{
	int64_t seconds = mtime_ns / 1000000000 - (mtime_ns % 1000000000 < 0);

	archive_entry_clear(pack->entry);
	archive_entry_copy_pathname(pack->entry, name);
	archive_entry_set_filetype(pack->entry, AE_IFREG);
	archive_entry_set_perm(pack->entry, mode);
	archive_entry_set_size(pack->entry, (la_int64_t)size);
	archive_entry_set_mtime(pack->entry, seconds, 0);
	if (archive_write_header(pack->archive, pack->entry) != ARCHIVE_OK)
		return archive_failed(pack, err);
	return 0;
}

static int pack_data(struct pack *pack, const void *data, size_t len, struct err *err)
{
	if (len > 0 && archive_write_data(pack->archive, data, len) != (la_ssize_t)len)
		return archive_failed(pack, err);
	return 0;
}

static int changed(const struct bundle_source *source, const char *how, struct err *err)
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
			return changed(source, "became shorter", err);
		out += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Run through the source: into the archive too when `write` is set. */
static int stream_source(struct pack *pack, const struct bundle_source *source, bool write,
			 unsigned char digest_r[HASH_CONTENT_SIZE], struct err *err)
{
	autohash struct hash_content_stream *hash = hash_content_new();
	char *block = pack_block(pack);
	uint64_t offset = 0;

	while (offset < source->size_bytes) {
		uint64_t left = source->size_bytes - offset;
		size_t len = left < BLOCK ? (size_t)left : BLOCK;

		if (read_exact(source, offset, block, len, err) < 0)
			return -1;
		hash_content_add(hash, block, len);
		if (write && pack_data(pack, block, len, err) < 0)
			return -1;
		offset += len;
	}
	hash_content_get(hash, digest_r);
	return 0;
}

static int hash_sources(struct pack *pack, const struct bundle_source *sources, size_t count,
			struct bundle_file *files, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (stream_source(pack, &sources[i], false, files[i].digest, err) < 0)
			return -1;
	return 0;
}

static int write_streamed(struct pack *pack, const struct bundle_source *source,
			  const struct bundle_file *file, struct err *err)
{
	unsigned char digest[HASH_CONTENT_SIZE];

	if (stream_source(pack, source, true, digest, err) < 0)
		return -1;
	if (memcmp(digest, file->digest, sizeof digest) != 0)
		return changed(source, "changed", err);
	return 0;
}

/* All sources one after the other into `content`. */
static int read_sources(const struct bundle_source *sources, size_t count, char *content,
			struct bundle_file *files, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = (size_t)sources[i].size_bytes;

		if (read_exact(&sources[i], 0, content, len, err) < 0)
			return -1;
		hash_content(content, len, files[i].digest);
		content += len;
	}
	return 0;
}

static int write_manifest(struct pack *pack, const struct bundle_manifest *manifest,
			  struct err *err)
{
	autobuf struct buf text = { 0 };

	bundle_manifest_write(manifest, &text);
	if (text.len > BUNDLE_MANIFEST_MAX)
		return err_set(err, ERR_DATA, "the manifest would be %zu bytes, at most %zu can be",
			       text.len, BUNDLE_MANIFEST_MAX);
	if (pack_header(pack, BUNDLE_MANIFEST_NAME, text.len, manifest->created_ns, 0600, err) < 0)
		return -1;
	return pack_data(pack, text.data, text.len, err);
}

/* `content` is NULL when the sources are to be streamed. */
static int write_files(struct pack *pack, const struct bundle_manifest *manifest,
		       const struct bundle_source *sources, const char *content, struct err *err)
{
	for (size_t i = 0; i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];

		if (pack_header(pack, file->name, file->size_bytes, file->mtime_ns, file->mode,
				err) < 0)
			return -1;
		if (!content && write_streamed(pack, &sources[i], file, err) < 0)
			return -1;
		if (content && pack_data(pack, content, (size_t)file->size_bytes, err) < 0)
			return -1;
		if (content)
			content += file->size_bytes;
	}
	return 0;
}

static int list_files(struct bundle_manifest *manifest, const struct bundle_source *sources,
		      size_t count, uint64_t *total_r, struct err *err)
{
	*total_r = 0;
	bundle_check_free_files(&manifest->files);
	for (size_t i = 0; i < count; i++) {
		struct bundle_file file = {
			.name = xstrdup(sources[i].name),
			.size_bytes = sources[i].size_bytes,
			.mtime_ns = sources[i].mtime_ns,
			.mode = sources[i].mode & 0777,
		};

		vec_push(&manifest->files, file);
	}
	return bundle_check_manifest(manifest, total_r, err);
}

int bundle_pack(struct bundle_manifest *manifest, const struct bundle_source *sources,
		size_t source_count, const struct bundle_compression *compression,
		struct spool *out, struct err *err)
{
	CLEANUP(pack_end) struct pack pack = { .out = out };
	autofree char *content = NULL;
	uint64_t total;
	int result;

	if (list_files(manifest, sources, source_count, &total, err) < 0)
		return -1;
	if (total <= BUNDLE_READ_ONCE) {
		content = xmalloc(total > 0 ? (size_t)total : 1);
		result = read_sources(sources, source_count, content, manifest->files.items, err);
	} else {
		result = hash_sources(&pack, sources, source_count, manifest->files.items, err);
	}
	if (result < 0)
		return -1;

	if (pack_begin(&pack, compression, &manifest->files, err) < 0 ||
	    write_manifest(&pack, manifest, err) < 0 ||
	    write_files(&pack, manifest, sources, content, err) < 0)
		return -1;
	return archive_write_close(pack.archive) == ARCHIVE_OK ? 0 : archive_failed(&pack, err);
}
