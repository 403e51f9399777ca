/* What a director's answers prove. Pure: how they come here is the business of others.
 *
 * Dovecot 2.3, src/director: a user has an assigned host as long as sessions renew it
 * (director_user_expire); without one the next session goes to the host that the name is
 * hashed to, among those that are up, by their vhosts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "cluster/host.h"
#include "cluster/owner.h"

#define DIRECTOR_TAG_MAX 63

struct director_host {
	struct host host;
	char tag[DIRECTOR_TAG_MAX + 1]; /* of the group of backends it is in; "" the usual one */
	uint64_t vhosts;
	uint64_t users; /* assigned to it; UINT64_MAX: not told */
	bool is_up;
};
VEC(director_host_vec, struct director_host);

/* Take a backend as the director names it. -1 ERR_DATA when the texts make no sense. */
int director_host_add(struct director_host_vec *hosts, const char *address, const char *tag,
		      const char *vhosts, bool is_up, struct err *err);

const struct director_host *director_host_find(const struct director_host_vec *hosts,
					       const struct host *host);

/* `here` among them; -1 ERR_CONFIG, and which there are, when it is not: a typo must
 * not make every user somebody else's. */
int director_host_need(const struct director_host_vec *hosts, const struct host *here,
		       const struct director_host **host_r, struct err *err);

/* What the director says of a user. */
struct director_user {
	bool is_assigned;
	struct host current; /* if assigned */
	int64_t expires_s;   /* UNIX time */
	bool is_hashed;      /* there is a host for it */
	struct host hashed;
};

/* Texts as answered: `current` and `hashed` are "" for none. -1 ERR_DATA. */
int director_user_set(struct director_user *user_r, const char *current, int64_t expires_s,
		      const char *hashed, struct err *err);

/* Names that a director takes for the hash of another one. */
bool director_takes_for_hash(const char *user);

/* Judge an answer that came between two listings of the backends. */
struct director_view {
	const struct host *here;
	const struct director_host_vec *before, *after;
	int64_t now_s;
};
void director_judge(const struct director_view *view, const struct director_user *user,
		    struct owner_answer *answer);
