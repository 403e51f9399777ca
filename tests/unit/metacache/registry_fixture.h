/* A registry in the scratch directory. */
#pragma once

#include "fixture.h"

#include "metacache/registry.h"

static inline const char *db_path(const struct scratch *scratch)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/users.db", scratch->path);
	return path;
}

static inline struct registry *open_db(const struct scratch *scratch)
{
	struct registry *registry = NULL;
	struct err err = { 0 };

	if (registry_open(db_path(scratch), false, &registry, &err) < 0)
		fail_msg("%s", err.msg);
	return registry;
}

static inline void close_db(struct registry *registry)
{
	assert_int_equal(registry_close(&registry, NULL), 0);
	assert_null(registry);
}

static inline int try_put(struct registry *registry, const char *name, const char *root)
{
	struct registry_user user = { .username = name, .root = root, .last_service = "" };

	return registry_put(registry, &user, NULL);
}

static inline void put_user(struct registry *registry, const char *name, const char *root)
{
	assert_int_equal(try_put(registry, name, root), 0);
}

static inline int join_names(void *ctx, const struct registry_user *user, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%s ", user->username);
	return 0;
}

static inline void assert_users(struct registry *registry, const char *expected)
{
	autobuf struct buf names = { 0 };

	assert_int_equal(registry_each(registry, join_names, &names, NULL), 0);
	assert_string_equal(buf_str(&names), expected);
}
