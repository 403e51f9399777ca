/* The database behind the registry: opening, schema, statements, transactions.
 * Inside the registry only; every function but registry_db_open() is called with the
 * mutex held. */
#pragma once

#include <pthread.h>
#include <sqlite3.h>

#include "metacache/registry.h"

enum statement {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_PUT,
	ST_REMOVE,
	ST_REMOVE_ALIASES,
	ST_ADD_ALIAS,
	ST_ALIASES,
	ST_ALIAS_FIELDS,
	ST_SETTLED,
	ST_EACH,
	ST_EACH_BY,
	ST_FIND,
	ST_TOTALS,
	ST_ROOTS,
	ST_SWEEP,
	ST_SWEEP_ALIASES,
	ST_COUNT,
	ST_NOTE,
	ST_VALUE,
	ST_MAX,
};

struct registry {
	pthread_mutex_t mutex;
	sqlite3 *db;
	char *path;
	sqlite3_stmt *statements[ST_MAX];
	const struct registry_order *order; /* while ST_EACH_BY runs */
	bool batch;
	unsigned pending; /* writes in the open transaction of a batch */
	int64_t pending_since_ms;
};

/* Fill in the error that SQLite has just had; returns -1. */
int registry_db_fail(const struct registry *registry, struct err *err, const char *what);

/* Run a statement whose values are bound and that returns no rows, in the open
 * batch or in a transaction of its own. */
int registry_db_write(struct registry *registry, enum statement which, struct err *err);
