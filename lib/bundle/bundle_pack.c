#include "bundle/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle_check.h"
#include "bundle/bundle_file.h"
#include "bundle/bundle_source.h"

#define ZSTD_LEVEL 3

/* What goes on while one bundle is written. */
struct pack {
	struct archive *archive;
	struct archive_entry *entry;
	struct spool *out;
	struct err out_err; /* why the write callback failed */
	bool abandoned;     /* what libarchive still has to say is dropped */
	char *piece;        /* for sources that are streamed; NULL until one is */
};

static void pack_end(struct pack *pack)
{
	pack->abandoned = true;
	if (pack->entry)
		archive_entry_free(pack->entry);
	if (pack->archive)
		archive_write_free(pack->archive);
	free(pack->piece);
}

static char *pack_piece(struct pack *pack)
{
	if (!pack->piece)
		pack->piece = xmalloc(BUNDLE_SOURCE_PIECE);
	return pack->piece;
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
	if (archive_write_set_bytes_per_block(pack->archive, (int)BUNDLE_SOURCE_PIECE) !=
		    ARCHIVE_OK ||
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

static int to_archive(void *ctx, const void *data, size_t len, struct err *err)
{
	return pack_data(ctx, data, len, err);
}

/* What was read is what was seen before: when a whole file was hashed, or when the
 * caller found which of its ranges to pack. */
static int check_seen(const struct bundle_source *source,
		      const unsigned char expected[HASH_CONTENT_SIZE],
		      const unsigned char digest[HASH_CONTENT_SIZE], struct err *err)
{
	if (memcmp(digest, expected, HASH_CONTENT_SIZE) != 0)
		return bundle_source_changed(source, "changed", err);
	return 0;
}

static int hash_sources(struct pack *pack, const struct bundle_source *sources, size_t count,
			struct bundle_file *files, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (!sources[i].from && bundle_source_stream(&sources[i], pack_piece(pack), NULL,
							     NULL, files[i].digest, err) < 0)
			return -1;
	return 0;
}

static int write_streamed(struct pack *pack, const struct bundle_source *source,
			  const struct bundle_file *file, struct err *err)
{
	unsigned char digest[HASH_CONTENT_SIZE];

	if (bundle_source_stream(source, pack_piece(pack), to_archive, pack, digest, err) < 0)
		return -1;
	return check_seen(source, source->from ? source->ranges_digest : file->digest, digest, err);
}

/* What is to be packed of all sources, one after the other, into `content`. */
static int read_sources(const struct bundle_source *sources, size_t count, char *content,
			struct bundle_file *files, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		unsigned char digest[HASH_CONTENT_SIZE];

		if (!bundle_file_is_packed(&files[i]))
			continue;
		if (bundle_source_read(&sources[i], content, digest, err) < 0)
			return -1;
		if (!sources[i].from)
			memcpy(files[i].digest, digest, sizeof digest);
		else if (check_seen(&sources[i], sources[i].ranges_digest, digest, err) < 0)
			return -1;
		content += bundle_file_packed_bytes(&files[i]);
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
		uint64_t len = bundle_file_packed_bytes(file);

		if (!bundle_file_is_packed(file))
			continue;
		if (pack_header(pack, file->name, len, file->mtime_ns, file->mode, err) < 0)
			return -1;
		if (!content && write_streamed(pack, &sources[i], file, err) < 0)
			return -1;
		if (content && pack_data(pack, content, (size_t)len, err) < 0)
			return -1;
		if (content)
			content += len;
	}
	return 0;
}

static struct bundle_file file_of(const struct bundle_source *source)
{
	struct bundle_file file = {
		.name = xstrdup(source->name),
		.size_bytes = source->size_bytes,
		.mtime_ns = source->mtime_ns,
		.mode = source->mode & 0777,
	};

	if (!source->from)
		return file;
	file.from = xstrdup(source->from);
	memcpy(file.digest, source->digest, sizeof file.digest);
	for (size_t i = 0; i < source->range_count; i++)
		vec_push(&file.ranges, source->ranges[i]);
	return file;
}

/* Fill in the files, check all, and sum up what will be in the archive. */
static int list_files(struct bundle_manifest *manifest, const struct bundle_source *sources,
		      size_t count, uint64_t *packed_r, struct err *err)
{
	uint64_t total;

	bundle_check_free_files(&manifest->files);
	for (size_t i = 0; i < count; i++)
		vec_push(&manifest->files, file_of(&sources[i]));
	if (bundle_check_manifest(manifest, &total, err) < 0)
		return -1;
	*packed_r = bundle_file_packed_sum(&manifest->files);
	return 0;
}

int bundle_pack(struct bundle_manifest *manifest, const struct bundle_source *sources,
		size_t source_count, const struct bundle_compression *compression,
		struct spool *out, struct err *err)
{
	CLEANUP(pack_end) struct pack pack = { .out = out };
	autofree char *content = NULL;
	uint64_t packed;
	int result;

	if (list_files(manifest, sources, source_count, &packed, err) < 0)
		return -1;
	if (packed <= BUNDLE_READ_ONCE) {
		content = xmalloc(packed > 0 ? (size_t)packed : 1);
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
