/* fscache-fetch: one object through the cache of mail objects. */
#include <stdlib.h>
#include <string.h>

#include "fscache/fscache.h"
#include "output.h"
#include "store/store.h"
#include "store/store_url.h"
#include "tool/tool.h"

static struct {
	const char *output, *user;
} options;

static const struct tool_option own_options[] = {
	{ "output", 'O', TOOL_TEXT, &options.output, .arg = "FILE",
	  .help = "write the object there; - is stdout" },
	{ "user", 'u', TOOL_TEXT, &options.user, .arg = "USER",
	  .help = "whose cache, where its path has %variables" },
};

static const struct tool_spec spec = {
	.program = "fscache-fetch",
	.args = "KEY",
	.args_max = 1,
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_NO_STATE,
};

enum { FIELD_KEY, FIELD_OUTCOME, FIELD_SIZE, FIELD_CACHE, FIELD_REASON, FIELDS };

static const struct print_field fields[FIELDS] = {
	[FIELD_KEY] = { .name = "key", .flags = PRINT_CUT },
	[FIELD_OUTCOME] = { .name = "outcome" },
	[FIELD_SIZE] = { .name = "size", .flags = PRINT_SIZE },
	[FIELD_CACHE] = { .name = "cache" },
	[FIELD_REASON] = { .name = "reason" },
};

static const char *outcome_name(enum fscache_outcome outcome)
{
	switch (outcome) {
	case FSCACHE_HIT:
		return "hit";
	case FSCACHE_MISS:
		return "fetched";
	case FSCACHE_PASSED:
		return "passed";
	}
	return NULL;
}

static int get(void *ctx, const char *key, struct spool *into, struct err *err)
{
	return store_get(ctx, key, into, err);
}

/* What obox_fs says. */
static int open_cache(const struct settings *settings, struct store **store_r,
		      struct fscache **cache_r, struct err *err)
{
	struct store_options store_options = {
		.spool_dir = settings->spool_dir,
		.credentials_file = getenv("AWS_SHARED_CREDENTIALS_FILE"),
	};
	struct fscache_options cache_options = {
		.user = options.user,
		.spool_dir = settings->spool_dir,
		.get = get,
	};
	autostoreurl struct store_url url = { 0 };

	if (!settings->obox_fs)
		return err_set(err, ERR_CONFIG, "obox_fs is not set: where are mails kept?");
	if (store_url_parse(settings->obox_fs, &url, err) < 0)
		return err_prefix(err, "obox_fs");
	if (!url.fscache_path)
		return err_set(err, ERR_CONFIG, "obox_fs has no fscache:");
	if (store_open(settings->obox_fs, &store_options, store_r, err) < 0)
		return err_prefix(err, "obox_fs");
	cache_options.path = url.fscache_path;
	cache_options.limit_bytes = url.fscache_limit_bytes;
	cache_options.get_ctx = *store_r;
	return fscache_new(&cache_options, cache_r, err);
}

static int print_object(struct tool *tool, const char *key, const struct fscache *cache,
			const struct fscache_object *object)
{
	autoprinter struct printer *printer = tool_printer(tool, "objects", fields, FIELDS);
	const char *trouble = object->trouble.code ? object->trouble.msg : NULL;
	struct print_value row[FIELDS] = {
		[FIELD_KEY] = print_str(key),
		[FIELD_OUTCOME] = print_str(outcome_name(object->outcome)),
		[FIELD_SIZE] = print_uint(object->size_bytes),
		[FIELD_CACHE] = print_str(fscache_path(cache)),
		[FIELD_REASON] = print_str(trouble),
	};
	struct err err = { 0 };

	if (object->outcome == FSCACHE_PASSED && !trouble)
		row[FIELD_REASON] =
			print_str("too large a share of the limit, empty, or too long a key");
	if (!printer)
		return ERR_USAGE;
	if (print_row(printer, row, &err) < 0 || print_finish(&printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return 0;
}

static int run(struct tool *tool)
{
	autostore struct store *store = NULL;
	autofscache struct fscache *cache = NULL;
	autoobject struct fscache_object object = { .fd = -1 };
	bool to_stdout = options.output && strcmp(options.output, "-") == 0;
	struct err err = { 0 };
	const char *key;
	int ret, code = 0;

	if (tool->args.count != 1) {
		err_set(&err, ERR_USAGE, "a KEY is needed");
		return tool_error(tool, NULL, &err);
	}
	key = tool->args.items[0];
	if (open_cache(&tool->settings, &store, &cache, &err) < 0)
		return tool_error(tool, NULL, &err);
	ret = fscache_open(cache, key, &object, &err);
	if (ret == 0)
		err_set(&err, ERR_NOINPUT, "no such object in %s", store_name(store));
	if (ret <= 0)
		return tool_error(tool, key, &err);
	if (options.output && output_write(&object, options.output, &err) < 0)
		return tool_error(tool, options.output, &err);
	if (!to_stdout)
		code = print_object(tool, key, cache, &object);
	if (object.trouble.code)
		code = tool_worst(code, tool_error(tool, fscache_path(cache), &object.trouble));
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
