/* metacache-verify: compare local indexes, the registry and storage; repair. */
#include "base/clock.h"
#include "common/common.h"
#include "metacache/trash.h"
#include "metacache/verify.h"

static struct verify_options options;

static const struct tool_option own_options[] = {
	{ "deep", '\0', TOOL_FLAG, &options.deep,
	  .help = "download and unpack every bundle that counts" },
	{ "repair", '\0', TOOL_FLAG, &options.repair,
	  .help = "repair what can be repaired without a guess" },
};

static const struct tool_spec spec = {
	.program = "metacache-verify",
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN | TOOL_USERS,
};

static const struct print_field fields[] = {
	{ .name = "username" }, { .name = "unit" },     { .name = "drift" },
	{ .name = "object" },   { .name = "repaired" }, { .name = "error", .flags = PRINT_CUT },
};

struct run {
	struct tool *tool;
	struct printer *printer;
	struct verify *verify;
	int code; /* of what could not be looked at */
};

static int take_found(void *ctx, const struct verify_found *found, struct err *err)
{
	struct run *run = ctx;
	const struct print_value values[] = {
		print_str(found->user),
		print_str(found->unit),
		print_str(verify_drift_name(found->drift)),
		print_str(found->object),
		print_bool(found->repaired),
		print_str(found->repaired && !options.dry_run ? NULL : found->err->msg),
	};

	if (found->drift == VERIFY_ERROR) {
		int code = tool_error(run->tool, found->user, found->err);

		/* Of many users the others were looked at. */
		run->code = tool_worst(run->code, run->tool->all_users ? ERR_TEMP : code);
	}
	return print_row(run->printer, values, err);
}

static void show_progress(void *ctx)
{
	struct run *run = ctx;

	progress_add(run->tool->progress, 1);
}

static int take_user(void *ctx, const char *user)
{
	struct run *run = ctx;

	return verify_user(run->verify, user);
}

static int summary(struct printer *printer, const struct metacache *mc,
		   const struct verify_totals *totals, int64_t duration_ms, struct err *err)
{
	static const struct print_field names[] = {
		{ .name = "users" },
		{ .name = "units" },
		{ .name = "not_uploaded" },
		{ .name = "remote_only" },
		{ .name = "drifts" },
		{ .name = "repaired" },
		{ .name = "failed" },
		{ .name = "deleted" },
		{ .name = "bytes", .flags = PRINT_SIZE },
		{ .name = "requests" },
		{ .name = "lists" },
		{ .name = "gets" },
		{ .name = "duration_ms" },
	};
	struct store_counters counters;
	uint64_t requests = 0;

	store_counters(mc->store, &counters);
	for (int i = 0; i < STORE_KINDS; i++)
		requests += counters.requests[i];
	const struct print_value values[] = {
		print_uint(totals->users),
		print_uint(totals->units),
		print_uint(totals->not_uploaded),
		print_uint(totals->remote_only),
		print_uint(totals->drifts),
		print_uint(totals->repaired),
		print_uint(totals->failed),
		print_uint(totals->deleted),
		print_uint(totals->bytes),
		print_uint(requests),
		print_uint(counters.requests[STORE_LIST]),
		print_uint(counters.requests[STORE_GET]),
		print_int(duration_ms),
	};

	return print_summary(printer, names, values, sizeof names / sizeof *names, err);
}

/* Drifts that stay are the operator's to decide. */
static int judge(struct run *run, const struct verify_totals *totals)
{
	uint64_t left = options.dry_run ? totals->drifts : totals->drifts - totals->repaired;
	struct err err = { 0 };

	if (left == 0 || run->code != 0) /* said already, and the rows say the rest */
		return left == 0 ? run->code : tool_worst(run->code, ERR_DATA);
	err_set(&err, ERR_DATA, left == 1 ? "%llu drift remains" : "%llu drifts remain",
		(unsigned long long)left);
	if (!options.repair)
		err_hint(&err, "metacache-verify --repair");
	return tool_error(run->tool, NULL, &err);
}

static int work(struct run *run, const struct metacache *mc)
{
	struct tool *tool = run->tool;
	int64_t started_ms = clock_mono_ms();
	struct verify_totals totals;
	struct err err = { 0 };
	int code = 0;

	run->verify = verify_new(mc, &options, take_found, show_progress, run);
	if (!tool->all_users)
		code = tool_each_user(tool, take_user, run);
	else if (verify_all(run->verify, &err) < 0)
		code = tool_error(tool, NULL, &err);
	if (verify_finish(&run->verify, &totals, &err) < 0 ||
	    summary(run->printer, mc, &totals, clock_mono_ms() - started_ms, &err) < 0 ||
	    print_finish(&run->printer, &err) < 0)
		return tool_worst(code, tool_error(tool, NULL, &err));
	return tool_worst(code, judge(run, &totals));
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct run run = { .tool = tool };
	autofd int lock = -1;
	int code = common_open(tool, &mc, METACACHE_STORE | METACACHE_REGISTRY);

	if (code == 0 && tool->all_users)
		code = common_run_lock(tool, &mc, NULL, &lock);
	if (code != 0)
		return code;
	options.dry_run = tool->dry_run;
	/* For all users the trash is a part of what is looked at. */
	if (options.repair && !options.dry_run && !tool->all_users)
		trash_sweep_all(&mc);
	tool_progress(tool, "users", tool->users.count);
	run.printer = tool_printer(tool, "drifts", fields, sizeof fields / sizeof *fields);
	if (!run.printer)
		return ERR_USAGE;
	code = work(&run, &mc);
	print_free(run.printer);
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
