#include "fscache-status/forms.h"
#include "json/json.h"

/* null where it is not known. */
static void set_known(struct json *object, const char *name, bool is_known, uint64_t value)
{
	if (is_known)
		json_set_int(object, name, value > INT64_MAX ? INT64_MAX : (int64_t)value);
	else
		json_set_str(object, name, NULL);
}

static void set_uint(struct json *object, const char *name, uint64_t value)
{
	set_known(object, name, true, value);
}

static void set_log(struct json *object, const struct forms_cache *cache)
{
	const struct fscache_status *status = &cache->status;
	const struct fscache_totals *totals = &status->totals;
	uint64_t reads = totals->hits + totals->misses + totals->passed;
	uint64_t turnover_s = forms_turnover(cache);
	bool is_known = status->has_log;

	set_known(object, "files", is_known, totals->files);
	set_known(object, "bytes", is_known, totals->bytes);
	set_known(object, "limit", status->limit_bytes > 0, status->limit_bytes);
	set_known(object, "percent", is_known && status->limit_bytes > 0,
		  forms_percent(totals->bytes, status->limit_bytes));
	set_known(object, "hits", is_known, totals->hits);
	set_known(object, "misses", is_known, totals->misses);
	set_known(object, "passed", is_known, totals->passed);
	set_known(object, "hit_percent", is_known && reads > 0, forms_percent(totals->hits, reads));
	set_known(object, "evictions", is_known, totals->evictions);
	set_known(object, "evictions_per_minute", is_known, status->evictions_per_minute);
	set_known(object, "turnover_seconds", turnover_s > 0, turnover_s);
	set_known(object, "log_bytes", is_known, status->log_bytes);
}

static void set_scan(struct json *object, const struct forms_cache *cache)
{
	const struct fscache_status *status = &cache->status;
	bool is_known = status->is_scanned;

	set_known(object, "real_files", is_known, status->files);
	set_known(object, "real_bytes", is_known, status->bytes);
	if (is_known && status->has_log)
		json_set_int(object, "off_bytes", forms_off(cache));
	else
		json_set_str(object, "off_bytes", NULL);
	set_known(object, "oversize_files", is_known, status->oversize_files);
	set_known(object, "oversize_bytes", is_known, status->oversize_bytes);
	set_known(object, "foreign_files", is_known, status->foreign_files);
	set_known(object, "foreign_bytes", is_known, status->foreign_bytes);
	set_known(object, "strange", is_known, status->strange);
}

static struct json *cache_of(const struct forms_cache *cache)
{
	const struct fscache_disk *disk = &cache->status.disk;
	struct json *object = json_new_object();

	json_set_str(object, "path", cache->path);
	set_log(object, cache);
	set_scan(object, cache);
	set_known(object, "deleted_open_files", cache->held.is_known, cache->held.files);
	set_known(object, "deleted_open_bytes", cache->held.is_known, cache->held.bytes);
	set_known(object, "filesystem_size", disk->size_bytes > 0, disk->size_bytes);
	set_known(object, "filesystem_free", disk->size_bytes > 0, disk->avail_bytes);
	set_known(object, "filesystem_wanted", cache->wanted_bytes > 0, cache->wanted_bytes);
	json_set_str(object, "error", cache->err.code != ERR_NONE ? cache->err.msg : NULL);
	return object;
}

static struct json *holder_of(const struct forms *forms, const struct fscache_holder *holder)
{
	struct json *object = json_new_object();

	json_set_int(object, "pid", holder->pid);
	json_set_str(object, "command", holder->command);
	json_set_str(object, "path", forms->caches[holder->cache].path);
	set_uint(object, "files", holder->files);
	set_uint(object, "bytes", holder->bytes);
	return object;
}

void document_print(const struct forms *forms, struct buf *out)
{
	autojson struct json *root = json_new_object();
	struct json *caches = json_new_array(), *holders = json_new_array();

	json_set_int(root, "time", forms->now_s);
	for (size_t i = 0; i < forms->count; i++)
		json_add(caches, cache_of(&forms->caches[i]));
	for (size_t i = 0; i < forms->holders.count; i++)
		json_add(holders, holder_of(forms, &forms->holders.items[i]));
	json_set(root, "caches", caches);
	json_set(root, "holders", holders);
	json_set_bool(root, "all_processes", forms->all_processes);
	json_print(root, out);
	buf_putc(out, '\n');
}
