#include "metacache/registry.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define BUSY_MS 10000
#define BUSY_POLL_MS 5
#define PENDING_MAX 256 /* rows in one transaction: a few milliseconds of lock */
#define PENDING_MS 200

enum statement {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_PUT,
	ST_REMOVE,
	ST_SETTLED,
	ST_EACH,
	ST_SWEEP,
	ST_COUNT,
	ST_NOTE,
	ST_VALUE,
	ST_MAX,
};

#define COLUMNS                                                                                    \
	"username, root, dev_major, dev_minor, upload_within, bytes0, bytes1, bytes2, bytes3, "    \
	"access0, access1, access2, access3, changes, last_service, cleanup_weight, settled"

static const char *const statement_sql[ST_MAX] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_PUT] = "INSERT OR REPLACE INTO users (" COLUMNS ", seen) "
		   "VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,"
		   "(SELECT value FROM notes WHERE name = 'rescan'))",
	[ST_REMOVE] = "DELETE FROM users WHERE username = ?1",
	[ST_SETTLED] = "SELECT settled FROM users WHERE username = ?1",
	[ST_EACH] = "SELECT " COLUMNS " FROM users ORDER BY username",
	[ST_SWEEP] = "DELETE FROM users WHERE root = ?1 AND seen IS NOT "
		     "(SELECT value FROM notes WHERE name = 'rescan')",
	[ST_COUNT] = "INSERT INTO notes (name, value) VALUES (?1, ?2) "
		     "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
	[ST_NOTE] = "INSERT OR REPLACE INTO notes (name, value) VALUES (?1, ?2)",
	[ST_VALUE] = "SELECT value FROM notes WHERE name = ?1",
};

static const char schema_sql[] =
	"CREATE TABLE users ("
	" username TEXT PRIMARY KEY NOT NULL, root TEXT NOT NULL,"
	" dev_major INTEGER NOT NULL, dev_minor INTEGER NOT NULL, upload_within INTEGER NOT NULL,"
	" bytes0 INTEGER NOT NULL, bytes1 INTEGER NOT NULL,"
	" bytes2 INTEGER NOT NULL, bytes3 INTEGER NOT NULL,"
	" access0 INTEGER NOT NULL, access1 INTEGER NOT NULL,"
	" access2 INTEGER NOT NULL, access3 INTEGER NOT NULL,"
	" changes INTEGER NOT NULL, last_service TEXT NOT NULL, cleanup_weight INTEGER NOT NULL,"
	" settled BLOB NOT NULL, seen INTEGER) WITHOUT ROWID;"
	"CREATE TABLE notes (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID;"
	"PRAGMA user_version = 1;";

struct registry {
	pthread_mutex_t mutex;
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[ST_MAX];
	bool batch;
	unsigned pending; /* writes in the open transaction of a batch */
	int64_t pending_since_ms;
};

const char *registry_changes_name(enum registry_changes changes)
{
	static const char *const names[] = { "none", "unimportant", "important" };

	return names[changes];
}

/* SQLite has one code for a file that is missing and one that may not be opened. */
static int cannot_open(const struct registry *registry, struct err *err, const char *what)
{
	int errnum = sqlite3_system_errno(registry->db);

	if (errnum == 0)
		return err_set(err, ERR_NOPERM, "%s %s: %s", what, registry->path,
			       sqlite3_errmsg(registry->db));
	err_sys(err, errnum, "%s %s", what, registry->path);
	return errnum == ENOENT ? err_hint(err, "metacache-rescan makes it") : -1;
}

static int fail(const struct registry *registry, struct err *err, const char *what)
{
	int code = sqlite3_errcode(registry->db);

	switch (code & 0xff) {
	case SQLITE_FULL:
		err_set(err, ERR_CANTCREATE, "%s %s: %s", what, registry->path,
			sqlite3_errmsg(registry->db));
		return err_hint(err, "free some space there");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		err_set(err, ERR_BUSY, "%s %s: another program is writing to it", what,
			registry->path);
		return err_again(err);
	case SQLITE_CANTOPEN:
		return cannot_open(registry, err, what);
	case SQLITE_PERM:
	case SQLITE_READONLY:
		return err_set(err, ERR_NOPERM, "%s %s: %s", what, registry->path,
			       sqlite3_errmsg(registry->db));
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		err_set(err, ERR_DATA, "%s %s: %s", what, registry->path,
			sqlite3_errmsg(registry->db));
		return err_hint(err, "delete the file and run metacache-rescan");
	default:
		return err_set(err, ERR_IO, "%s %s: %s", what, registry->path,
			       sqlite3_errmsg(registry->db));
	}
}

static int exec(struct registry *registry, const char *sql, struct err *err)
{
	if (sqlite3_exec(registry->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return fail(registry, err, "prepare");
	return 0;
}

static int read_version(struct registry *registry, int *version_r, struct err *err)
{
	sqlite3_stmt *st = NULL;
	int ret = -1;

	if (sqlite3_prepare_v2(registry->db, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		*version_r = sqlite3_column_int(st, 0);
		ret = 0;
	} else {
		fail(registry, err, "read");
	}
	sqlite3_finalize(st);
	return ret;
}

/* Two programs may start on a machine that has no registry yet. */
static int make_schema(struct registry *registry, struct err *err)
{
	int version;

	if (exec(registry, "BEGIN IMMEDIATE", err) < 0)
		return -1;
	if (read_version(registry, &version, err) < 0 ||
	    (version == 0 && exec(registry, schema_sql, err) < 0)) {
		sqlite3_exec(registry->db, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	return exec(registry, "COMMIT", err);
}

/* SQLite does not wait for another program that is making the file a WAL one right
 * now, whatever its busy time-out is. */
static int set_up_journal(struct registry *registry, struct err *err)
{
	int64_t until = clock_mono_ms() + BUSY_MS;
	int ret;

	while ((ret = exec(registry,
			   "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			   "PRAGMA cache_size = -8000",
			   err)) < 0 &&
	       (sqlite3_errcode(registry->db) & 0xff) == SQLITE_BUSY && clock_mono_ms() < until)
		clock_sleep_ms(BUSY_POLL_MS);
	if (ret == 0)
		err_clear(err);
	return ret;
}

static int prepare(struct registry *registry, bool read_only, struct err *err)
{
	int version;

	sqlite3_busy_timeout(registry->db, BUSY_MS);
	if (!read_only && set_up_journal(registry, err) < 0)
		return -1;
	if (read_version(registry, &version, err) < 0)
		return -1;
	if (version > REGISTRY_SCHEMA)
		return err_set(err, ERR_DATA, "%s has schema %d, this program knows %d",
			       registry->path, version, REGISTRY_SCHEMA);
	if (version == 0 && (read_only ? err_set(err, ERR_NOTFOUND, "%s is empty", registry->path)
				       : make_schema(registry, err)) < 0)
		return -1;
	for (int i = 0; i < ST_MAX; i++) {
		if (sqlite3_prepare_v3(registry->db, statement_sql[i], -1,
				       SQLITE_PREPARE_PERSISTENT, &registry->statements[i],
				       NULL) != SQLITE_OK)
			return fail(registry, err, "prepare");
	}
	return 0;
}

static void destroy(struct registry *registry)
{
	for (int i = 0; i < ST_MAX; i++)
		sqlite3_finalize(registry->statements[i]);
	sqlite3_close(registry->db);
	pthread_mutex_destroy(&registry->mutex);
	free(registry->path);
	free(registry);
}

int registry_open(const char *path, bool read_only, struct registry **registry_r, struct err *err)
{
	struct registry *registry = xcalloc(1, sizeof *registry);
	int flags = SQLITE_OPEN_NOMUTEX |
		    (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);

	pthread_mutex_init(&registry->mutex, NULL);
	registry->path = xstrdup(path);
	if (sqlite3_open_v2(path, &registry->db, flags, NULL) != SQLITE_OK
		    ? fail(registry, err, "open") < 0
		    : prepare(registry, read_only, err) < 0) {
		destroy(registry);
		return -1;
	}
	*registry_r = registry;
	return 0;
}

/* Run a statement that returns no rows and make it ready for the next time. */
static int run(struct registry *registry, enum statement which, struct err *err)
{
	sqlite3_stmt *st = registry->statements[which];
	int ret = sqlite3_step(st);

	if (ret != SQLITE_DONE)
		fail(registry, err, "write");
	sqlite3_reset(st);
	return ret == SQLITE_DONE ? 0 : -1;
}

static int commit(struct registry *registry, struct err *err)
{
	if (registry->pending == 0)
		return 0;
	registry->pending = 0;
	if (run(registry, ST_COMMIT, err) == 0)
		return 0;
	run(registry, ST_ROLLBACK, NULL);
	return -1;
}

/* Called after the statement's values are bound, with the mutex held. */
static int write_bound(struct registry *registry, enum statement which, struct err *err)
{
	if (!registry->batch)
		return run(registry, which, err);
	if (registry->pending == 0) {
		if (run(registry, ST_BEGIN, err) < 0)
			return -1;
		registry->pending_since_ms = clock_mono_ms();
	}
	registry->pending++;
	if (run(registry, which, err) < 0) {
		registry->pending = 0;
		run(registry, ST_ROLLBACK, NULL);
		return -1;
	}
	if (registry->pending >= PENDING_MAX ||
	    clock_mono_ms() - registry->pending_since_ms >= PENDING_MS)
		return commit(registry, err);
	return 0;
}

void registry_batch_start(struct registry *registry)
{
	pthread_mutex_lock(&registry->mutex);
	registry->batch = true;
	pthread_mutex_unlock(&registry->mutex);
}

int registry_batch_end(struct registry *registry, struct err *err)
{
	int ret;

	pthread_mutex_lock(&registry->mutex);
	registry->batch = false;
	ret = commit(registry, err);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

int registry_close(struct registry **registry_p, struct err *err)
{
	int ret;

	if (!*registry_p)
		return 0;
	ret = registry_batch_end(*registry_p, err);
	destroy(*registry_p);
	*registry_p = NULL;
	return ret;
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
	sqlite3_bind_int64(st, 16, user->cleanup_weight);
	sqlite3_bind_blob(st, 17, user->settled, sizeof user->settled, SQLITE_STATIC);
	ret = write_bound(registry, ST_PUT, err);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}

int registry_remove(struct registry *registry, const char *username, struct err *err)
{
	int ret;

	pthread_mutex_lock(&registry->mutex);
	sqlite3_bind_text(registry->statements[ST_REMOVE], 1, username, -1, SQLITE_STATIC);
	ret = write_bound(registry, ST_REMOVE, err);
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
		return fail(registry, err, "read");
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
		.cleanup_weight = sqlite3_column_int64(st, 15),
	};
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		user_r->bytes_used[i] = (uint64_t)sqlite3_column_int64(st, 5 + i);
		user_r->last_access[i] = sqlite3_column_int64(st, 9 + i);
	}
	read_settled(st, 16, user_r->settled);
}

int registry_each(struct registry *registry, registry_fn *fn, void *ctx, struct err *err)
{
	sqlite3_stmt *st = registry->statements[ST_EACH];
	struct registry_user user;
	int step, ret = 0;

	pthread_mutex_lock(&registry->mutex);
	while (ret == 0 && (step = sqlite3_step(st)) != SQLITE_DONE) {
		if (step != SQLITE_ROW) {
			ret = fail(registry, err, "read");
			break;
		}
		read_row(st, &user);
		ret = fn(ctx, &user, err);
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
	ret = write_bound(registry, which, err);
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
	ret = write_bound(registry, ST_SWEEP, err);
	if (ret == 0)
		*removed_r = (uint64_t)sqlite3_changes64(registry->db);
	pthread_mutex_unlock(&registry->mutex);
	return ret;
}
