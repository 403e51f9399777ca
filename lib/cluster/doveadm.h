/* Dovecot's doveadm HTTP API (POST /doveadm/v1), as Dovecot 2.3 speaks it:
 *
 *   [["who",{"mask":["u@d"]},"t"]]  →  [["doveadmResponse",[{"username":"u@d",…}],"t"]]
 *   an error                        →  [["error",{"type":"exitCode","exitCode":68},"t"]]
 *
 * Thread-safe; one connection is kept. The API key is in no message. */
#pragma once

#include "base/cleanup.h"
#include "base/err.h"

struct doveadm;

/* `url` is that of the API's listener, e.g. http://127.0.0.1:8080/doveadm/v1 (the path
 * may be left out). `api_key` is copied. 0 or -1 ERR_CONFIG. */
int doveadm_open(const char *url, const char *api_key, struct doveadm **doveadm_r, struct err *err);
void doveadm_close(struct doveadm **doveadm);

/* How many sessions (IMAP, POP3, …) the user has on this backend. 0 with
 * *sessions_r; -1 when it can't be told: then nobody knows, and the caller keeps
 * its hands off. A user name with * or ? may count more sessions than are its own. */
int doveadm_who(struct doveadm *doveadm, const char *user, unsigned *sessions_r, struct err *err);
