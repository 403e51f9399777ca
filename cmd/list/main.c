/* metacache-list: users in the metacache. */
#include "base/wildcard.h"
#include "common/common.h"
#include "metacache/weight.h"

static const struct tool_spec spec = {
	.program = "metacache-list",
	.args = "[MASK]",
	.args_max = 1,
	.uses = TOOL_FORMAT,
};

static const struct print_field fields[] = {
	{ .name = "username" },
	{ .name = "root", .flags = PRINT_HIDDEN },
	{ .name = "upload-within", .flags = PRINT_RIGHT },
	{ .name = "dev-major", .flags = PRINT_RIGHT },
	{ .name = "dev-minor", .flags = PRINT_RIGHT },
	{ .name = "bytes-used(0)", .flags = PRINT_SIZE },
	{ .name = "last-access(0)", .flags = PRINT_TIME },
	{ .name = "bytes-used(1)", .flags = PRINT_SIZE },
	{ .name = "last-access(1)", .flags = PRINT_TIME },
	{ .name = "bytes-used(2)", .flags = PRINT_SIZE },
	{ .name = "last-access(2)", .flags = PRINT_TIME },
	{ .name = "bytes-used(3)", .flags = PRINT_SIZE },
	{ .name = "last-access(3)", .flags = PRINT_TIME },
	{ .name = "changes" },
	{ .name = "last-service" },
	{ .name = "cleanup-weight", .flags = PRINT_RIGHT },
};

struct list {
	struct printer *printer;
	const char *mask;
	const struct settings *settings;
	struct registry_totals totals;
};

static int print_user(void *ctx, const struct registry_user *user, struct err *err)
{
	const struct list *list = ctx;
	int64_t weights[UNIT_PRIORITIES];

	if (list->mask && !wildcard_match(list->mask, user->username))
		return 0;
	const struct print_value values[] = {
		print_str(user->username),
		print_str(user->root),
		print_int(user->upload_within_s),
		print_uint(user->dev_major),
		print_uint(user->dev_minor),
		print_uint(user->bytes_used[0]),
		print_int(user->last_access[0]),
		print_uint(user->bytes_used[1]),
		print_int(user->last_access[1]),
		print_uint(user->bytes_used[2]),
		print_int(user->last_access[2]),
		print_uint(user->bytes_used[3]),
		print_int(user->last_access[3]),
		print_str(registry_changes_name(user->changes)),
		print_str(user->last_service),
		print_int(weight_user(list->settings, user->last_access, user->bytes_used,
				      list->totals.bytes_used, weights)),
	};

	return print_row(list->printer, values, err);
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	autoprinter struct printer *printer = NULL;
	struct list list = { .mask = tool->args.count > 0 ? tool->args.items[0] : NULL };
	struct err err = { 0 };
	int code = common_open(tool, &mc, METACACHE_REGISTRY_READ);

	if (code != 0)
		return code;
	printer = tool_printer(tool, "users", fields, sizeof fields / sizeof *fields);
	if (!printer)
		return ERR_USAGE;
	list.printer = printer;
	list.settings = mc.settings;
	if (registry_totals(mc.registry, NULL, &list.totals, &err) < 0 ||
	    registry_each(mc.registry, print_user, &list, &err) < 0 ||
	    print_finish(&printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return 0;
}

int main(int argc, char **argv)
{
	struct tool tool;
	int code = tool_start(&tool, &spec, argc, argv);

	if (code < 0)
		code = run(&tool);
	return tool_finish(&tool, code);
}
