/* Alternative user names: the fields user_* that Dovecot's userdb returns, kept in the
 * registry. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/vec.h"
#include "metacache/metacache.h"

/* Whether a field of this name is an alternative user name: "user_" and then only what needs no
 * quoting in a header, a list of fields or a script (letters, digits, '_', '-', '.'; 64 bytes in
 * all). */
bool userdb_is_alias(const char *field);

enum userdb_outcome {
	USERDB_UPDATED,
	USERDB_UNCHANGED,
	USERDB_UNKNOWN, /* userdb has no such user: the registry's row stays as it is */
	USERDB_FAILED,  /* nobody knows: it stays as it is */
};
const char *userdb_outcome_name(enum userdb_outcome outcome);

struct userdb_result {
	const char *username;
	enum userdb_outcome outcome;
	size_t aliases; /* that userdb returned */
	struct err err; /* of USERDB_FAILED */
};

/* Return 0 to go on, -1 with err to stop. */
typedef int userdb_fn(void *ctx, const struct userdb_result *result, struct err *err);

/* Ask userdb about users of the registry, many in a request, and store what it says unless
 * `dry_run`. 0 when each had a result; -1 when the service or the registry fails as a whole, or
 * `fn` stopped: users without a result stay as they are. `mc` needs METACACHE_REGISTRY and
 * METACACHE_SESSIONS; without doveadm_url: ERR_CONFIG. */
int userdb_update(const struct metacache *mc, const struct str_vec *users, bool dry_run,
		  userdb_fn *fn, void *ctx, struct err *err);
