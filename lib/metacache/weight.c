#include "metacache/weight.h"

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static bool within(uint64_t bytes, unsigned percent, uint64_t limit)
{
	return limit == 0 || (unsigned __int128)bytes * 100 <= (unsigned __int128)limit * percent;
}

/* adjustment * part / whole; part <= whole, adjustment >= 0. */
static int64_t share(int64_t adjustment, uint64_t part, uint64_t whole)
{
	return (int64_t)(((unsigned __int128)adjustment * part + whole / 2) / whole);
}

static int64_t size_adjustment(const struct settings_size_weights *weights, uint64_t bytes)
{
	uint64_t low = weights->low_bytes, high = weights->high_bytes;

	if (high == 0) /* the setting is empty */
		return 0;
	if (bytes <= low)
		return share(weights->low_add, low - bytes, low);
	return share(weights->high_add, (bytes < high ? bytes : high) - low, high - low);
}

int64_t weight_of(const struct settings *settings, unsigned priority, int64_t last_access_s,
		  uint64_t bytes, uint64_t priority_bytes)
{
	const struct settings_priority_weight *of = &settings->metacache_priority_weights[priority];
	int64_t weight = last_access_s;

	if (within(priority_bytes, of->percent, settings->metacache_max_space_bytes))
		weight = add(weight, of->adjust_s);
	return add(weight, size_adjustment(&settings->metacache_size_weights, bytes));
}

int64_t weight_user(const struct settings *settings,
		    const int64_t last_access_s[SETTINGS_PRIORITIES],
		    const uint64_t bytes[SETTINGS_PRIORITIES],
		    const uint64_t priority_bytes[SETTINGS_PRIORITIES],
		    int64_t weights_r[SETTINGS_PRIORITIES])
{
	int64_t lowest = INT64_MAX, highest = INT64_MIN;

	for (unsigned i = SETTINGS_PRIORITIES; i-- > 0;) {
		weights_r[i] = INT64_MAX;
		if (last_access_s[i] == 0)
			continue;
		weights_r[i] =
			weight_of(settings, i, last_access_s[i], bytes[i], priority_bytes[i]);
		if (weights_r[i] < highest)
			weights_r[i] = highest;
		highest = weights_r[i];
		if (lowest == INT64_MAX)
			lowest = highest;
	}
	return lowest;
}
