#include "base/units.h"
#include "fscache-status/forms.h"

typedef unsigned long long ull;

/* ", <path>: " begun; the caller says what. */
static struct buf *problem_of(struct common_check *check, enum common_check_code code,
			      const struct forms_cache *cache)
{
	struct buf *text = common_check_problem(check, code);

	common_check_safe(text, cache->path);
	buf_puts(text, ": ");
	return text;
}

static void check_turnover(struct common_check *check, const struct forms_cache *cache,
			   const uint64_t limits[2])
{
	uint64_t turnover_s = forms_turnover(cache);
	enum common_check_code code = turnover_s == 0          ? COMMON_CHECK_OK
				      : turnover_s < limits[1] ? COMMON_CHECK_CRITICAL
				      : turnover_s < limits[0] ? COMMON_CHECK_WARNING
							       : COMMON_CHECK_OK;

	if (code == COMMON_CHECK_OK)
		return;
	struct buf *text = problem_of(check, code, cache);

	buf_puts(text, "objects are evicted after ");
	common_check_age(text, turnover_s);
	buf_printf(text, ", %llu a minute", (ull)cache->status.evictions_per_minute);
}

static void check_percent(struct common_check *check, const struct forms_cache *cache,
			  uint64_t bytes, const uint64_t limits[2], const char *what)
{
	uint64_t limit = cache->status.limit_bytes;
	enum common_check_code code =
		limit > 0 ? common_check_judge(forms_percent(bytes, limit), limits)
			  : COMMON_CHECK_OK;

	if (code != COMMON_CHECK_OK)
		buf_printf(problem_of(check, code, cache), "%s %s",
			   units_format_size_short(bytes).s, what);
}

static void check_disk(struct common_check *check, const struct forms_cache *cache,
		       const uint64_t limits[2])
{
	const struct fscache_disk *disk = &cache->status.disk;
	uint64_t percent = forms_percent(disk->size_bytes - disk->avail_bytes, disk->size_bytes);
	enum common_check_code code = common_check_judge(percent, limits);

	if (disk->size_bytes == 0)
		return;
	if (code != COMMON_CHECK_OK)
		buf_printf(problem_of(check, code, cache), "its filesystem is %llu%% full",
			   (ull)percent);
	if (disk->size_bytes < cache->wanted_bytes)
		buf_printf(problem_of(check, COMMON_CHECK_WARNING, cache),
			   "its filesystem has %s, and the limit wants one of %s",
			   units_format_size_short(disk->size_bytes).s,
			   units_format_size_short(cache->wanted_bytes).s);
	common_check_label(&check->perf, "disk", cache->path);
	buf_printf(&check->perf, "=%llu%%;%llu;%llu;0;100", (ull)percent, (ull)limits[0],
		   (ull)limits[1]);
}

static void check_cache(struct common_check *check, const struct forms_cache *cache,
			const struct check_limits *limits)
{
	const struct fscache_status *status = &cache->status;

	if (cache->err.code != ERR_NONE)
		common_check_safe(problem_of(check,
					     cache->err.code == ERR_DATA ? COMMON_CHECK_CRITICAL
									 : COMMON_CHECK_UNKNOWN,
					     cache),
				  cache->err.msg);
	if (status->has_log)
		check_turnover(check, cache, limits->turnover_s);
	if (status->limit_bytes > 0 && status->totals.bytes > status->limit_bytes)
		buf_printf(problem_of(check, COMMON_CHECK_WARNING, cache),
			   "%llu%% of the limit used",
			   (ull)forms_percent(status->totals.bytes, status->limit_bytes));
	check_percent(check, cache, cache->held.bytes, limits->deleted_percent,
		      "deleted and still open");
	if (status->has_log && status->is_scanned) {
		int64_t off = forms_off(cache);

		check_percent(check, cache, off < 0 ? 0 - (uint64_t)off : (uint64_t)off,
			      limits->off_percent, "between the log and the disk");
	}
	if (status->oversize_files > 0)
		buf_printf(problem_of(check, COMMON_CHECK_WARNING, cache),
			   "%llu files larger than half of the limit", (ull)status->oversize_files);
	check_disk(check, cache, limits->disk_percent);
}

static void put_line(const struct common_check *check, const struct forms *forms, struct buf *out)
{
	uint64_t files = 0, bytes = 0, limit = 0, held = 0, evictions = 0;

	for (size_t i = 0; i < forms->count; i++) {
		const struct forms_cache *cache = &forms->caches[i];

		files += cache->status.totals.files;
		bytes += cache->status.totals.bytes;
		limit += cache->status.limit_bytes;
		held += cache->held.bytes;
		evictions += cache->status.evictions_per_minute;
	}
	common_check_begin(check, "FSCACHE", out);
	buf_printf(out, "%llu caches, %llu files, %s", (ull)forms->count, (ull)files,
		   units_format_size_short(bytes).s);
	if (limit > 0)
		buf_printf(out, " of %s (%llu%%)", units_format_size_short(limit).s,
			   (ull)forms_percent(bytes, limit));
	buf_printf(out, " | files=%llu;;;0 bytes=%lluB;;;0", (ull)files, (ull)bytes);
	if (limit > 0)
		buf_printf(out, ";%llu", (ull)limit);
	buf_printf(out, " evictions_per_minute=%llu;;;0", (ull)evictions);
	if (forms->all_processes)
		buf_printf(out, " deleted_open=%lluB;;;0", (ull)held);
	buf_printf(out, "%s\n", buf_str(&check->perf));
}

enum common_check_code check_print(const struct forms *forms, const struct check_limits *limits,
				   struct buf *out)
{
	autocheck struct common_check check = { 0 };

	for (size_t i = 0; i < forms->count; i++)
		check_cache(&check, &forms->caches[i], limits);
	if (forms->count == 0)
		buf_puts(common_check_problem(&check, COMMON_CHECK_WARNING),
			 "no cache at the path of obox_fs");
	/* No problem of the cache: a plugin may run as anybody. */
	if (!forms->all_processes)
		buf_puts(common_check_problem(&check, COMMON_CHECK_OK),
			 "not all processes could be looked at for deleted files");
	put_line(&check, forms, out);
	return check.code;
}
