/* The steps of drain.h; private to drain*.c. */
#pragma once

#include "cluster/host.h"
#include "metacache/drain.h"

struct doveadm;

struct drain {
	const struct metacache *mc;
	const struct drain_options *options;
	const struct drain_callbacks *callbacks;
	struct drain_totals *totals;
	struct doveadm *director; /* once it was needed */
	struct host here;         /* in the director */
};

/* Each fills in count and detail, and result where it is another one than done. 0, or -1 with
 * row->err. */
typedef int drain_step_fn(struct drain *drain, struct drain_row *row);
drain_step_fn drain_dovecot_stop, drain_dovecot_kick;
drain_step_fn drain_director_vhosts, drain_director_wait, drain_director_down, drain_director_flush;

/* Say what was done or is to be done. 0. */
int drain_detail(struct drain_row *row, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int drain_skip(struct drain_row *row, const char *why);
