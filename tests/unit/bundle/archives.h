/* Archives made by hand with libarchive, good and hostile. */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "base/buf.h"
#include "fixture.h"

/* One archive being made. */
struct forge {
	struct archive *archive;
	struct buf out;
};

static inline la_ssize_t forge_write(struct archive *archive, void *ctx, const void *data,
				     size_t len)
{
	(void)archive;
	buf_append(ctx, data, len);
	return (la_ssize_t)len;
}

typedef int forge_filter(struct archive *archive);

static inline void forge_open(struct forge *forge, forge_filter *filter)
{
	*forge = (struct forge){ .archive = archive_write_new() };
	assert_int_equal(archive_write_set_format_pax_restricted(forge->archive), ARCHIVE_OK);
	if (filter)
		assert_int_equal(filter(forge->archive), ARCHIVE_OK);
	archive_write_set_bytes_per_block(forge->archive, 4096);
	archive_write_set_bytes_in_last_block(forge->archive, 1);
	assert_int_equal(archive_write_open(forge->archive, &forge->out, NULL, forge_write, NULL),
			 ARCHIVE_OK);
}

static inline struct archive_entry *forge_entry(const char *name, size_t len)
{
	struct archive_entry *entry = archive_entry_new();

	archive_entry_copy_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_size(entry, (la_int64_t)len);
	return entry;
}

/* Takes the entry. */
static inline void forge_put(struct forge *forge, struct archive_entry *entry, const void *data,
			     size_t len)
{
	assert_true(archive_write_header(forge->archive, entry) >= ARCHIVE_WARN);
	if (len > 0)
		assert_int_equal(archive_write_data(forge->archive, data, len), (la_ssize_t)len);
	archive_entry_free(entry);
}

static inline void forge_file(struct forge *forge, const char *name, const void *data, size_t len)
{
	forge_put(forge, forge_entry(name, len), data, len);
}

static inline void forge_manifest(struct forge *forge, const struct bundle_manifest *manifest)
{
	autobuf struct buf text = { 0 };

	bundle_manifest_write(manifest, &text);
	forge_file(forge, BUNDLE_MANIFEST_NAME, buf_str(&text), text.len);
}

static inline void forge_close(struct forge *forge)
{
	if (forge->archive) {
		assert_int_equal(archive_write_close(forge->archive), ARCHIVE_OK);
		archive_write_free(forge->archive);
	}
	forge->archive = NULL;
}

/* All of it once more through a filter, as bytes. */
static inline void forge_wrap(struct forge *forge, forge_filter *filter)
{
	struct archive_entry *entry = archive_entry_new();
	struct forge outer = { .archive = archive_write_new() };

	forge_close(forge);
	archive_write_set_format_raw(outer.archive);
	if (filter)
		filter(outer.archive);
	archive_write_set_bytes_in_last_block(outer.archive, 1);
	assert_int_equal(archive_write_open(outer.archive, &outer.out, NULL, forge_write, NULL),
			 ARCHIVE_OK);
	archive_entry_set_filetype(entry, AE_IFREG);
	forge_put(&outer, entry, forge->out.data, forge->out.len);
	forge_close(&outer);
	buf_free(&forge->out);
	forge->out = outer.out;
}

static inline void forge_free(struct forge *forge)
{
	forge_close(forge);
	buf_free(&forge->out);
}
#define autoforge CLEANUP(forge_free)

static inline int forge_unpack(struct forge *forge, int dirfd, const struct bundle_limits *limits,
			       struct err *err)
{
	automanifest struct bundle_manifest manifest = { 0 };
	autospool struct spool *spool = NULL;

	forge_close(forge);
	spool = spool_from(forge->out.data, forge->out.len);
	return bundle_unpack(spool, dirfd, limits, &manifest, err);
}

/* ---- a bundle of "a" and "b", with something wrong in it ---- */

typedef void forge_attack(struct forge *forge, struct bundle_manifest *manifest);

static inline void forge_a(struct forge *forge)
{
	forge_file(forge, "a", "content a", 9);
}

static inline void forge_b(struct forge *forge)
{
	forge_file(forge, "b", "content b", 9);
}

static inline void forge_good(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_a(forge);
	forge_b(forge);
}

static inline void forge_ab(struct forge *forge, forge_filter *filter, forge_attack *attack)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");

	add_file(&manifest, "a", "content a", 9);
	add_file(&manifest, "b", "content b", 9);
	forge_open(forge, filter);
	attack(forge, &manifest);
}
