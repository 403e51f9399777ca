/* Which of a unit's listed bundles no other contains, and which of them to take; fetch.h is the
 * whole. */
#pragma once

#include "metacache/fetch_load.h"
#include "metacache/state.h"

struct fetch_head {
	const struct remote_object *object;
	int64_t created_ns; /* 0: not read */
};
VEC(fetch_head_vec, struct fetch_head);

struct fetch_heads {
	struct fetch_head_vec heads; /* the one to take first */
	struct str_vec included;     /* names of what is contained in a head */
};
void fetch_heads_free(struct fetch_heads *heads);
#define autoheads CLEANUP(fetch_heads_free)

/* Reads manifests until it is known which bundles are heads: none after a single writer whose
 * superseded ones are deleted, one where some are not, or with `read_one`. 1; 0 the listing is out
 * of date; -1. */
int fetch_heads_find(struct fetch_load *load, bool read_one, struct fetch_heads *heads,
		     struct err *err);

/* The operator has chosen storage: the newest that is not what is here already. All others count
 * as contained in it. */
void fetch_heads_choose(const struct fetch_load *load, const struct state *discard,
			struct fetch_heads *heads);

/* It can't be taken: its base is gone. */
bool fetch_heads_is_orphan(const struct fetch_load *load, const struct fetch_head *head);
