/* Any bytes as a manifest: what is read holds to its bounds, can be written, and
 * reads again as the same. */
#include "base/buf.h"
#include "bundle/bundle.h"
#include "bundle/bundle_name.h"
#include "fuzz.h"

static void check_ranges(const struct bundle_file *file)
{
	uint64_t end = 0;

	need(file->ranges.count <= BUNDLE_RANGES_MAX);
	for (size_t i = 0; i < file->ranges.count; i++) {
		const struct bundle_range *range = &file->ranges.items[i];

		need(range->len > 0 && range->offset >= end && range->offset <= file->size_bytes);
		need(range->len <= file->size_bytes - range->offset);
		end = range->offset + range->len;
	}
	need(bundle_file_packed_bytes(file) <= file->size_bytes);
}

static void check(const struct bundle_manifest *manifest)
{
	struct bundle_name name;

	need((manifest->type == BUNDLE_DIFF) == (manifest->base != NULL));
	need(!manifest->base || bundle_name_parse(manifest->base, &name));
	need(manifest->files.count <= BUNDLE_FILES_MAX);
	for (size_t i = 0; i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];

		need(bundle_name_allowed(file->name, UINT_MAX) && file->mode <= 0777);
		need(!file->from || (manifest->base && bundle_name_allowed(file->from, UINT_MAX)));
		need(file->from || file->ranges.count == 0);
		check_ranges(file);
	}
}

static void need_file(const struct bundle_file *a, const struct bundle_file *b)
{
	need_text(a->name, b->name);
	need_text(a->from, b->from);
	need(a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns && a->mode == b->mode);
	need(memcmp(a->digest, b->digest, sizeof a->digest) == 0);
	need(a->ranges.count == b->ranges.count);
	for (size_t i = 0; i < a->ranges.count; i++)
		need(a->ranges.items[i].offset == b->ranges.items[i].offset &&
		     a->ranges.items[i].len == b->ranges.items[i].len);
}

static void need_same(const struct bundle_manifest *a, const struct bundle_manifest *b)
{
	need(a->type == b->type && a->created_ns == b->created_ns);
	need_text(a->username, b->username);
	need_text(a->unit, b->unit);
	need_text(a->unit_id, b->unit_id);
	need_text(a->host, b->host);
	need_text(a->base, b->base);
	need_names(&a->includes, &b->includes);
	need_gone(&a->gone, &b->gone);
	need(a->files.count == b->files.count);
	for (size_t i = 0; i < a->files.count; i++)
		need_file(&a->files.items[i], &b->files.items[i]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	automanifest struct bundle_manifest manifest = { 0 }, again = { 0 };
	autobuf struct buf text = { 0 };
	struct err err = { 0 };

	if (bundle_manifest_read((const char *)data, len, &manifest, &err) < 0) {
		need(err.code == ERR_DATA && err.msg[0] != '\0' && !manifest.username);
		return 0;
	}
	check(&manifest);
	bundle_manifest_write(&manifest, &text);
	need(bundle_manifest_read(buf_str(&text), text.len, &again, &err) == 0);
	need_same(&manifest, &again);
	return 0;
}
