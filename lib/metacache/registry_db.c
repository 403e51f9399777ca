#include "metacache/registry_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define BUSY_MS 10000
#define BUSY_POLL_MS 5
#define PENDING_MAX 256 /* rows in one transaction: a few milliseconds of lock */
#define PENDING_MS 200

#define COLUMNS                                                                                    \
	"username, root, dev_major, dev_minor, upload_within, bytes0, bytes1, bytes2, bytes3, "    \
	"access0, access1, access2, access3, changes, last_service, settled, unflushed, "          \
	"conflicts, obsolete"

static const char *const statement_sql[ST_MAX] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_PUT] = "INSERT OR REPLACE INTO users (" COLUMNS ", seen) "
		   "VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,"
		   "iif(?17 = 0, 0, ifnull((SELECT nullif(unflushed, 0) FROM users "
		   "WHERE username = ?1), ?17)), ?18, ?19,"
		   "(SELECT value FROM notes WHERE name = 'rescan'))",
	[ST_REMOVE] = "DELETE FROM users WHERE username = ?1",
	[ST_REMOVE_ALIASES] = "DELETE FROM aliases WHERE username = ?1",
	[ST_ADD_ALIAS] = "INSERT INTO aliases (username, field, value) VALUES (?1, ?2, ?3)",
	[ST_ALIASES] = "SELECT field, value FROM aliases WHERE username = ?1 ORDER BY field",
	[ST_ALIAS_FIELDS] = "SELECT DISTINCT field FROM aliases ORDER BY field",
	/* sum() fails where it overflows. */
	[ST_TOTALS] = "SELECT count(*), cast(total(bytes0) AS INTEGER),"
		      "cast(total(bytes1) AS INTEGER), cast(total(bytes2) AS INTEGER),"
		      "cast(total(bytes3) AS INTEGER), count(nullif(access0, 0)),"
		      "count(nullif(access1, 0)), count(nullif(access2, 0)),"
		      "count(nullif(access3, 0)), count(iif(changes = 0, 1, NULL)),"
		      "count(iif(changes = 1, 1, NULL)), ifnull(min(nullif(unflushed, 0)), 0), "
		      "cast(total(conflicts) AS INTEGER), cast(total(obsolete) AS INTEGER) "
		      "FROM users WHERE ?1 IS NULL OR root = ?1",
	[ST_ROOTS] = "SELECT DISTINCT root FROM users ORDER BY root",
	[ST_SETTLED] = "SELECT settled FROM users WHERE username = ?1",
	[ST_EACH] = "SELECT " COLUMNS " FROM users ORDER BY username",
	[ST_EACH_BY] = "SELECT " COLUMNS " FROM users ORDER BY sort_key("
		       "bytes0, bytes1, bytes2, bytes3, access0, access1, access2, access3), "
		       "username",
	[ST_FIND] = "SELECT " COLUMNS " FROM users WHERE username = ?1",
	[ST_SWEEP] = "DELETE FROM users WHERE root = ?1 AND seen IS NOT "
		     "(SELECT value FROM notes WHERE name = 'rescan')",
	[ST_SWEEP_ALIASES] = "DELETE FROM aliases WHERE username NOT IN "
			     "(SELECT username FROM users)",
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
	" changes INTEGER NOT NULL, last_service TEXT NOT NULL, settled BLOB NOT NULL,"
	" unflushed INTEGER NOT NULL, seen INTEGER,"
	" conflicts INTEGER NOT NULL DEFAULT 0, obsolete INTEGER NOT NULL DEFAULT 0)"
	" WITHOUT ROWID;"
	"CREATE TABLE aliases (username TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL,"
	" PRIMARY KEY (username, field)) WITHOUT ROWID;"
	"CREATE TABLE notes (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID;"
	"PRAGMA user_version = 3;";

/* All of it can be found again by a rescan. */
static const char empty_sql[] = "DROP TABLE IF EXISTS users; DROP TABLE IF EXISTS notes;"
				"DROP TABLE IF EXISTS aliases;";

/* A row that has something to tell here is not settled, so the next flush looks again. */
static const char upgrade_sql[] =
	"ALTER TABLE users ADD COLUMN conflicts INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE users ADD COLUMN obsolete INTEGER NOT NULL DEFAULT 0;"
	"PRAGMA user_version = 3;";

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

int registry_db_fail(const struct registry *registry, struct err *err, const char *what)
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
		return registry_db_fail(registry, err, "prepare");
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
		registry_db_fail(registry, err, "read");
	}
	sqlite3_finalize(st);
	return ret;
}

static int bring_up(struct registry *registry, int version, struct err *err)
{
	if (version >= REGISTRY_SCHEMA)
		return 0;
	if (version == REGISTRY_SCHEMA - 1)
		return exec(registry, upgrade_sql, err);
	return exec(registry, empty_sql, err) < 0 ? -1 : exec(registry, schema_sql, err);
}

/* Two programs may start on a machine that has no registry yet. */
static int make_schema(struct registry *registry, struct err *err)
{
	int version;

	if (exec(registry, "BEGIN IMMEDIATE", err) < 0)
		return -1;
	if (read_version(registry, &version, err) < 0 || bring_up(registry, version, err) < 0) {
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

static int is_empty(const struct registry *registry, int version, struct err *err)
{
	err_set(err, ERR_NOTFOUND, version == 0 ? "%s is empty" : "%s is of an older version",
		registry->path);
	return err_hint(err, "metacache-rescan fills it");
}

static void sort_key(sqlite3_context *context, int count, sqlite3_value **values)
{
	const struct registry *registry = sqlite3_user_data(context);
	struct registry_user user = { 0 };

	(void)count;
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		user.bytes_used[i] = (uint64_t)sqlite3_value_int64(values[i]);
		user.last_access[i] = sqlite3_value_int64(values[UNIT_PRIORITIES + i]);
	}
	sqlite3_result_int64(context, registry->order->key(registry->order->ctx, &user));
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
	if (version < REGISTRY_SCHEMA &&
	    (read_only ? is_empty(registry, version, err) : make_schema(registry, err)) < 0)
		return -1;
	if (sqlite3_create_function(registry->db, "sort_key", 2 * UNIT_PRIORITIES, SQLITE_UTF8,
				    registry, sort_key, NULL, NULL) != SQLITE_OK)
		return registry_db_fail(registry, err, "prepare");
	for (int i = 0; i < ST_MAX; i++) {
		if (sqlite3_prepare_v3(registry->db, statement_sql[i], -1,
				       SQLITE_PREPARE_PERSISTENT, &registry->statements[i],
				       NULL) != SQLITE_OK)
			return registry_db_fail(registry, err, "prepare");
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

/* A callback of registry_each() may ask for more. */
static void init_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

int registry_open(const char *path, bool read_only, struct registry **registry_r, struct err *err)
{
	struct registry *registry = xcalloc(1, sizeof *registry);
	int flags = SQLITE_OPEN_NOMUTEX |
		    (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);

	init_mutex(&registry->mutex);
	registry->path = xstrdup(path);
	if (sqlite3_open_v2(path, &registry->db, flags, NULL) != SQLITE_OK
		    ? registry_db_fail(registry, err, "open") < 0
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
		registry_db_fail(registry, err, "write");
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

int registry_db_write(struct registry *registry, enum statement which, struct err *err)
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
