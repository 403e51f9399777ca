#include "fscache/fscache_rate.h"

#include <stdbool.h>

#include "fscache/fscache_reader.h"

#define TAIL_BYTES (4 << 20)

struct walk {
	struct fscache_rate *rate;
	int64_t since_s, now_s;
	uint64_t in_window; /* - lines, until there is a point */
	int64_t when_s;     /* of the last checkpoint; INT64_MIN: there was none */
	uint64_t evictions; /* by then, */
	uint64_t lines;     /* and - lines since */
	bool is_whole;      /* nothing is missing where that began */
};

static uint64_t less(uint64_t from, uint64_t n)
{
	return from > n ? from - n : 0;
}

static void add_point(struct fscache_rate *rate, int64_t when_s, uint64_t evictions)
{
	if (rate->count == FSCACHE_RATE_POINTS ||
	    (rate->count > 1 &&
	     when_s < rate->points[rate->count - 1].when_s + FSCACHE_RATE_APART_S))
		return;
	rate->points[rate->count].when_s = when_s;
	rate->points[rate->count++].evictions = evictions;
}

/* What had been evicted when the window began, by its first checkpoint. One that counts
 * more than there are lines tells that the log was rewritten: then they are spread evenly over
 * the time since the checkpoint before, or, without one, nothing is known of that time. */
static void begin_window(const struct walk *walk, int64_t when_s, uint64_t evictions)
{
	uint64_t more = less(evictions, walk->evictions);

	if (walk->is_whole && more == walk->lines)
		add_point(walk->rate, walk->since_s, less(evictions, walk->in_window));
	else if (walk->when_s != INT64_MIN)
		add_point(walk->rate, walk->since_s,
			  walk->evictions + (uint64_t)((unsigned __int128)more *
						       (uint64_t)(walk->since_s - walk->when_s) /
						       (uint64_t)(when_s - walk->when_s)));
}

static void take_checkpoint(struct walk *walk, int64_t when_s, uint64_t evictions)
{
	if (when_s >= walk->since_s) {
		if (walk->rate->count == 0)
			begin_window(walk, when_s, evictions);
		add_point(walk->rate, when_s, evictions);
	}
	walk->when_s = when_s;
	walk->evictions = evictions;
	walk->lines = 0;
	walk->is_whole = true;
}

static void take(struct walk *walk, const struct fscache_record *record, uint64_t evictions)
{
	if (record->kind == FSCACHE_REMOVED) {
		walk->lines++;
		walk->in_window += walk->rate->count == 0 && record->when_s >= walk->since_s;
	} else if (record->kind == FSCACHE_CHECKPOINT && record->when_s <= walk->now_s &&
		   record->totals.evictions <= evictions) {
		take_checkpoint(walk, record->when_s, record->totals.evictions);
	}
}

int fscache_rate_read(const struct fscache_log *log, int64_t now_s, struct fscache_rate *rate_r,
		      struct err *err)
{
	bool is_long = log->offset > FSCACHE_LOG_START + TAIL_BYTES;
	uint64_t from = is_long ? log->offset - TAIL_BYTES : FSCACHE_LOG_START;
	struct walk walk = { .rate = rate_r,
			     .since_s = now_s - FSCACHE_RATE_WINDOW_S,
			     .now_s = now_s,
			     .when_s = INT64_MIN,
			     .is_whole = !is_long };
	struct fscache_reader reader;
	struct fscache_record record;
	int ret;

	rate_r->count = 0;
	fscache_reader_init(&reader, log->fd, from, log->offset);
	while ((ret = fscache_reader_next(&reader, &record, err)) > 0)
		take(&walk, &record, log->totals.evictions);
	if (rate_r->count == 0)
		add_point(rate_r, walk.since_s, less(log->totals.evictions, walk.in_window));
	return ret;
}

uint64_t fscache_rate_per_minute(const struct fscache_rate *rate, uint64_t evictions, int64_t now_s)
{
	int64_t seconds = now_s - rate->points[0].when_s;

	return less(evictions, rate->points[0].evictions) * 60 /
	       (uint64_t)(seconds > 0 ? seconds : 1);
}
