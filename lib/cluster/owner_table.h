/* Answers of the form "user<TAB>host", put to those who were asked for; private to this folder.
 *
 * Names are the same whatever the case of their letters, as they are for a director
 * (director_username_hash = %Lu). A user who is given two hosts is unknown. */
#pragma once

#include <stdbool.h>

#include "cluster/owner_driver.h"

struct owner_table {
	const struct host *here;
	struct owner_answer **answers; /* by name */
	size_t count;
	bool has_here; /* a line has named this host */
};

void owner_table_init(struct owner_table *table, const struct host *here,
		      struct owner_answer *const *answers, size_t count);
void owner_table_free(struct owner_table *table);
#define autotable CLEANUP(owner_table_free)

/* Take one line; it may be about anybody. With no user in front of the tab it just says
 * that there is such a host. -1 ERR_DATA: it is not of that form. */
int owner_table_take(struct owner_table *table, const char *line, struct err *err);
