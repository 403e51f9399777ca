#include "metacache/registry.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "metacache/registry_db.h"

const char *registry_changes_name(enum registry_changes changes)
{
	static const char *const names[] = { "none", "unimportant", "important" };

	return names[changes];
}

int registry_put(struct registry *registry, const struct registry_user *user, struct err *err)
{
	sqlite3_stmt *st = registry->statements[ST_PUT];
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(st, 1, user->username, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, user->root, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, user->dev_major);
	sqlite3_bind_int64(st, 4, user->dev_minor);
	sqlite3_bind_int64(st, 5, user->upload_within_s);
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		sqlite3_bind_int64(st, 6 + i, (int64_t)user->bytes_used[i]);
		sqlite3_bind_int64(st, 10 + i, user->last_access[i]);
	}
	sqlite3_bind_int(st, 14, (int)user->changes);
	sqlite3_bind_text(st, 15, user->last_service, -1, SQLITE_STATIC);
	sqlite3_bind_blob(st, 16, user->settled, sizeof user->settled, SQLITE_STATIC);
	sqlite3_bind_int64(st, 17, user->unflushed_since);
	sqlite3_bind_int64(st, 18, (int64_t)user->conflicts);
	sqlite3_bind_int64(st, 19, (int64_t)user->obsolete);
	ret = registry_db_write(registry, ST_PUT, err);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

int registry_remove(struct registry *registry, const char *username, struct err *err)
{
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(registry->statements[ST_REMOVE_ALIASES], 1, username, -1, SQLITE_STATIC);
	sqlite3_bind_text(registry->statements[ST_REMOVE], 1, username, -1, SQLITE_STATIC);
	ret = registry_db_write(registry, ST_REMOVE_ALIASES, err);
	if (ret == 0)
		ret = registry_db_write(registry, ST_REMOVE, err);
	if (ret == 0)
		ret = sqlite3_changes(registry->db) > 0;
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

/* Step a query that has one row at most. 1 with the row still current, 0, -1. */
static int query_one(struct registry *registry, sqlite3_stmt *st, struct err *err)
{
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return registry_db_fail(registry, err, "read");
	}
}

static bool read_settled(sqlite3_stmt *st, int column,
			 unsigned char fingerprint_r[HASH_CONTENT_SIZE])
{
	static const unsigned char none[HASH_CONTENT_SIZE];
	const void *settled = sqlite3_column_blob(st, column);

	memset(fingerprint_r, 0, HASH_CONTENT_SIZE);
	if (settled && sqlite3_column_bytes(st, column) == HASH_CONTENT_SIZE)
		memcpy(fingerprint_r, settled, HASH_CONTENT_SIZE);
	return memcmp(fingerprint_r, none, HASH_CONTENT_SIZE) != 0;
}

int registry_settled(struct registry *registry, const char *username,
		     unsigned char fingerprint_r[HASH_CONTENT_SIZE], struct err *err)
{
	sqlite3_stmt *st = registry->statements[ST_SETTLED];
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(st, 1, username, -1, SQLITE_STATIC);
	ret = query_one(registry, st, err);
	if (ret > 0)
		ret = read_settled(st, 0, fingerprint_r);
	sqlite3_reset(st);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

static void read_row(sqlite3_stmt *st, struct registry_user *user_r)
{
	int changes = sqlite3_column_int(st, 13);

	*user_r = (struct registry_user){
		.username = (const char *)sqlite3_column_text(st, 0),
		.root = (const char *)sqlite3_column_text(st, 1),
		.dev_major = (unsigned)sqlite3_column_int64(st, 2),
		.dev_minor = (unsigned)sqlite3_column_int64(st, 3),
		.upload_within_s = sqlite3_column_int64(st, 4),
		.changes = changes == CHANGES_NONE || changes == CHANGES_UNIMPORTANT
				   ? (enum registry_changes)changes
				   : CHANGES_IMPORTANT,
		.last_service = (const char *)sqlite3_column_text(st, 14),
		.unflushed_since = sqlite3_column_int64(st, 16),
		.conflicts = (uint64_t)sqlite3_column_int64(st, 17),
		.obsolete = (uint64_t)sqlite3_column_int64(st, 18),
	};
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		user_r->bytes_used[i] = (uint64_t)sqlite3_column_int64(st, 5 + i);
		user_r->last_access[i] = sqlite3_column_int64(st, 9 + i);
	}
	read_settled(st, 15, user_r->settled);
}

/* With the mutex held. */
static int each_row(struct registry *registry, sqlite3_stmt *st, registry_fn *fn, void *ctx,
		    struct err *err)
{
	struct registry_user user;
	int step, ret = 0;

	while (ret == 0 && (step = sqlite3_step(st)) != SQLITE_DONE) {
		if (step != SQLITE_ROW) {
			ret = registry_db_fail(registry, err, "read");
			break;
		}
		read_row(st, &user);
		ret = fn(ctx, &user, err);
	}
	sqlite3_reset(st);
	return ret;
}

int registry_each(struct registry *registry, registry_fn *fn, void *ctx, struct err *err)
{
	int ret;

	pthread_mutex_lock(&registry->mutex);
	ret = each_row(registry, registry->statements[ST_EACH], fn, ctx, err);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

int registry_each_by(struct registry *registry, const struct registry_order *order, registry_fn *fn,
		     void *ctx, struct err *err)
{
	int ret;

	pthread_mutex_lock(&registry->mutex);
	registry->order = order;
	ret = each_row(registry, registry->statements[ST_EACH_BY], fn, ctx, err);
	registry->order = NULL;
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

int registry_find(struct registry *registry, const char *username, registry_fn *fn, void *ctx,
		  struct err *err)
{
	sqlite3_stmt *st = registry->statements[ST_FIND];
	struct registry_user user;
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(st, 1, username, -1, SQLITE_STATIC);
	ret = query_one(registry, st, err);
	if (ret > 0) {
		read_row(st, &user);
		if (fn(ctx, &user, err) < 0)
			ret = -1;
	}
	sqlite3_reset(st);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

static int write_note(struct registry *registry, enum statement which, const char *name,
		      int64_t value, struct err *err)
{
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(registry->statements[which], 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(registry->statements[which], 2, value);
	ret = registry_db_write(registry, which, err);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

int registry_count(struct registry *registry, const char *name, uint64_t add, struct err *err)
{
	return add == 0 ? 0 : write_note(registry, ST_COUNT, name, (int64_t)add, err);
}

int registry_note(struct registry *registry, const char *name, int64_t value, struct err *err)
{
	return write_note(registry, ST_NOTE, name, value, err);
}

int registry_value(struct registry *registry, const char *name, int64_t *value_r, struct err *err)
{
	sqlite3_stmt *st = registry->statements[ST_VALUE];
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	ret = query_one(registry, st, err);
	if (ret > 0)
		*value_r = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

int registry_mark(struct registry *registry, struct err *err)
{
	return registry_note(registry, "rescan", clock_now_ns(), err);
}

int registry_sweep(struct registry *registry, const char *root, uint64_t *removed_r,
		   struct err *err)
{
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(registry->statements[ST_SWEEP], 1, root, -1, SQLITE_STATIC);
	ret = registry_db_write(registry, ST_SWEEP, err);
	if (ret == 0)
		*removed_r = (uint64_t)sqlite3_changes64(registry->db);
	if (ret == 0)
		ret = registry_db_write(registry, ST_SWEEP_ALIASES, err);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

int registry_totals(struct registry *registry, const char *root, struct registry_totals *totals_r,
		    struct err *err)
{
	sqlite3_stmt *st = registry->statements[ST_TOTALS];
	int ret;

	*totals_r = (struct registry_totals){ 0 };
	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(st, 1, root, -1, SQLITE_STATIC);
	ret = query_one(registry, st, err);
	if (ret > 0) {
		totals_r->users = (uint64_t)sqlite3_column_int64(st, 0);
		for (int i = 0; i < UNIT_PRIORITIES; i++) {
			totals_r->bytes_used[i] = (uint64_t)sqlite3_column_int64(st, 1 + i);
			totals_r->users_of[i] = (uint64_t)sqlite3_column_int64(st, 5 + i);
		}
		totals_r->changed[CHANGES_NONE] = (uint64_t)sqlite3_column_int64(st, 9);
		totals_r->changed[CHANGES_UNIMPORTANT] = (uint64_t)sqlite3_column_int64(st, 10);
		totals_r->changed[CHANGES_IMPORTANT] = totals_r->users -
						       totals_r->changed[CHANGES_NONE] -
						       totals_r->changed[CHANGES_UNIMPORTANT];
		totals_r->unflushed_since = sqlite3_column_int64(st, 11);
		totals_r->conflicts = (uint64_t)sqlite3_column_int64(st, 12);
		totals_r->obsolete = (uint64_t)sqlite3_column_int64(st, 13);
	}
	sqlite3_reset(st);
	pthread_mutex_unlock(&registry->mutex);
	return ret < 0 ? -1 : 0;
}

void registry_aliases_free(struct registry_alias_vec *aliases)
{
	for (size_t i = 0; i < aliases->count; i++) {
		free(aliases->items[i].field);
		free(aliases->items[i].value);
	}
	vec_free(aliases);
}

int registry_set_aliases(struct registry *registry, const char *username,
			 const struct registry_alias_vec *aliases, struct err *err)
{
	sqlite3_stmt *add = registry->statements[ST_ADD_ALIAS];
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(registry->statements[ST_REMOVE_ALIASES], 1, username, -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 1, username, -1, SQLITE_STATIC);
	ret = registry_db_write(registry, ST_REMOVE_ALIASES, err);
	for (size_t i = 0; ret == 0 && i < aliases->count; i++) {
		sqlite3_bind_text(add, 2, aliases->items[i].field, -1, SQLITE_STATIC);
		sqlite3_bind_text(add, 3, aliases->items[i].value, -1, SQLITE_STATIC);
		ret = registry_db_write(registry, ST_ADD_ALIAS, err);
	}
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

/* The mutex may be held by this thread already, by registry_each(). */
static int each_text(struct registry *registry, sqlite3_stmt *st,
		     void (*take)(void *ctx, sqlite3_stmt *st), void *ctx, struct err *err)
{
	int ret, step;

	pthread_mutex_lock(&registry->mutex);
	while ((step = sqlite3_step(st)) == SQLITE_ROW)
		take(ctx, st);
	ret = step == SQLITE_DONE ? 0 : registry_db_fail(registry, err, "read");
	sqlite3_reset(st);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

static void take_alias(void *ctx, sqlite3_stmt *st)
{
	struct registry_alias alias = {
		.field = xstrdup((const char *)sqlite3_column_text(st, 0)),
		.value = xstrdup((const char *)sqlite3_column_text(st, 1)),
	};

	vec_push((struct registry_alias_vec *)ctx, alias);
}

int registry_aliases(struct registry *registry, const char *username,
		     struct registry_alias_vec *aliases_r, struct err *err)
{
	sqlite3_stmt *st = registry->statements[ST_ALIASES];
	int ret;

	*aliases_r = (struct registry_alias_vec){ 0 };
	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(st, 1, username, -1, SQLITE_STATIC);
	ret = each_text(registry, st, take_alias, aliases_r, err);
	pthread_mutex_unlock(&registry->mutex);
	if (ret < 0)
		registry_aliases_free(aliases_r);
	return ret;
}

static void take_text(void *ctx, sqlite3_stmt *st)
{
	vec_push((struct str_vec *)ctx, xstrdup((const char *)sqlite3_column_text(st, 0)));
}

static int all_texts(struct registry *registry, enum statement which, struct str_vec *texts_r,
		     struct err *err)
{
	*texts_r = (struct str_vec){ 0 };
	if (each_text(registry, registry->statements[which], take_text, texts_r, err) == 0)
		return 0;
	str_vec_free(texts_r);
	return -1;
}

int registry_alias_fields(struct registry *registry, struct str_vec *fields_r, struct err *err)
{
	return all_texts(registry, ST_ALIAS_FIELDS, fields_r, err);
}

int registry_roots(struct registry *registry, struct str_vec *roots_r, struct err *err)
{
	return all_texts(registry, ST_ROOTS, roots_r, err);
}
