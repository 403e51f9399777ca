/* A director, by doveadm's HTTP API. Thread rule and errors are those of doveadm.h; a refused
 * command is ERR_TEMP, a host that the director does not have ERR_NOTFOUND. */
#pragma once

#include "cluster/director.h"
#include "cluster/doveadm.h"

/* The backends. Appended. */
int doveadm_director_hosts(struct doveadm *doveadm, struct director_host_vec *hosts,
			   struct err *err);

/* Where one user is sent, and what the hashes of names are; `director.h` says what is to be
 * made of it. */
struct doveadm_director_query {
	const char *user; /* whom to ask for, or a hash in digits */
	struct director_user answer;
	struct err err; /* no answer about this one */
};

/* Ask for many users with a tag ("" none), and then for the backends, all in one request; a few
 * thousand are a fair number, a tenth of a millisecond each. */
int doveadm_director_users(struct doveadm *doveadm, const char *tag,
			   struct doveadm_director_query *queries, size_t count,
			   struct director_host_vec *hosts_after, struct err *err);

/* The hashes by which the director knows users, with its own director_username_hash. For each
 * user its hash in digits, or an empty text where there was no answer. */
struct doveadm_director_hash {
	char text[16];
};
int doveadm_director_hashes(struct doveadm *doveadm, const char *const *users, size_t count,
			    struct doveadm_director_hash *hashes_r, struct err *err);

/* Change what share of new users a backend gets: 0 is none, 100 is usual. Those that are
 * assigned to it stay. */
int doveadm_director_update(struct doveadm *doveadm, const struct host *host, unsigned vhosts,
			    struct err *err);

/* Mark it as down: it gets no new users. Those that are assigned to it stay until flushed. */
int doveadm_director_down(struct doveadm *doveadm, const struct host *host, struct err *err);
int doveadm_director_up(struct doveadm *doveadm, const struct host *host, struct err *err);

/* Move its users to where they are hashed now; their sessions end. Returns when that is done.
 * A host that takes users keeps those that are hashed to it. */
int doveadm_director_flush(struct doveadm *doveadm, const struct host *host, struct err *err);
