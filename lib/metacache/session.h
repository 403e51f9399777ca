/* Is somebody using these files, or is the user logged in, right now? */
#pragma once

#include "base/err.h"
#include "metacache/unit.h"

struct doveadm;

/* 1 when another process has a file of the unit open, 0 when surely none has, -1
 * when it can't be told (a filesystem without leases, no right): then the caller
 * keeps its hands off.
 *
 * The kernel answers: a write lease is only given on a file that nobody else has
 * open. It is given back at once. Programs of ours that read the unit count too;
 * the user lock keeps them apart. */
int session_unit_in_use(int unitfd, const struct unit *unit, struct err *err);

/* The same for all units of a home. */
int session_home_in_use(int homefd, const struct home *home, struct err *err);

/* Dovecot's word: a session that has logged in but opened nothing yet holds no file. 1 with
 * ERR_BUSY, 0 when there is none or `doveadm` is NULL, -1 when it can't be told. */
int session_logged_in(struct doveadm *doveadm, const char *user, struct err *err);
