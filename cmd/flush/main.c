/* metacache-flush: upload the changed indexes of some users. */
#include "base/clock.h"
#include "base/quote.h"
#include "base/workers.h"
#include "common/common.h"
#include "metacache/trash.h"

static struct flush_options options;

static const struct tool_option own_options[] = {
	{ "important", 'i', TOOL_FLAG, &options.important_only, .help = "only important changes" },
	{ "due", '\0', TOOL_FLAG, &options.due_only,
	  .help = "only what is past the upload interval or has many new mails" },
	{ "priority", 'p', TOOL_COUNT, &options.priority_min, .max = 3, .arg = "N",
	  .help = "only units of priority N and below (N to 3)" },
	{ "overwrite", '\0', TOOL_FLAG, &options.overwrite,
	  .help = "local wins over another writer's bundles, which are lost" },
};

static const struct tool_spec spec = {
	.program = "metacache-flush",
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN | TOOL_USERS,
};

struct flush {
	struct tool *tool;
	const struct metacache *mc;
	struct printer *printer;
	struct workers *pool;
	struct tidy *tidy;
	struct flush_totals totals;
	int code;
};

/* -1 with the error in the result: nothing could be done for the user. */
static void flush_one(struct flush *flush, const char *user, struct flush_result *result)
{
	autohomeref struct metacache_home home = { 0 };
	struct err *err = &result->err;
	int ret = metacache_find(flush->mc, user, &home, err);

	if (ret == 0)
		ret = err_set(err, ERR_NOUSER, "no such user in the metacache: %s",
			      quote_str(user).s);
	if (ret < 0 ||
	    flush_user(flush->mc, &home, &options, flush->pool, flush->tidy, result, err) < 0)
		result->worst = err->code == ERR_BUSY ? FLUSH_BUSY : FLUSH_FAILED;
	result->user = user;
}

static int take_user(void *ctx, const char *user)
{
	struct flush *flush = ctx;
	struct flush_totals *totals = &flush->totals;
	struct flush_result result = { 0 };
	struct err err = { 0 };

	flush_one(flush, user, &result);
	tidy_settle(flush->tidy);
	totals->users++;
	totals->flushed += result.units[FLUSH_UPLOADED] > 0;
	totals->conflicts += result.worst == FLUSH_CONFLICT;
	totals->busy += result.worst == FLUSH_BUSY;
	totals->failed += result.worst == FLUSH_FAILED;
	totals->bytes += result.bytes;
	for (int i = 0; i < FLUSH_OUTCOMES; i++)
		totals->units[i] += result.units[i];
	flush->code = tool_worst(flush->code, common_flush_code(flush->tool, &result));
	progress_add(flush->tool->progress, 1);
	if (common_flush_row(flush->printer, &result, &err) == 0)
		return 0;
	flush->code = tool_error(flush->tool, NULL, &err);
	return -1;
}

static int finish(struct flush *flush, int64_t started_ms)
{
	struct err err = { 0 };

	if (tidy_finish(&flush->tidy, &flush->totals.deleted, &err) < 0)
		metacache_warn(flush->mc, "metacache_delete_failed", NULL, &err);
	if (common_flush_summary(flush->printer, flush->mc, &flush->totals,
				 clock_mono_ms() - started_ms, &err) < 0 ||
	    print_finish(&flush->printer, &err) < 0)
		return tool_error(flush->tool, NULL, &err);
	return flush->code;
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct flush flush = { .tool = tool, .mc = &mc };
	int64_t started_ms = clock_mono_ms();
	int code = common_open(tool, &mc, METACACHE_STORE);
	unsigned threads = tool->settings.metacache_max_parallel_requests;

	if (code != 0)
		return code;
	options.dry_run = tool->dry_run;
	tool_progress(tool, "users", tool->users.count);
	flush.printer = tool_printer(tool, "users", common_flush_fields, COMMON_FLUSH_FIELDS);
	if (!flush.printer)
		return ERR_USAGE;
	trash_sweep_all(&mc);
	flush.pool = workers_new(threads, threads);
	flush.tidy = tidy_new(&mc);
	code = common_each_user(tool, &mc, take_user, &flush);
	code = tool_worst(code, finish(&flush, started_ms));
	workers_free(&flush.pool);
	print_free(flush.printer);
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
