/* Cleanup weights: in which order local indexes give way when metacache_max_space is
 * reached. The lowest weight goes first. The rules are those that Dovecot's
 * documentation gives for metacache_priority_weights and metacache_size_weights.
 *
 * Pure functions: no I/O, any thread. */
#pragma once

#include <stdint.h>

#include "conf/settings.h"

/* The weight of what one user has of one priority: `last_access_s`, plus the
 * priority's adjustment while `priority_bytes`, which all users' indexes of this
 * priority use together on this backend, is at most its percentage of
 * metacache_max_space (always, where there is no limit), plus the adjustment for `bytes`,
 * which this user's use, rounded to the nearest. UNIX seconds; what would overflow
 * stays at the end of the range. */
int64_t weight_of(const struct settings *settings, unsigned priority, int64_t last_access_s,
		  uint64_t bytes, uint64_t priority_bytes);

/* The weights of all that one user has, the arguments being arrays by priority: as a
 * priority takes those below it along, it weighs at least what they do. weights_r is
 * INT64_MAX where last_access_s is 0: nothing of this priority is here. Returns the
 * lowest, which is that of the lowest priority that is here; INT64_MAX for nothing. */
int64_t weight_user(const struct settings *settings,
		    const int64_t last_access_s[SETTINGS_PRIORITIES],
		    const uint64_t bytes[SETTINGS_PRIORITIES],
		    const uint64_t priority_bytes[SETTINGS_PRIORITIES],
		    int64_t weights_r[SETTINGS_PRIORITIES]);
