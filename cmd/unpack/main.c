/* metacache-unpack: a base, and a diff on it, into a folder, or a list of what is
 * in a bundle. */
#include <stdlib.h>
#include <string.h>

#include "base/quote.h"
#include "bundle/bundle.h"
#include "bundle/bundle_name.h"
#include "dest.h"
#include "listing.h"
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
	  .help = "bundles are names of objects in obox_index_fs" },
	{ "user", 'u', TOOL_TEXT, &options.user, .arg = "USER",
	  .help = "refuse a bundle of anybody else" },
	{ "unit", '\0', TOOL_TEXT, &options.unit, .arg = "UNIT",
	  .help = "refuse a bundle of any other unit; \"\" is the root unit" },
};

#define SPEC(uses_)                                                                                \
	{                                                                                          \
		.program = "metacache-unpack", .args = "BASE [DIFF] DEST", .args_max = 3,          \
		.options = own_options, .option_count = sizeof own_options / sizeof *own_options,  \
		.uses = (uses_),                                                                   \
	}

/* One of the bundles that were named. */
struct input {
	const char *name;
	struct spool *spool;
	struct bundle_manifest manifest;
};

static void input_free(struct input *input)
{
	spool_free(&input->spool);
	bundle_manifest_free(&input->manifest);
}
#define autoinput CLEANUP(input_free)

static int check_owner(const struct bundle_manifest *manifest, struct err *err)
{
	if (options.user && strcmp(options.user, manifest->username) != 0)
		return err_set(err, ERR_DATA, "is of user %s", quote_str(manifest->username).s);
	if (options.unit && strcmp(options.unit, manifest->unit) != 0)
		return err_set(err, ERR_DATA, "is of unit %s", quote_str(manifest->unit).s);
	return 0;
}

static int load(const struct tool *tool, const char *name, struct input *input, struct err *err)
{
	const struct settings *settings = options.from_store ? &tool->settings : NULL;
	const char *temporary = getenv("TMPDIR");
	const char *dir = settings                  ? settings->spool_dir
			  : temporary && *temporary ? temporary
						    : "/tmp";

	*input = (struct input){ .name = name, .spool = spool_new(dir, IN_MEMORY_MAX) };
	if (source_read(settings, name, input->spool, err) < 0 ||
	    bundle_read_manifest(input->spool, &input->manifest, err) < 0)
		return -1;
	return check_owner(&input->manifest, err);
}

/* A base that has a bundle's name in storage, or still has it as a file, has to be
 * the one that the diff was made on. With another name its content decides. */
static int check_base(const struct input *base, const struct bundle_manifest *diff, struct err *err)
{
	const char *slash = strrchr(base->name, '/'), *name = slash ? slash + 1 : base->name;
	const struct bundle_manifest *of_base = &base->manifest;
	struct bundle_name parsed;

	if (diff->type != BUNDLE_DIFF)
		return err_set(err, ERR_DATA, "a base, where a diff is expected");
	if (strcmp(diff->username, of_base->username) != 0 ||
	    strcmp(diff->unit, of_base->unit) != 0 || strcmp(diff->unit_id, of_base->unit_id) != 0)
		return err_set(err, ERR_DATA, "is of user %s, unit %s; the base is of another",
			       quote_str(diff->username).s, quote_str(diff->unit).s);
	if (bundle_name_parse(name, &parsed) && strcmp(name, diff->base) != 0)
		return err_set(err, ERR_DATA, "builds on %s", diff->base);
	return 0;
}

static struct bundle_limits limits_of(const struct input *input)
{
	bool is_fts = strcmp(input->manifest.unit_id, "fts") == 0;

	return (struct bundle_limits){ .depth_max = is_fts ? FTS_DEPTH_MAX : 1 };
}

static int unpack(struct tool *tool, const struct input *base, const char *path, struct dest *dest)
{
	const struct bundle_limits limits = limits_of(base);
	automanifest struct bundle_manifest manifest = { 0 };
	struct err err = { 0 };

	if (dest_stage(dest, &err) < 0)
		return tool_error(tool, path, &err);
	if (bundle_unpack(base->spool, dest->fd, &limits, &manifest, &err) < 0)
		return tool_error(tool, err.code == ERR_DATA ? base->name : path, &err);
	return 0;
}

/* The base is unpacked in a folder of its own, which is removed in the end. */
static int apply(struct tool *tool, const struct input *base, const char *name, const char *path,
		 struct dest *dest)
{
	const struct bundle_limits limits = limits_of(base);
	automanifest struct bundle_manifest manifest = { 0 };
	autodest struct dest aside = { .parent = -1, .fd = -1 };
	autoinput struct input diff = { 0 };
	struct err err = { 0 };
	int code;

	if (load(tool, name, &diff, &err) < 0 || check_base(base, &diff.manifest, &err) < 0)
		return tool_error(tool, name, &err);
	if (dest_open(&aside, path, &err) < 0)
		return tool_error(tool, path, &err);
	code = unpack(tool, base, path, &aside);
	if (code != 0)
		return code;
	if (dest_stage(dest, &err) < 0)
		return tool_error(tool, path, &err);
	if (bundle_apply(diff.spool, aside.fd, dest->fd, &limits, &manifest, &err) < 0)
		return tool_error(tool, err.code == ERR_DATA ? name : path, &err);
	return 0;
}

static int run(struct tool *tool)
{
	char **args = tool->args.items;
	size_t count = tool->args.count;
	autoinput struct input base = { 0 };
	autodest struct dest dest = { .parent = -1, .fd = -1 };
	const char *path;
	struct err err = { 0 };
	int code;

	if (options.list ? count != 1 : count < 2) {
		err_set(&err, ERR_USAGE,
			options.list ? "--list takes a BUNDLE" : "a BASE and a DEST are needed");
		return tool_error(tool, NULL, &err);
	}
	path = options.list ? NULL : args[count - 1];
	if (path && dest_open(&dest, path, &err) < 0)
		return tool_error(tool, path, &err);
	if (load(tool, args[0], &base, &err) < 0)
		return tool_error(tool, args[0], &err);
	if (options.list)
		return listing_print(tool, &base.manifest);
	code = count == 2 ? unpack(tool, &base, path, &dest)
			  : apply(tool, &base, args[1], path, &dest);
	if (code != 0)
		return code;
	return dest_commit(&dest, &err) < 0 ? tool_error(tool, path, &err) : 0;
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

	return tool_main(names_store(argc, argv) ? &with_settings : &without, run, argc, argv);
}
