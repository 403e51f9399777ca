/* Who is logged in on this backend, asked once for everybody: to leave out at a stroke those who
 * surely stay. It ages at once; ask doveadm_who() again before anything is done to a user.
 *
 * A session that has logged in but opened nothing yet shows here and nowhere else. */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "cluster/doveadm.h"

struct sessions;

/* 0, or -1 as doveadm_who_each(): then everybody may be logged in. */
int sessions_load(struct doveadm *doveadm, struct sessions **sessions_r, struct err *err);
void sessions_free(struct sessions **sessions);
#define autosessions CLEANUP(sessions_free)

/* How many the user has, whatever the case of the name. */
size_t sessions_of(const struct sessions *sessions, const char *user);

/* How many there are in all. */
size_t sessions_total(const struct sessions *sessions);
