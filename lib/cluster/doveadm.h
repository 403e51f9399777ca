/* Dovecot's doveadm HTTP API (POST /doveadm/v1), as Dovecot 2.3 speaks it:
 *
 *   [["who",{"mask":["u@d"]},"t"]]  →  [["doveadmResponse",[{"username":"u@d",…}],"t"]]
 *   an error                        →  [["error",{"type":"exitCode","exitCode":68},"t"]]
 *
 * Thread-safe; one connection is kept. The API key is in no message. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"

struct doveadm;

/* `url` is that of the API's listener, e.g. http://127.0.0.1:8080/doveadm/v1 (the path
 * may be left out). `api_key` is copied. 0 or -1 ERR_CONFIG. */
int doveadm_open(const char *url, const char *api_key, struct doveadm **doveadm_r, struct err *err);
void doveadm_close(struct doveadm **doveadm);

/* How long to wait without any progress; 10 s unless set. A request as a whole may take six times
 * that. Not while a command is under way. */
void doveadm_set_timeout_ms(struct doveadm *doveadm, int64_t timeout_ms);

/* Every function below returns 0, or -1: ERR_NOPERM the key was refused, or the command;
 * ERR_UNAVAILABLE unreachable, too slow or no doveadm; ERR_DATA the answer makes no sense;
 * ERR_TEMP Dovecot could not do it. What was asked may have been done all the same. */

/* ---- sessions of this backend ---- */

/* How many sessions (IMAP, POP3, …) the user has on this backend, whatever the case of the
 * name. -1: nobody knows, and the caller keeps its hands off. Once there was no answer in time,
 * nobody is asked for any more: the others would wait for the same again, one after the other. */
int doveadm_who(struct doveadm *doveadm, const char *user, unsigned *sessions_r, struct err *err);

/* All of them, or those whose user name a mask matches (* and ?, any case; NULL: all). A mask
 * that doveadm can read as an address is one of clients: give names to doveadm_who(). */
struct doveadm_session {
	const char *username, *service; /* imap, lmtp, … */
};
typedef void doveadm_who_fn(void *ctx, const struct doveadm_session *session);
int doveadm_who_each(struct doveadm *doveadm, const char *mask, doveadm_who_fn *fn, void *ctx,
		     struct err *err);

/* End the sessions of the users that the mask matches. How many users had any. They are told
 * to end, and may take a moment. */
int doveadm_kick(struct doveadm *doveadm, const char *mask, unsigned *users_r, struct err *err);

/* ---- services of this backend ---- */

struct doveadm_service {
	char name[64];
	unsigned processes;
	bool stopped; /* by doveadm_service_stop(), until Dovecot reloads */
};
VEC(doveadm_service_vec, struct doveadm_service);

/* All services that the configuration has. Appended. */
int doveadm_services(struct doveadm *doveadm, struct doveadm_service_vec *services,
		     struct err *err);

/* Take no new connections, and end those processes that serve none. ERR_NOTFOUND: no such
 * service. */
int doveadm_service_stop(struct doveadm *doveadm, const char *service, struct err *err);

/* ---- users ---- */

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
