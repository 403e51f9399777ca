#include "common/common.h"

#include "metacache/run_lock.h"

int common_open(struct tool *tool, struct metacache *mc, unsigned needs)
{
	struct err err = { 0 };

	if (metacache_open(mc, &tool->settings, &tool->log, needs, &err) < 0)
		return tool_error(tool, NULL, &err);
	return 0;
}

int common_run_lock(struct tool *tool, const struct metacache *mc, const char *what, int *lock_r)
{
	struct err err = { 0 };

	if (tool->dry_run)
		return 0;
	*lock_r = run_lock(mc, what ? what : tool->spec->program, &err);
	return *lock_r < 0 ? tool_error(tool, NULL, &err) : 0;
}

struct each {
	tool_user_fn *fn;
	void *ctx;
};

static int take_home(void *ctx, const struct metacache_root *root, const char *path,
		     const char *user, struct err *err)
{
	const struct each *each = ctx;

	(void)root, (void)path;
	return each->fn(each->ctx, user) < 0 ? err_set(err, ERR_NONE, "stopped") : 0;
}

int common_each_user(struct tool *tool, const struct metacache *mc, tool_user_fn *fn, void *ctx)
{
	struct each each = { fn, ctx };
	struct err err = { 0 };
	int ret;

	if (!tool->all_users)
		return tool_each_user(tool, fn, ctx);
	ret = metacache_walk(mc, take_home, &each, NULL, &err);
	if (ret == 0 || err.code == ERR_NONE)
		return 0;
	tool_error(tool, NULL, &err);
	return ret > 0 ? ERR_TEMP : err_exit_code(err.code);
}
