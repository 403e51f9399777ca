/* metacache-unpack: a bundle into a folder, or a list of what is in it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quote.h"
#include "bundle/bundle.h"
#include "dest.h"
#include "source.h"
#include "tool/tool.h"

#define IN_MEMORY_MAX ((size_t)1024 * 1024)
#define FTS_DEPTH_MAX 16

static struct {
	bool list, from_store;
	const char *user, *unit;
} options;

static const struct tool_option own_options[] = {
	{ "list", 'l', TOOL_FLAG, &options.list, .help = "only list the files" },
	{ "store", '\0', TOOL_FLAG, &options.from_store,
	  .help = "BUNDLE is the name of an object in obox_index_fs" },
	{ "user", 'u', TOOL_TEXT, &options.user, .arg = "USER",
	  .help = "refuse a bundle of anybody else" },
	{ "unit", '\0', TOOL_TEXT, &options.unit, .arg = "UNIT",
	  .help = "refuse a bundle of any other unit; \"\" is the root unit" },
};

#define SPEC(uses_)                                                                                \
	{                                                                                          \
		.program = "metacache-unpack", .args = "BUNDLE [DEST]", .args_max = 2,             \
		.options = own_options, .option_count = sizeof own_options / sizeof *own_options,  \
		.uses = (uses_),                                                                   \
	}

static const struct print_field fields[] = {
	{ .name = "name" },
	{ .name = "size", .flags = PRINT_SIZE },
	{ .name = "mtime", .flags = PRINT_TIME },
	{ .name = "mode" },
	{ .name = "digest" },
};

static int read_bundle(const struct tool *tool, const char *name, struct spool *into,
		       struct err *err)
{
	if (options.from_store)
		return source_object(&tool->settings, name, into, err);
	if (strcmp(name, "-") == 0)
		return source_descriptor(STDIN_FILENO, into, err);
	return source_file(name, into, err);
}

static int check_owner(const struct bundle_manifest *manifest, struct err *err)
{
	if (options.user && strcmp(options.user, manifest->username) != 0)
		return err_set(err, ERR_DATA, "is of user %s", quote_str(manifest->username).s);
	if (options.unit && strcmp(options.unit, manifest->unit) != 0)
		return err_set(err, ERR_DATA, "is of unit %s", quote_str(manifest->unit).s);
	return 0;
}

static int list_files(struct tool *tool, const struct bundle_manifest *manifest)
{
	autoprinter struct printer *printer =
		tool_printer(tool, "files", fields, sizeof fields / sizeof *fields);
	struct err err = { 0 };
	int ret = 0;

	if (!printer)
		return ERR_USAGE;
	for (size_t i = 0; ret == 0 && i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];
		autobuf struct buf digest = { 0 };
		char mode[16];

		buf_hex(&digest, file->digest, sizeof file->digest);
		snprintf(mode, sizeof mode, "%04o", file->mode);
		ret = print_row(printer,
				(struct print_value[]){ print_str(file->name),
							print_uint(file->size_bytes),
							print_int(file->mtime_ns / 1000000000),
							print_str(mode), print_str(digest.data) },
				&err);
	}
	if (ret == 0)
		ret = print_finish(&printer, &err);
	return ret < 0 ? tool_error(tool, NULL, &err) : 0;
}

static int unpack(struct tool *tool, const char *name, const char *path, const struct spool *spool,
		  bool is_fts, struct dest *dest)
{
	const struct bundle_limits limits = { .depth_max = is_fts ? FTS_DEPTH_MAX : 1 };
	automanifest struct bundle_manifest manifest = { 0 };
	struct err err = { 0 };

	if (dest_stage(dest, &err) < 0)
		return tool_error(tool, path, &err);
	if (bundle_unpack(spool, dest->fd, &limits, &manifest, &err) < 0)
		return tool_error(tool, err.code == ERR_DATA ? name : path, &err);
	return dest_commit(dest, &err) < 0 ? tool_error(tool, path, &err) : 0;
}

static int run(struct tool *tool)
{
	const char *temporary = getenv("TMPDIR");
	const char *dir = options.from_store        ? tool->settings.spool_dir
			  : temporary && *temporary ? temporary
						    : "/tmp";
	autospool struct spool *spool = spool_new(dir, IN_MEMORY_MAX);
	automanifest struct bundle_manifest manifest = { 0 };
	autodest struct dest dest = { .parent = -1, .fd = -1 };
	const char *name, *path;
	struct err err = { 0 };

	if (tool->args.count != (options.list ? 1 : 2)) {
		err_set(&err, ERR_USAGE,
			options.list ? "--list takes a BUNDLE" : "a BUNDLE and a DEST are needed");
		return tool_error(tool, NULL, &err);
	}
	name = tool->args.items[0];
	path = options.list ? NULL : tool->args.items[1];
	if (path && dest_open(&dest, path, &err) < 0)
		return tool_error(tool, path, &err);
	if (read_bundle(tool, name, spool, &err) < 0 ||
	    bundle_read_manifest(spool, &manifest, &err) < 0 || check_owner(&manifest, &err) < 0)
		return tool_error(tool, name, &err);
	if (options.list)
		return list_files(tool, &manifest);
	return unpack(tool, name, path, spool, strcmp(manifest.unit_id, "fts") == 0, &dest);
}

/* A bundle in a file needs no settings: they may not be there where it is looked at. */
static bool names_store(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--store") == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static const struct tool_spec with_settings = SPEC(TOOL_FORMAT);
	static const struct tool_spec without = SPEC(TOOL_FORMAT | TOOL_NO_SETTINGS);
	struct tool tool;
	int code =
		tool_start(&tool, names_store(argc, argv) ? &with_settings : &without, argc, argv);

	if (code < 0)
		code = run(&tool);
	return tool_finish(&tool, code);
}
