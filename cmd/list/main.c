/* metacache-list: users in the metacache. */
#include <stdlib.h>
#include <string.h>

#include "base/wildcard.h"
#include "common/common.h"
#include "list/order.h"
#include "metacache/userdb.h"

static const char *sort = "username";

static const struct tool_option own_options[] = {
	{ "sort", '\0', TOOL_TEXT, &sort, .arg = "weight|last-access|size|username",
	  .help = "what comes first: cleaned first, unused longest, largest, by name" },
};

static const struct tool_spec spec = {
	.program = "metacache-list",
	.args = "[MASK]",
	.args_max = 1,
	.options = own_options,
	.option_count = sizeof own_options / sizeof *own_options,
	.uses = TOOL_FORMAT,
};

/* The alternative names come after the first. */
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
	{ .name = "unflushed-since", .flags = PRINT_TIME | PRINT_HIDDEN },
	{ .name = "last-service" },
	{ .name = "conflicts", .flags = PRINT_RIGHT },
	{ .name = "obsolete", .flags = PRINT_RIGHT },
	{ .name = "cleanup-weight", .flags = PRINT_RIGHT },
};
#define FIELDS (sizeof fields / sizeof *fields)

struct list {
	struct printer *printer;
	const char *mask;
	const struct metacache *mc;
	struct order order;
	struct str_vec names; /* the fields user_*, sorted */
	struct print_value *values;
};

/* Those of one user into the row; whether one of them matches. */
static bool put_aliases(struct list *list, const struct registry_alias_vec *aliases)
{
	bool matches = false;

	for (size_t i = 0; i < list->names.count; i++)
		list->values[1 + i] = print_null();
	for (size_t i = 0, at = 0; i < aliases->count; i++) {
		const struct registry_alias *alias = &aliases->items[i];

		while (at < list->names.count && strcmp(list->names.items[at], alias->field) != 0)
			at++;
		if (at < list->names.count)
			list->values[1 + at] = print_str(alias->value);
		matches |= list->mask && wildcard_match(list->mask, alias->value);
	}
	return matches;
}

static int print_row_of(struct list *list, const struct registry_user *user, struct err *err)
{
	const struct print_value values[] = { print_str(user->root),
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
					      print_int(user->unflushed_since),
					      print_str(user->last_service),
					      print_uint(user->conflicts),
					      print_uint(user->obsolete),
					      print_int(order_weight(&list->order, user)) };

	list->values[0] = print_str(user->username);
	memcpy(list->values + 1 + list->names.count, values, sizeof values);
	return print_row(list->printer, list->values, err);
}

static int take_user(void *ctx, const struct registry_user *user, struct err *err)
{
	struct list *list = ctx;
	struct registry_alias_vec aliases = { 0 };
	bool matches = !list->mask || wildcard_match(list->mask, user->username);
	int ret = 0;

	if (list->names.count > 0) {
		if (registry_aliases(list->mc->registry, user->username, &aliases, err) < 0)
			return -1;
		matches |= put_aliases(list, &aliases);
	}
	if (matches)
		ret = print_row_of(list, user, err);
	registry_aliases_free(&aliases);
	return ret;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A field user_* that is asked for is there even if no user has it: a script need not know. */
static int find_names(struct list *list, const struct str_vec *asked, struct err *err)
{
	if (registry_alias_fields(list->mc->registry, &list->names, err) < 0)
		return -1;
	for (size_t i = 0; i < asked->count; i++) {
		const char *name = asked->items[i];

		if (userdb_is_alias(name) && !str_vec_has(&list->names, name))
			vec_push(&list->names, xstrdup(name));
	}
	if (list->names.count > 0)
		qsort(list->names.items, list->names.count, sizeof *list->names.items,
		      compare_names);
	return 0;
}

static int print_users(struct tool *tool, struct list *list)
{
	size_t count = FIELDS + list->names.count;
	autofree struct print_field *all = xcalloc(count, sizeof *all);
	autofree struct print_value *values = xcalloc(count, sizeof *values);
	autoprinter struct printer *printer = NULL;
	struct err err = { 0 };

	all[0] = fields[0];
	for (size_t i = 0; i < list->names.count; i++)
		all[1 + i] = (struct print_field){ .name = list->names.items[i] };
	memcpy(all + 1 + list->names.count, fields + 1, sizeof fields - sizeof *fields);
	printer = tool_printer(tool, "users", all, count);
	if (!printer)
		return ERR_USAGE;
	list->printer = printer;
	list->values = values;
	if (order_each(&list->order, list->mc->registry, take_user, list, &err) < 0 ||
	    print_finish(&printer, &err) < 0)
		return tool_error(tool, NULL, &err);
	return 0;
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct list list = {
		.mask = tool->args.count > 0 ? tool->args.items[0] : NULL,
		.mc = &mc,
		.order = { .settings = &tool->settings },
	};
	struct err err = { 0 };
	int code;

	if (order_parse(&list.order, sort, &err) < 0)
		return tool_error(tool, NULL, &err);
	code = common_open(tool, &mc, METACACHE_REGISTRY_READ);
	if (code != 0)
		return code;
	if (registry_totals(mc.registry, NULL, &list.order.totals, &err) < 0 ||
	    find_names(&list, &tool->fields, &err) < 0)
		return tool_error(tool, NULL, &err);
	code = print_users(tool, &list);
	str_vec_free(&list.names);
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
