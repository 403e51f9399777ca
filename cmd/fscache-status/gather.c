#include "fscache-status/gather.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fsx.h"

#define NS_PER_S 1000000000

uint64_t forms_turnover(const struct forms_cache *cache)
{
	uint64_t per_minute = cache->status.evictions_per_minute;

	return per_minute > 0 ? cache->status.totals.files * 60 / per_minute : 0;
}

/* Whether the limit is that of this directory, however its path is spelled. */
static bool is_limited(const struct gather_options *options, const char *path, int fd)
{
	struct stat this, other;

	/* As a rule it is one of them: there may be thousands, one for each user. */
	if (str_vec_has(options->limited, path))
		return true;
	if (fstat(fd, &this) < 0)
		return false;
	for (size_t i = 0; i < options->limited->count; i++) {
		if (stat(options->limited->items[i], &other) == 0 && other.st_dev == this.st_dev &&
		    other.st_ino == this.st_ino)
			return true;
	}
	return false;
}

static void read_cache(const struct gather_options *options, const char *path,
		       struct forms_cache *cache)
{
	autofd int fd = fsx_open_root(path, &cache->err);
	uint64_t limit_bytes;

	cache->path = path;
	if (fd < 0)
		return;
	limit_bytes = is_limited(options, path, fd) ? options->limit_bytes : 0;
	if (fscache_status_read(fd, limit_bytes, options->scan, &cache->status, &cache->err) < 0 ||
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

void gather(const struct gather_options *options, struct forms *forms_r)
{
	const struct str_vec *paths = options->paths;
	autofree struct fscache_held *held = xcalloc(paths->count + 1, sizeof *held);

	*forms_r = (struct forms){
		.now_s = clock_now_ns() / NS_PER_S,
		.caches = xcalloc(paths->count + 1, sizeof *forms_r->caches),
		.count = paths->count,
		.all_processes = options->held->all,
	};
	for (size_t i = 0; i < paths->count; i++)
		read_cache(options, paths->items[i], &forms_r->caches[i]);
	set_wanted(forms_r);
	fscache_held_sum(options->held, paths, held, &forms_r->holders);
	for (size_t i = 0; i < paths->count; i++)
		forms_r->caches[i].held = held[i];
}

void gather_free(struct forms *forms)
{
	free(forms->caches);
	vec_free(&forms->holders);
}
