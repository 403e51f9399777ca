#include "fscache-status/gather.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fsx.h"

#define NS_PER_S 1000000000

uint64_t forms_turnover(const struct forms_cache *cache)
{
	uint64_t per_minute = cache->status.evictions_per_minute;

	return per_minute > 0 ? cache->status.totals.files * 60 / per_minute : 0;
}

static void read_cache(struct forms_cache *cache, const char *path, uint64_t limit_bytes, bool scan)
{
	autofd int fd = fsx_open_root(path, &cache->err);

	cache->path = path;
	cache->status.limit_bytes = limit_bytes;
	if (fd < 0 || fscache_status_read(fd, limit_bytes, scan, &cache->status, &cache->err) < 0 ||
	    cache->status.has_log)
		return;
	err_set(&cache->err, ERR_DATA, "there is no fscache.log");
	err_hint(&cache->err, "fscache-rescan makes it, if this is a cache");
}

/* Room for each cache's limit twice: while an object is fetched, it is there beside what is
 * to make way for it, and what was evicted may still be open. */
static void set_wanted(struct forms *forms)
{
	for (size_t i = 0; i < forms->count; i++) {
		for (size_t k = 0; k < forms->count; k++) {
			if (forms->caches[k].status.dev == forms->caches[i].status.dev)
				forms->caches[i].wanted_bytes +=
					2 * forms->caches[k].status.limit_bytes;
		}
	}
}

int gather(const struct str_vec *paths, uint64_t limit_bytes, bool scan, struct forms *forms_r,
	   struct err *err)
{
	autofree struct fscache_held *held = xcalloc(paths->count + 1, sizeof *held);

	*forms_r = (struct forms){
		.now_s = clock_now_ns() / NS_PER_S,
		.caches = xcalloc(paths->count + 1, sizeof *forms_r->caches),
		.count = paths->count,
	};
	for (size_t i = 0; i < paths->count; i++)
		read_cache(&forms_r->caches[i], paths->items[i], limit_bytes, scan);
	set_wanted(forms_r);
	if (fscache_held_find(paths, held, &forms_r->holders, &forms_r->all_processes, err) < 0)
		return -1;
	for (size_t i = 0; i < paths->count; i++)
		forms_r->caches[i].held = held[i];
	return 0;
}

void gather_free(struct forms *forms)
{
	free(forms->caches);
	vec_free(&forms->holders);
}
