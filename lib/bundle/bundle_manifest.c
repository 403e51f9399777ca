#include "bundle/bundle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle_check.h"
#include "json/json.h"

#define HEX_LEN ((size_t)2 * HASH_CONTENT_SIZE)

void bundle_manifest_free(struct bundle_manifest *manifest)
{
	free(manifest->username);
	free(manifest->unit);
	free(manifest->unit_id);
	free(manifest->host);
	free(manifest->base);
	str_vec_free(&manifest->includes);
	bundle_gone_free(&manifest->gone);
	bundle_check_free_files(&manifest->files);
	*manifest = (struct bundle_manifest){ 0 };
}

/* ---- as text ---- */

static void put_string(struct buf *out, const char *s)
{
	json_escape(out, s, strlen(s));
}

static void put_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, ",\n\"%s\":", name);
	put_string(out, value);
}

static void put_list(struct buf *out, const char *name, const struct str_vec *list)
{
	buf_printf(out, ",\n\"%s\":[", name);
	for (size_t i = 0; i < list->count; i++) {
		buf_puts(out, i > 0 ? ",\n" : "\n");
		put_string(out, list->items[i]);
	}
	buf_putc(out, ']');
}

static void put_gone(struct buf *out, const struct bundle_gone_vec *gone)
{
	autojson struct json *members = json_new_object();
	autobuf struct buf text = { 0 };

	if (gone->count == 0)
		return;
	bundle_gone_set(members, gone);
	json_print(members, &text);
	buf_puts(out, ",\n");
	buf_append(out, text.data + 1, text.len - 2); /* without its braces */
}

static void put_origin(struct buf *out, const struct bundle_file *file)
{
	buf_puts(out, ",\"from\":");
	put_string(out, file->from);
	for (size_t i = 0; i < file->ranges.count; i++)
		buf_printf(out, "%s[%" PRIu64 ",%" PRIu64 "]", i > 0 ? "," : ",\"ranges\":[",
			   file->ranges.items[i].offset, file->ranges.items[i].len);
	if (file->ranges.count > 0)
		buf_putc(out, ']');
}

static void put_file(struct buf *out, const struct bundle_file *file)
{
	buf_puts(out, "{\"name\":");
	put_string(out, file->name);
	buf_printf(out, ",\"size\":%" PRIu64 ",\"mtime\":%" PRId64 ",\"mode\":%u,\"digest\":\"",
		   file->size_bytes, file->mtime_ns, file->mode);
	buf_hex(out, file->digest, sizeof file->digest);
	buf_putc(out, '"');
	if (file->from)
		put_origin(out, file);
	buf_putc(out, '}');
}

void bundle_manifest_write(const struct bundle_manifest *manifest, struct buf *out)
{
	buf_printf(out, "{\"version\":%d,\n\"type\":\"%s\"", BUNDLE_FORMAT_VERSION,
		   manifest->type == BUNDLE_BASE ? "base" : "diff");
	put_member(out, "username", manifest->username);
	put_member(out, "unit", manifest->unit);
	put_member(out, "unit_id", manifest->unit_id);
	put_member(out, "host", manifest->host);
	if (manifest->base)
		put_member(out, "base", manifest->base);
	buf_printf(out, ",\n\"created\":%" PRId64, manifest->created_ns);
	put_list(out, "includes", &manifest->includes);
	put_gone(out, &manifest->gone);
	buf_puts(out, ",\n\"files\":[");
	for (size_t i = 0; i < manifest->files.count; i++) {
		buf_puts(out, i > 0 ? ",\n" : "\n");
		put_file(out, &manifest->files.items[i]);
	}
	buf_puts(out, "]}\n");
}

/* ---- from text ---- */

/* 1, 0 absent, -1. */
static int read_optional(const struct json *root, const char *name, char **text_r, struct err *err)
{
	const char *text;
	int found = json_get_str(root, name, &text, err);

	if (found > 0)
		*text_r = xstrdup(text);
	return found;
}

static int read_text(const struct json *root, const char *name, char **text_r, struct err *err)
{
	return json_need(read_optional(root, name, text_r, err), name, err);
}

static int read_version(const struct json *root, struct err *err)
{
	uint64_t version;

	if (json_need(json_get_uint(root, "version", &version, err), "version", err) < 0)
		return -1;
	if (version == BUNDLE_FORMAT_VERSION)
		return 0;
	err_set(err, ERR_DATA, "member \"version\": %" PRIu64 ", this program reads %d", version,
		BUNDLE_FORMAT_VERSION);
	if (version > BUNDLE_FORMAT_VERSION)
		err_hint(err, "it was written by a newer version of metacache-tools");
	return -1;
}

static int read_type(const struct json *root, enum bundle_type *type_r, struct err *err)
{
	const char *type;

	if (json_need(json_get_str(root, "type", &type, err), "type", err) < 0)
		return -1;
	*type_r = strcmp(type, "diff") == 0 ? BUNDLE_DIFF : BUNDLE_BASE;
	if (*type_r == BUNDLE_BASE && strcmp(type, "base") != 0)
		return err_set(err, ERR_DATA, "member \"type\": %s is neither base nor diff",
			       quote_str(type).s);
	return 0;
}

static int read_list(const struct json *root, const char *name, struct str_vec *list,
		     struct err *err)
{
	const struct json *array;
	int found = json_get_array(root, name, &array, err);

	if (found <= 0)
		return found;
	for (size_t i = 0; i < json_count(array); i++) {
		const char *text = json_item_str(json_at(array, i));

		if (!text)
			return err_set(err, ERR_DATA, "member \"%s\": item %zu is no text", name,
				       i);
		vec_push(list, xstrdup(text));
	}
	return 0;
}

/* Of a character that was seen to be a hex digit. */
static unsigned hex_value(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static int read_digest(const struct json *item, unsigned char digest_r[HASH_CONTENT_SIZE],
		       struct err *err)
{
	const char *hex;

	if (json_need(json_get_str(item, "digest", &hex, err), "digest", err) < 0)
		return -1;
	if (strlen(hex) != HEX_LEN || strspn(hex, "0123456789abcdef") != HEX_LEN)
		return err_set(err, ERR_DATA, "member \"digest\": %s is not %zu hex digits",
			       quote_str(hex).s, HEX_LEN);
	for (size_t i = 0; i < HASH_CONTENT_SIZE; i++)
		digest_r[i] =
			(unsigned char)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
	return 0;
}

static int read_mode(const struct json *item, unsigned *mode_r, struct err *err)
{
	uint64_t mode;

	if (json_need(json_get_uint(item, "mode", &mode, err), "mode", err) < 0)
		return -1;
	if (mode > 0777)
		return err_set(err, ERR_DATA, "member \"mode\": %" PRIu64 " is more than 0777",
			       mode);
	*mode_r = (unsigned)mode;
	return 0;
}

static int read_ranges(const struct json *item, struct bundle_range_vec *ranges, struct err *err)
{
	const struct json *array;
	int found = json_get_array(item, "ranges", &array, err);

	if (found <= 0)
		return found;
	if (json_count(array) > BUNDLE_RANGES_MAX)
		return err_set(err, ERR_DATA, "member \"ranges\": %zu of them, at most %d can be",
			       json_count(array), BUNDLE_RANGES_MAX);
	for (size_t i = 0; i < json_count(array); i++) {
		const struct json *pair = json_at(array, i);
		struct bundle_range range;

		if (json_count(pair) != 2 || !json_item_uint(json_at(pair, 0), &range.offset) ||
		    !json_item_uint(json_at(pair, 1), &range.len))
			return err_set(err, ERR_DATA,
				       "member \"ranges\": item %zu is not an offset and a length",
				       i);
		vec_push(ranges, range);
	}
	return 0;
}

/* The name goes to the vector's care at once, so that nothing leaks on errors. */
static int read_file(const struct json *item, struct bundle_file_vec *files, struct err *err)
{
	struct bundle_file file = { 0 };
	struct bundle_file *at;

	if (read_text(item, "name", &file.name, err) < 0)
		return -1;
	vec_push(files, file);
	at = &files->items[files->count - 1];
	if (json_need(json_get_uint(item, "size", &at->size_bytes, err), "size", err) < 0 ||
	    json_need(json_get_int(item, "mtime", &at->mtime_ns, err), "mtime", err) < 0 ||
	    read_mode(item, &at->mode, err) < 0 || read_digest(item, at->digest, err) < 0 ||
	    read_optional(item, "from", &at->from, err) < 0 ||
	    read_ranges(item, &at->ranges, err) < 0)
		return err_prefix(err, "file %s", quote_str(at->name).s);
	return 0;
}

static int read_files(const struct json *root, struct bundle_file_vec *files, struct err *err)
{
	const struct json *array;

	if (json_need(json_get_array(root, "files", &array, err), "files", err) < 0)
		return -1;
	if (json_count(array) > BUNDLE_FILES_MAX)
		return err_set(err, ERR_DATA, "member \"files\": %zu of them, at most %d can be",
			       json_count(array), BUNDLE_FILES_MAX);
	for (size_t i = 0; i < json_count(array); i++)
		if (read_file(json_at(array, i), files, err) < 0)
			return -1;
	return 0;
}

static int read_members(const struct json *root, struct bundle_manifest *manifest_r,
			struct err *err)
{
	if (read_version(root, err) < 0 || read_type(root, &manifest_r->type, err) < 0 ||
	    read_text(root, "username", &manifest_r->username, err) < 0 ||
	    read_text(root, "unit", &manifest_r->unit, err) < 0 ||
	    read_text(root, "unit_id", &manifest_r->unit_id, err) < 0 ||
	    read_text(root, "host", &manifest_r->host, err) < 0 ||
	    json_need(json_get_int(root, "created", &manifest_r->created_ns, err), "created", err) <
		    0 ||
	    read_optional(root, "base", &manifest_r->base, err) < 0 ||
	    read_list(root, "includes", &manifest_r->includes, err) < 0 ||
	    bundle_gone_read(root, &manifest_r->gone, err) < 0)
		return -1;
	return read_files(root, &manifest_r->files, err);
}

static int read_checked(const char *text, size_t len, struct bundle_manifest *manifest_r,
			struct err *err)
{
	autojson struct json *root = NULL;
	uint64_t total;

	if (json_parse(text, len, &root, err) < 0 || read_members(root, manifest_r, err) < 0) {
		if (err)
			err->code = ERR_DATA;
		return err_prefix(err, "manifest");
	}
	return bundle_check_manifest(manifest_r, &total, err);
}

int bundle_manifest_read(const char *text, size_t len, struct bundle_manifest *manifest_r,
			 struct err *err)
{
	*manifest_r = (struct bundle_manifest){ 0 };
	if (read_checked(text, len, manifest_r, err) == 0)
		return 0;
	bundle_manifest_free(manifest_r);
	return -1;
}
