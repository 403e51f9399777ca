/* metacache-remove: forget users of the registry. No file is touched. */
#include "base/quote.h"
#include "base/wildcard.h"
#include "common/common.h"

static const struct tool_spec spec = {
	.program = "metacache-remove",
	.args = "MASK...",
	.args_max = 10000,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN,
};

static const struct print_field fields[] = {
	{ .name = "username" }, { .name = "root", .flags = PRINT_HIDDEN }, { .name = "result" },
	{ .name = "present" },  { .name = "bytes", .flags = PRINT_SIZE },  { .name = "error" },
};

struct match {
	char *username, *root;
	uint64_t bytes;
};
VEC(match_vec, struct match);

struct search {
	const struct str_vec *masks;
	bool *hit; /* by mask */
	struct match_vec matches;
};

static int take_user(void *ctx, const struct registry_user *user, struct err *err)
{
	struct search *search = ctx;
	struct match match = { 0 };
	bool matches = false;

	(void)err;
	for (size_t i = 0; i < search->masks->count; i++) {
		if (wildcard_match(search->masks->items[i], user->username))
			matches = search->hit[i] = true;
	}
	if (!matches)
		return 0;
	for (int i = 0; i < UNIT_PRIORITIES; i++)
		match.bytes += user->bytes_used[i];
	match.username = xstrdup(user->username);
	match.root = xstrdup(user->root);
	vec_push(&search->matches, match);
	return 0;
}

/* A row whose home is still there goes, too: that was asked for, and the next program that looks
 * at the user brings it back. */
static int remove_one(struct tool *tool, const struct metacache *mc, struct printer *printer,
		      const struct match *match, int *code, struct err *err)
{
	autohomeref struct metacache_home home = { 0 };
	struct err find_err = { 0 };
	int present = metacache_find(mc, match->username, &home, &find_err);
	int ret = 1;

	if (present < 0)
		*code = tool_worst(*code, tool_error(tool, match->username, &find_err));
	if (!tool->dry_run)
		ret = registry_remove(mc->registry, match->username, err);
	if (ret < 0)
		return -1;
	progress_add(tool->progress, 1);
	const struct print_value values[] = {
		print_str(match->username),
		print_str(match->root),
		print_str(ret > 0 ? "removed" : "gone"),
		present < 0 ? print_null() : print_bool(present > 0),
		print_uint(match->bytes),
		print_str(present < 0 ? find_err.msg : NULL),
	};
	return print_row(printer, values, err);
}

static int remove_all(struct tool *tool, const struct metacache *mc, struct printer *printer,
		      const struct match_vec *matches, int *code, struct err *err)
{
	struct err commit_err = { 0 };
	int ret = 0;

	registry_batch_start(mc->registry);
	for (size_t i = 0; i < matches->count && ret == 0; i++)
		ret = remove_one(tool, mc, printer, &matches->items[i], code, err);
	if (registry_batch_end(mc->registry, &commit_err) < 0 && ret == 0) {
		*err = commit_err;
		ret = -1;
	}
	return ret;
}

static int say_unmatched(struct tool *tool, const struct search *search)
{
	int code = 0;

	for (size_t i = 0; i < search->masks->count; i++) {
		struct err err = { 0 };

		if (search->hit[i])
			continue;
		err_set(&err, ERR_NOUSER, "no such user in the metacache");
		code = tool_error(tool, search->masks->items[i], &err);
	}
	return code;
}

static void free_search(struct search *search)
{
	for (size_t i = 0; i < search->matches.count; i++) {
		free(search->matches.items[i].username);
		free(search->matches.items[i].root);
	}
	vec_free(&search->matches);
	free(search->hit);
}

static int run_with(struct tool *tool, const struct metacache *mc, struct search *search)
{
	autoprinter struct printer *printer = NULL;
	struct err err = { 0 };
	int code = 0;

	if (registry_each(mc->registry, take_user, search, &err) < 0)
		return tool_error(tool, NULL, &err);
	tool_progress(tool, "users", search->matches.count);
	printer = tool_printer(tool, "users", fields, sizeof fields / sizeof *fields);
	if (!printer)
		return ERR_USAGE;
	if (remove_all(tool, mc, printer, &search->matches, &code, &err) < 0 ||
	    print_finish(&printer, &err) < 0)
		code = tool_worst(code, tool_error(tool, NULL, &err));
	return tool_worst(code, say_unmatched(tool, search));
}

static int run(struct tool *tool)
{
	automc struct metacache mc = { .locks_fd = -1 };
	struct search search = { .masks = &tool->args };
	struct err err = { 0 };
	int code;

	if (tool->args.count == 0) {
		err_set(&err, ERR_USAGE, "which users? A name, or a mask with * or ?");
		err_hint(&err, "try metacache-remove --help");
		return tool_error(tool, NULL, &err);
	}
	code = common_open(tool, &mc, METACACHE_REGISTRY);
	if (code != 0)
		return code;
	search.hit = xcalloc(tool->args.count, sizeof *search.hit);
	code = run_with(tool, &mc, &search);
	free_search(&search);
	return code;
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
