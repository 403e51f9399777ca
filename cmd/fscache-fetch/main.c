/* fscache-fetch: one object through the cache of mail objects. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quote.h"
#include "fscache/fscache.h"
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
	.uses = TOOL_FORMAT,
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

/* As for every output: whatever is wrong with stdout, and a file that can't be made. */
static int fail_as(enum err_code code, struct err *err)
{
	err->code = code;
	return -1;
}

static int write_block(int fd, const char *at, size_t len, struct err *err)
{
	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int copy(const struct fscache_object *object, int fd, struct err *err)
{
	char block[65536];
	uint64_t offset = 0;
	ssize_t n;

	while ((n = fscache_object_read(object, offset, block, sizeof block, err)) > 0) {
		if (write_block(fd, block, (size_t)n, err) < 0)
			return -1;
		offset += (uint64_t)n;
	}
	return n < 0 ? -1 : 0;
}

static int write_output(const struct fscache_object *object, struct err *err)
{
	autofd int fd = -1;

	if (strcmp(options.output, "-") == 0)
		return copy(object, STDOUT_FILENO, err) < 0 ? fail_as(ERR_IO, err) : 0;
	fd = open(options.output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		err_sys(err, errno, "open");
		return fail_as(ERR_CANTCREATE, err);
	}
	if (copy(object, fd, err) < 0)
		return -1;
	return close(steal_fd(&fd)) < 0 ? err_sys(err, errno, "close") : 0;
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
		row[FIELD_REASON] = print_str("too large a share of the limit, or too long a key");
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
	if (options.output && write_output(&object, &err) < 0)
		return tool_error(tool, options.output, &err);
	if (!to_stdout)
		code = print_object(tool, key, cache, &object);
	if (object.trouble.code)
		code = tool_worst(code, tool_error(tool, fscache_path(cache), &object.trouble));
	return code;
}

int main(int argc, char **argv)
{
	struct tool tool;
	int code = tool_start(&tool, &spec, argc, argv);

	if (code < 0)
		code = run(&tool);
	return tool_finish(&tool, code);
}
