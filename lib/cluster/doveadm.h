/* Dovecot's doveadm HTTP API (POST /doveadm/v1), as Dovecot 2.3 speaks it:
 *
 *   [["who",{"mask":["u@d"]},"t"]]  →  [["doveadmResponse",[{"username":"u@d",…}],"t"]]
 *   an error                        →  [["error",{"type":"exitCode","exitCode":68},"t"]]
 *
 * Thread-safe; one connection is kept. The API key is in no message. */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"

struct doveadm;

/* `url` is that of the API's listener, e.g. http://127.0.0.1:8080/doveadm/v1 (the path
 * may be left out). `api_key` is copied. 0 or -1 ERR_CONFIG. */
int doveadm_open(const char *url, const char *api_key, struct doveadm **doveadm_r, struct err *err);
void doveadm_close(struct doveadm **doveadm);

/* How many sessions (IMAP, POP3, …) the user has on this backend. 0 with
 * *sessions_r; -1 when it can't be told: then nobody knows, and the caller keeps
 * its hands off. A user name with * or ? may count more sessions than are its own. */
int doveadm_who(struct doveadm *doveadm, const char *user, unsigned *sessions_r, struct err *err);

/* What userdb says about a user. */
enum doveadm_known {
	DOVEADM_KNOWN,
	DOVEADM_UNKNOWN,  /* the answer is: there is no such user */
	DOVEADM_NOT_TOLD, /* no answer for this one; `err` says why, and whether to try again */
};
struct doveadm_field {
	char *name, *value;
};
VEC(doveadm_field_vec, struct doveadm_field);
struct doveadm_user {
	const char *username; /* who is asked for */
	enum doveadm_known known;
	struct doveadm_field_vec fields; /* uid, gid, home, mail and the extra fields */
	struct err err;
};

/* Look up many users in one request; a few hundred are a fair number, about half a
 * millisecond each. Fills in all but `username` of each. 0; -1 when nothing was
 * answered, or nothing that makes sense (ERR_DATA: one user's fields can be the
 * cause, so that fewer users at once may do). */
int doveadm_users(struct doveadm *doveadm, struct doveadm_user *users, size_t count,
		  struct err *err);
void doveadm_user_free(struct doveadm_user *user);
