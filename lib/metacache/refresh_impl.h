/* What the parts of a refresh share. Not for others. */
#pragma once

#include "metacache/fetch.h"
#include "metacache/refresh.h"
#include "metacache/remote.h"
#include "metacache/trash.h"

#define REFRESH_HINT_CHOOSE                                                                        \
	"metacache-refresh --discard-important takes the one in storage, "                         \
	"metacache-flush --overwrite the one here"

struct refresh {
	const struct metacache *mc;
	struct metacache_home home;
	const struct refresh_options *options;
	struct workers *pool;
	struct refresh_result *result;
	int homefd; /* -1: there is no home */
	struct home scanned;
	struct state root_state;
	bool has_root_state;
	struct remote_unit_vec remote;
	struct trash staging;
	struct fetch_job *jobs;
	size_t job_count;
	bool stale; /* an object of the listing is gone */
	bool told_unknown;
};

/* One unit that is to come from storage. */
struct fetch_job {
	struct refresh *refresh;
	const struct remote_unit *remote;
	enum refresh_outcome outcome; /* what it is once installed: created or changed */
	struct changes_found crashed; /* the rule gives up what is here: its changes; else
					 without a reason */
	char name[24];                /* in staging */
	struct fetched fetched;
	int ret; /* of fetch_unit() */
	struct err err;
};

/* Count a unit's outcome, with what went wrong. */
void refresh_note(struct refresh *refresh, enum refresh_outcome outcome, const struct err *err);

/* Whether the changes of what the crash rule gives up have to be kept. */
bool refresh_job_keeps(const struct fetch_job *job);

/* The .state of the unit that is here; false where there is none. */
bool refresh_read_here(const struct refresh *refresh, const char *id, struct state *state_r);

/* Which folders are gone, as the newest root indexes say that are known here. */
const struct bundle_gone_vec *refresh_gone(const struct refresh *refresh);

/* refresh_judge.c: what is to become of a unit that storage has. CREATED and CHANGED: it is to be
 * fetched; then crashed_r has a reason if the crash rule gives up what is here. */
enum refresh_outcome refresh_judge(struct refresh *refresh, const struct remote_unit *remote,
				   struct changes_found *crashed_r, struct err *err);
/* Would anything be lost if storage's version took its place? Unknown counts as yes. What an
 * interrupted refresh left is nobody's work, unless somebody has worked on it since. */
bool refresh_judge_important(int unitfd, const struct unit *unit, const struct state *state);
/* Said to whoever lists the users; not worth more than a warning. */
void refresh_judge_note(const struct refresh *refresh, int unitfd, enum state_standing standing);

/* refresh_install.c: what was fetched takes its place. A home that is not there is built aside
 * with all its units, then it takes one rename; 0 or -1. */
int refresh_install_home(struct refresh *refresh, struct err *err);
/* Unit by unit; what fails is noted. */
void refresh_install_units(struct refresh *refresh);
/* Remove folders that were deleted elsewhere, and have neither important changes nor readers. */
void refresh_install_gone(struct refresh *refresh);
