#include "bundle/bundle.h"

#include <inttypes.h>
#include <string.h>

#include "base/quote.h"
#include "bundle/bundle_file.h"
#include "bundle/bundle_make.h"
#include "bundle/bundle_reader.h"

#define TOTAL_BYTES_DEFAULT (UINT64_C(64) << 30)

int bundle_read_manifest(const struct spool *in, struct bundle_manifest *manifest_r,
			 struct err *err)
{
	CLEANUP(bundle_reader_close) struct bundle_reader reader = { 0 };

	*manifest_r = (struct bundle_manifest){ 0 };
	if (bundle_reader_open(&reader, in, err) < 0)
		return -1;
	return bundle_reader_manifest(&reader, manifest_r, err);
}

static int check_limits(const struct bundle_manifest *manifest, const struct bundle_limits *limits,
			struct err *err)
{
	uint64_t max =
		limits && limits->total_bytes_max ? limits->total_bytes_max : TOTAL_BYTES_DEFAULT;
	unsigned depth_max = limits && limits->depth_max ? limits->depth_max : 1;
	uint64_t total = 0;

	for (size_t i = 0; i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];

		if (!bundle_name_allowed(file->name, depth_max))
			return err_set(err, ERR_DATA, "name %s is not allowed in this unit",
				       quote_str(file->name).s);
		if (file->from && !bundle_name_allowed(file->from, depth_max))
			return err_set(err, ERR_DATA, "\"from\" %s is not allowed in this unit",
				       quote_str(file->from).s);
		if (file->size_bytes > max - total)
			return err_set(err, ERR_DATA,
				       "unpacks to more than the limit of %" PRIu64 " bytes", max);
		total += file->size_bytes;
	}
	return 0;
}

/* The entry is that of the manifest's file `at`. */
static int check_announced(const struct bundle_reader *reader,
			   const struct bundle_manifest *manifest, size_t at, struct err *err)
{
	const char *name = reader->name;
	const struct bundle_file *file =
		at < manifest->files.count ? &manifest->files.items[at] : NULL;
	size_t i = 0;

	if (file && strcmp(name, file->name) == 0) {
		uint64_t packed = bundle_file_packed_bytes(file);

		if (reader->size_bytes >= 0 && (uint64_t)reader->size_bytes == packed)
			return 0;
		return err_set(err, ERR_DATA,
			       "%s has %" PRId64 " bytes, the manifest says %" PRIu64,
			       quote_str(name).s, reader->size_bytes, packed);
	}
	if (strcmp(name, BUNDLE_MANIFEST_NAME) == 0)
		return err_set(err, ERR_DATA, "has a second manifest");
	while (i < manifest->files.count && strcmp(manifest->files.items[i].name, name) != 0)
		i++;
	if (i == manifest->files.count)
		return err_set(err, ERR_DATA, "%s is not in the manifest", quote_str(name).s);
	if (!bundle_file_is_packed(&manifest->files.items[i]))
		return err_set(err, ERR_DATA, "%s is there, the manifest says that it is not",
			       quote_str(name).s);
	if (!file || i < at)
		return err_set(err, ERR_DATA, "%s is there twice", quote_str(name).s);
	return err_set(err, ERR_DATA, "%s is missing before %s", quote_str(file->name).s,
		       quote_str(name).s);
}

/* Where things are made: from the archive, and for a diff from `basefd`. */
struct unpack {
	struct bundle_reader reader;
	int basefd, dirfd;
};

static void unpack_end(struct unpack *unpack)
{
	bundle_reader_close(&unpack->reader);
}

static int make_file(struct unpack *unpack, const struct bundle_file *file, struct err *err)
{
	CLEANUP(bundle_make_close) struct bundle_make make;
	const void *data;
	ssize_t n = 0;

	if (bundle_make_open(&make, file, unpack->basefd, unpack->dirfd, err) < 0)
		return -1;
	while (bundle_file_is_packed(file) &&
	       (n = bundle_reader_data(&unpack->reader, &data, err)) > 0)
		if (bundle_make_add(&make, data, (size_t)n, err) < 0)
			return -1;
	return n < 0 ? -1 : bundle_make_finish(&make, err);
}

static int make_files(struct unpack *unpack, const struct bundle_manifest *manifest,
		      struct err *err)
{
	int found;

	for (size_t i = 0; i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];

		if (bundle_file_is_packed(file)) {
			found = bundle_reader_entry(&unpack->reader, err);
			if (found == 0)
				return err_set(err, ERR_DATA, "%s is missing",
					       quote_str(file->name).s);
			if (found < 0 || check_announced(&unpack->reader, manifest, i, err) < 0)
				return -1;
		}
		if (make_file(unpack, file, err) < 0)
			return -1;
	}
	found = bundle_reader_entry(&unpack->reader, err);
	return found > 0 ? check_announced(&unpack->reader, manifest, manifest->files.count, err)
			 : found;
}

static int check_type(const struct bundle_manifest *manifest, enum bundle_type type,
		      struct err *err)
{
	if (manifest->type == type)
		return 0;
	return err_set(err, ERR_DATA,
		       type == BUNDLE_BASE ? "a diff, which is nothing without its base"
					   : "a base, where a diff is expected");
}

static int unpack_checked(struct unpack *unpack, const struct spool *in, enum bundle_type type,
			  const struct bundle_limits *limits, struct bundle_manifest *manifest_r,
			  struct err *err)
{
	struct bundle_reader *reader = &unpack->reader;

	if (bundle_reader_open(reader, in, err) < 0 ||
	    bundle_reader_manifest(reader, manifest_r, err) < 0 ||
	    check_type(manifest_r, type, err) < 0 || check_limits(manifest_r, limits, err) < 0)
		return -1;
	bundle_reader_expect(reader, &manifest_r->files);
	if (make_files(unpack, manifest_r, err) < 0)
		return -1;
	return bundle_reader_end(reader, err);
}

static int unpack_type(struct unpack *unpack, const struct spool *in, enum bundle_type type,
		       const struct bundle_limits *limits, struct bundle_manifest *manifest_r,
		       struct err *err)
{
	*manifest_r = (struct bundle_manifest){ 0 };
	if (unpack_checked(unpack, in, type, limits, manifest_r, err) == 0)
		return 0;
	bundle_manifest_free(manifest_r);
	return -1;
}

int bundle_unpack(const struct spool *in, int dirfd, const struct bundle_limits *limits,
		  struct bundle_manifest *manifest_r, struct err *err)
{
	CLEANUP(unpack_end) struct unpack unpack = { .basefd = -1, .dirfd = dirfd };

	return unpack_type(&unpack, in, BUNDLE_BASE, limits, manifest_r, err);
}

int bundle_apply(const struct spool *in, int basefd, int dirfd, const struct bundle_limits *limits,
		 struct bundle_manifest *manifest_r, struct err *err)
{
	CLEANUP(unpack_end) struct unpack unpack = { .basefd = basefd, .dirfd = dirfd };

	return unpack_type(&unpack, in, BUNDLE_DIFF, limits, manifest_r, err);
}
