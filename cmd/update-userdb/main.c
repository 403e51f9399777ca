/* metacache-update-userdb: alternative user names, as Dovecot's userdb has them now. */
#include "base/clock.h"
#include "base/wildcard.h"
#include "common/common.h"
#include "metacache/userdb.h"

static struct str_vec asked; /* -u */

static const struct tool_option own_options[] = {
	{ "user", 'u', TOOL_TEXTS, &asked, .arg = "USER", .help = "this user; may be repeated" },
};

static const struct tool_spec spec = {
	.program = "metacache-update-userdb",
	.args = "[MASK]",
	.args_max = 1,
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN,
};

static const struct print_field fields[] = {
	{ .name = "username" },
	{ .name = "result" },
	{ .name = "aliases", .flags = PRINT_RIGHT },
	{ .name = "error" },
};

struct update {
	struct tool *tool;
	struct metacache *mc;
	struct printer *printer;
	struct str_vec users;
	uint64_t counts[USERDB_FAILED + 1];
	int code;
};

static int say_no_user(const struct update *update, const char *user, const char *where)
{
	struct err err = { 0 };

	err_set(&err, ERR_NOUSER, "no such user in the %s", where);
	return tool_error(update->tool, user, &err);
}

static int take_result(void *ctx, const struct userdb_result *result, struct err *err)
{
	struct update *update = ctx;
	bool failed = result->outcome == USERDB_FAILED;
	int code = 0;

	update->counts[result->outcome]++;
	if (failed)
		code = tool_error(update->tool, result->username, &result->err);
	else if (result->outcome == USERDB_UNKNOWN && asked.count > 0)
		code = say_no_user(update, result->username, "userdb");
	update->code = tool_worst(update->code, code);
	progress_add(update->tool->progress, 1);
	const struct print_value values[] = {
		print_str(result->username),
		print_str(userdb_outcome_name(result->outcome)),
		print_uint(result->aliases),
		print_str(failed ? result->err.msg : NULL),
	};
	return print_row(update->printer, values, err);
}

static int take_user(void *ctx, const struct registry_user *user, struct err *err)
{
	struct update *update = ctx;
	const struct str_vec *args = &update->tool->args;

	(void)err;
	if (args->count == 0 || wildcard_match(args->items[0], user->username))
		vec_push(&update->users, xstrdup(user->username));
	return 0;
}

static int find_users(struct update *update, struct err *err)
{
	if (asked.count == 0)
		return registry_each(update->mc->registry, take_user, update, err);
	for (size_t i = 0; i < asked.count; i++) {
		int ret =
			registry_find(update->mc->registry, asked.items[i], take_user, update, err);

		if (ret < 0)
			return -1;
		if (ret == 0)
			update->code = tool_worst(update->code,
						  say_no_user(update, asked.items[i], "metacache"));
	}
	return 0;
}

static int print_totals(struct update *update, int64_t duration_ms, struct err *err)
{
	static const struct print_field names[] = {
		{ .name = "users" },   { .name = "updated" }, { .name = "unchanged" },
		{ .name = "unknown" }, { .name = "failed" },  { .name = "duration_ms" },
	};
	const struct print_value values[] = {
		print_uint(update->users.count),
		print_uint(update->counts[USERDB_UPDATED]),
		print_uint(update->counts[USERDB_UNCHANGED]),
		print_uint(update->counts[USERDB_UNKNOWN]),
		print_uint(update->counts[USERDB_FAILED]),
		print_int(duration_ms),
	};

	return print_summary(update->printer, names, values, sizeof names / sizeof *names, err);
}

static int run_with(struct update *update)
{
	struct tool *tool = update->tool;
	int64_t started_ms = clock_mono_ms();
	struct err err = { 0 };

	if (find_users(update, &err) < 0)
		return tool_error(tool, NULL, &err);
	tool_progress(tool, "users", update->users.count);
	update->printer = tool_printer(tool, "users", fields, sizeof fields / sizeof *fields);
	if (!update->printer)
		return ERR_USAGE;
	if (userdb_update(update->mc, &update->users, tool->dry_run, take_result, update, &err) < 0)
		update->code = tool_worst(update->code, tool_error(tool, NULL, &err));
	err_clear(&err);
	if (print_totals(update, clock_mono_ms() - started_ms, &err) < 0 ||
	    print_finish(&update->printer, &err) < 0)
		update->code = tool_worst(update->code, tool_error(tool, NULL, &err));
	return update->code;
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct update update = { .tool = tool, .mc = &mc };
	struct err err = { 0 };
	int code;

	if (asked.count > 0 && tool->args.count > 0) {
		err_set(&err, ERR_USAGE, "-u or a mask, not both");
		return tool_error(tool, NULL, &err);
	}
	code = common_open(tool, &mc, METACACHE_REGISTRY | METACACHE_SESSIONS);
	if (code != 0)
		return code;
	code = run_with(&update);
	print_free(update.printer);
	str_vec_free(&update.users);
	return code;
}

int main(int argc, char **argv)
{
	int code = tool_main(&spec, run, argc, argv);

	str_vec_free(&asked);
	return code;
}
