/* metacache-flushall: upload the changed indexes of all users. */
#include "base/clock.h"
#include "common/common.h"
#include "metacache/trash.h"

static struct flush_options options;

static const struct tool_option own_options[] = {
	{ "important", 'i', TOOL_FLAG, &options.important_only, .help = "only important changes" },
	{ "due", '\0', TOOL_FLAG, &options.due_only,
	  .help = "only what is past the upload interval or has many new mails" },
	{ "priority", 'p', TOOL_COUNT, &options.priority_min, .max = 3, .arg = "N",
	  .help = "only units of priority N and below (N to 3)" },
};

static const struct tool_spec spec = {
	.program = "metacache-flushall",
	.args = "[MASK]",
	.args_max = 1,
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN,
};

struct flushall {
	struct tool *tool;
	struct printer *printer;
	int code;
	uint64_t seen; /* users, for the progress line */
};

static int take_result(void *ctx, const struct flush_result *result, struct err *err)
{
	struct flushall *all = ctx;
	int code = common_flush_code(all->tool, result);

	/* Some users failed, the rest was done: partly done, but a conflict is
	 * nothing that the next run mends. */
	all->code = tool_worst(all->code, code == 0 || code == ERR_DATA ? code : ERR_TEMP);
	return common_flush_row(all->printer, result, err);
}

static void show_progress(void *ctx, uint64_t users)
{
	struct flushall *all = ctx;

	progress_add(all->tool->progress, users - all->seen);
	all->seen = users;
}

static int flush(struct flushall *all, const struct metacache *mc)
{
	struct tool *tool = all->tool;
	const char *mask = tool->args.count > 0 ? tool->args.items[0] : NULL;
	int64_t started_ms = clock_mono_ms();
	struct flush_totals totals = { 0 };
	struct err err = { 0 };
	int ret = flush_all(mc, mask, &options, take_result, show_progress, all, &totals, &err);

	if (ret < 0)
		return tool_error(tool, NULL, &err);
	if (ret > 0) {
		tool_error(tool, NULL, &err);
		all->code = tool_worst(all->code, ERR_TEMP);
	}
	if (common_flush_summary(all->printer, mc, &totals, clock_mono_ms() - started_ms, &err) <
		    0 ||
	    print_finish(&all->printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return all->code;
}

/* The background upload goes on while all is uploaded, which may take long. */
static int lock_run(struct tool *tool, const struct metacache *mc, int *lock_r)
{
	bool some = options.important_only || options.due_only;

	if (tool->args.count > 0)
		return 0;
	return common_run_lock(tool, mc, some ? "metacache-flushall -i or --due" : NULL, lock_r);
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	autoprinter struct printer *printer = NULL;
	struct flushall all = { .tool = tool };
	autofd int lock = -1;
	int code = common_open(tool, &mc, METACACHE_STORE);

	if (code == 0)
		code = lock_run(tool, &mc, &lock);
	if (code != 0)
		return code;
	options.dry_run = tool->dry_run;
	trash_sweep_all(&mc);
	tool_progress(tool, "users", 0);
	printer = tool_printer(tool, "users", common_flush_fields, COMMON_FLUSH_FIELDS);
	if (!printer)
		return ERR_USAGE;
	all.printer = steal_ptr(&printer);
	code = flush(&all, &mc);
	print_free(all.printer);
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
