/* Who owns a user: which backend the director, or whatever spreads the users, sends
 * them to. Asked before anything of a user is pruned; what can't be told for certain
 * is OWNER_UNKNOWN, and the caller keeps its hands off.
 *
 * The setting `director` says whom to ask:
 *
 *   http://host:port[/doveadm/v1]   doveadm's HTTP API on a director
 *   https://…                       the same, the certificate is verified
 *   unix:<path>                     the director-admin socket on this host
 *   map:<file>                      lines "user<TAB>host"; a user not named is unknown
 *   command:<path> [args]           gets users on stdin, a line each; answers
 *                                   "user<TAB>host" in any order (Dovecot 2.4, other proxies)
 *
 * The last two have to name this host at least once, and may name hosts without users by
 * "<TAB>host". `director_timeout` bounds every wait; for http, those without any progress, and six
 * times that a request as a whole.
 *
 * `backend_host` is this host by the name or address that those answer. Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "conf/settings.h"

enum owner_where {
	OWNER_UNKNOWN,   /* `err` says why */
	OWNER_HERE,      /* assigned to this host, or would be */
	OWNER_ELSEWHERE, /* assigned to another host right now */
	/* Not assigned; the next session would go to another host that is up, and this host takes
	 * users. Proves less: the caller asks storage, too. */
	OWNER_WOULD_BE_ELSEWHERE,
};
const char *owner_where_name(enum owner_where where);

struct owner_answer {
	const char *user; /* whom to ask for; the caller's */
	enum owner_where where;
	char host[256];    /* the host meant, "" unknown */
	int64_t expires_s; /* UNIX time until which the assignment holds unless renewed; 0: none */
	struct err err;    /* of OWNER_UNKNOWN */
};

struct owner;

/* -1 with ERR_CONFIG when `director` or `backend_host` is not set or makes no sense. Nothing
 * is asked yet. `settings` must outlive it. */
int owner_open(const struct settings *settings, struct owner **owner_r, struct err *err);
void owner_close(struct owner **owner);

/* Ask for many users at once; an answer takes more than a kilobyte, so a few thousand at a
 * time. Fills in everything but `user`. 0, whatever is known of each; -1 only when nothing is
 * known of any (no answer, not allowed, garbage): then all are OWNER_UNKNOWN. Nothing is
 * remembered from one call to the next, but that a program has named this host: a call made
 * now says what holds now. */
int owner_lookup(struct owner *owner, struct owner_answer *answers, size_t count, struct err *err);
