#include "bundle/bundle_check.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/quote.h"
#include "base/utf8.h"
#include "bundle/bundle_name.h"

#define NAME_BYTES_MAX 1024
#define COMPONENT_BYTES_MAX 255
#define UNIT_DEPTH_MAX 64
#define LIST_MAX 100000
#define ID_HEX 32

/* Well-formed UTF-8 without anything that acts on a terminal. */
static bool is_clean_text(const char *s)
{
	size_t len = strlen(s);

	while (len > 0) {
		size_t n = utf8_char_len(s, len);

		if (n == 0 || utf8_is_control(s, n))
			return false;
		s += n;
		len -= n;
	}
	return true;
}

static bool component_is(const char *component, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(component, word, len) == 0;
}

static bool is_component(const char *component, size_t len)
{
	return len > 0 && len <= COMPONENT_BYTES_MAX && !component_is(component, len, ".") &&
	       !component_is(component, len, "..");
}

static bool is_ours(const char *component, size_t len)
{
	return component_is(component, len, ".state") ||
	       component_is(component, len, ".state.blocks") ||
	       component_is(component, len, BUNDLE_MANIFEST_NAME);
}

/* A relative path of at most `depth_max` components, none of them ours where
 * that matters. */
static bool is_path(const char *path, unsigned depth_max, bool allow_ours)
{
	unsigned depth = 0;

	if (strlen(path) > NAME_BYTES_MAX || !is_clean_text(path))
		return false;
	for (;;) {
		size_t len = strcspn(path, "/");

		if (++depth > depth_max || !is_component(path, len) ||
		    (!allow_ours && is_ours(path, len)))
			return false;
		if (path[len] == '\0')
			return true;
		path += len + 1;
	}
}

bool bundle_name_allowed(const char *name, unsigned depth_max)
{
	return is_path(name, depth_max, false);
}

static bool is_id(const char *id)
{
	return strlen(id) == ID_HEX && strspn(id, "0123456789abcdef") == ID_HEX;
}

static int refuse(const char *member, const char *value, struct err *err)
{
	if (!value)
		return err_set(err, ERR_DATA, "manifest: \"%s\" is missing", member);
	return err_set(err, ERR_DATA, "manifest: \"%s\" can't be %s", member, quote_str(value).s);
}

static int check_text(const char *member, const char *text, bool may_be_empty, struct err *err)
{
	if (!text || strlen(text) > NAME_BYTES_MAX || !is_clean_text(text) ||
	    (*text == '\0' && !may_be_empty))
		return refuse(member, text, err);
	return 0;
}

/* "fts", or "fts.<directory>" for a further one. */
static bool is_fts_id(const char *id)
{
	if (strncmp(id, "fts", 3) != 0)
		return false;
	return id[3] == '\0' || (id[3] == '.' && is_path(id + 4, 1, true));
}

static int check_unit(const struct bundle_manifest *manifest, struct err *err)
{
	const char *unit = manifest->unit, *id = manifest->unit_id;

	if (!unit || (*unit != '\0' && !is_path(unit, UNIT_DEPTH_MAX, true)))
		return refuse("unit", unit, err);
	if (!id || (*id != '\0' && !is_fts_id(id) && !is_id(id)))
		return refuse("unit_id", id, err);
	return 0;
}

static int check_lists(const struct bundle_manifest *manifest, struct err *err)
{
	struct bundle_name parsed;

	if (manifest->includes.count > LIST_MAX || manifest->gone.count > LIST_MAX)
		return err_set(err, ERR_DATA, "manifest: \"%s\" has more than %d entries",
			       manifest->gone.count > LIST_MAX ? "gone" : "includes", LIST_MAX);
	for (size_t i = 0; i < manifest->includes.count; i++)
		if (!bundle_name_parse(manifest->includes.items[i], &parsed))
			return refuse("includes", manifest->includes.items[i], err);
	for (size_t i = 0; i < manifest->gone.count; i++)
		if (!is_id(manifest->gone.items[i].id))
			return refuse("gone", manifest->gone.items[i].id, err);
	return 0;
}

static int check_base(const struct bundle_manifest *manifest, struct err *err)
{
	struct bundle_name parsed;

	if (manifest->created_ns < 0)
		return err_set(err, ERR_DATA, "manifest: \"created\" is before 1970");
	if (manifest->type == BUNDLE_BASE)
		return manifest->base ? refuse("base", manifest->base, err) : 0;
	if (!manifest->base || !bundle_name_parse(manifest->base, &parsed) || parsed.is_diff)
		return refuse("base", manifest->base, err);
	return 0;
}

/* The order in which a directory is followed at once by what is in it: '/' comes
 * before every character that a name can have. */
static int by_path(const void *a, const void *b)
{
	const unsigned char *x = *(unsigned char *const *)a, *y = *(unsigned char *const *)b;

	while (*x != '\0' && *x == *y)
		x++, y++;
	return (*x == '/' ? 1 : *x) - (*y == '/' ? 1 : *y);
}

static int check_duplicates(const struct bundle_file_vec *files, struct err *err)
{
	autofree char **names = xreallocarray(NULL, files->count + 1, sizeof *names);

	for (size_t i = 0; i < files->count; i++)
		names[i] = files->items[i].name;
	qsort(names, files->count, sizeof *names, by_path);
	for (size_t i = 1; i < files->count; i++) {
		size_t len = strlen(names[i - 1]);

		if (strncmp(names[i], names[i - 1], len) != 0)
			continue;
		if (names[i][len] == '\0' || names[i][len] == '/')
			return err_set(err, ERR_DATA, "manifest: file %s is there twice%s",
				       quote_str(names[i - 1]).s,
				       names[i][len] == '/' ? ", once as a directory" : "");
	}
	return 0;
}

static int check_ranges(const struct bundle_file *file, struct err *err)
{
	uint64_t end = 0;

	if (file->ranges.count > BUNDLE_RANGES_MAX)
		return err_set(err, ERR_DATA, "manifest: %s has %zu ranges, at most %d can be",
			       quote_str(file->name).s, file->ranges.count, BUNDLE_RANGES_MAX);
	for (size_t i = 0; i < file->ranges.count; i++) {
		const struct bundle_range *range = &file->ranges.items[i];

		if (range->len == 0 || range->offset < end || range->offset > file->size_bytes ||
		    range->len > file->size_bytes - range->offset)
			return err_set(
				err, ERR_DATA,
				"manifest: range %zu of %s is empty, out of order, or beyond "
				"the file",
				i, quote_str(file->name).s);
		end = range->offset + range->len;
	}
	return 0;
}

/* What a diff takes from its base; a base takes nothing from anywhere. */
static int check_origin(const struct bundle_file *file, enum bundle_type type, struct err *err)
{
	if (file->from && type != BUNDLE_DIFF)
		return err_set(err, ERR_DATA, "manifest: %s has a \"from\", but this is no diff",
			       quote_str(file->name).s);
	if (file->from && !bundle_name_allowed(file->from, BUNDLE_DEPTH_MAX))
		return err_set(err, ERR_DATA, "manifest: \"from\" %s of %s is not allowed",
			       quote_str(file->from).s, quote_str(file->name).s);
	if (!file->from && file->ranges.count > 0)
		return err_set(err, ERR_DATA, "manifest: %s has ranges, but no \"from\"",
			       quote_str(file->name).s);
	return check_ranges(file, err);
}

static int check_file(const struct bundle_file *file, enum bundle_type type, struct err *err)
{
	if (!bundle_name_allowed(file->name, BUNDLE_DEPTH_MAX))
		return err_set(err, ERR_DATA, "manifest: file name %s is not allowed",
			       quote_str(file->name).s);
	if (file->mode > 0777)
		return err_set(err, ERR_DATA, "manifest: mode %o of %s is not allowed", file->mode,
			       quote_str(file->name).s);
	return check_origin(file, type, err);
}

static int check_files(const struct bundle_manifest *manifest, uint64_t *total_r, struct err *err)
{
	const struct bundle_file_vec *files = &manifest->files;

	*total_r = 0;
	if (files->count > BUNDLE_FILES_MAX)
		return err_set(err, ERR_DATA, "manifest: %zu files, at most %d can be",
			       files->count, BUNDLE_FILES_MAX);
	for (size_t i = 0; i < files->count; i++) {
		const struct bundle_file *file = &files->items[i];

		if (file->size_bytes > (uint64_t)INT64_MAX - *total_r)
			return err_set(err, ERR_DATA, "manifest: size of %s is too large",
				       quote_str(file->name).s);
		*total_r += file->size_bytes;
		if (check_file(file, manifest->type, err) < 0)
			return -1;
	}
	return check_duplicates(files, err);
}

int bundle_check_manifest(const struct bundle_manifest *manifest, uint64_t *total_r,
			  struct err *err)
{
	if (check_text("username", manifest->username, false, err) < 0 ||
	    check_text("host", manifest->host, true, err) < 0 || check_unit(manifest, err) < 0 ||
	    check_base(manifest, err) < 0 || check_lists(manifest, err) < 0)
		return -1;
	return check_files(manifest, total_r, err);
}

void bundle_check_free_files(struct bundle_file_vec *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->items[i].name);
		free(files->items[i].from);
		vec_free(&files->items[i].ranges);
	}
	vec_free(files);
}
