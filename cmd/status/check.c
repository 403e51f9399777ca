#include "base/units.h"
#include "status/forms.h"

typedef unsigned long long ull;

static void check_unflushed(struct common_check *check, const struct status *status,
			    const uint64_t limits[2])
{
	int64_t since = status->totals.unflushed_since;
	uint64_t age_s = since > 0 ? status_age(status, since) : 0;
	enum common_check_code code = common_check_judge(age_s, limits);

	if (code != COMMON_CHECK_OK) {
		struct buf *text = common_check_problem(check, code);

		buf_puts(text, "an important change is not uploaded for ");
		common_check_age(text, age_s);
	}
	buf_printf(&check->perf, " unflushed=%llus;%llu;%llu;0 important=%llu;;;0", (ull)age_s,
		   (ull)limits[0], (ull)limits[1], (ull)status->totals.changed[CHANGES_IMPORTANT]);
}

/* Only an operator ends one. */
static void check_conflicts(struct check *check, const struct registry_totals *totals)
{
	if (totals->conflicts > 0)
		buf_printf(add_problem(check, CHECK_WARNING), "%llu unit%s in conflict",
			   (ull)totals->conflicts, totals->conflicts == 1 ? "" : "s");
	buf_printf(&check->perf, " conflicts=%llu;0;;0 obsolete=%llu;;;0", (ull)totals->conflicts,
		   (ull)totals->obsolete);
}

static uint64_t bytes_of_percent(uint64_t percent, uint64_t whole)
{
	unsigned __int128 bytes = (unsigned __int128)whole * percent / 100;

	return bytes > UINT64_MAX ? UINT64_MAX : (uint64_t)bytes;
}

static void check_usage(struct common_check *check, const struct forms *forms,
			const uint64_t percent[2])
{
	uint64_t used = forms->status->bytes_used;
	uint64_t max = forms->settings->metacache_max_space_bytes;
	const uint64_t limits[2] = { bytes_of_percent(percent[0], max),
				     bytes_of_percent(percent[1], max) };
	enum common_check_code code = max > 0 ? common_check_judge(used, limits) : COMMON_CHECK_OK;

	buf_printf(&check->perf, "users=%llu;;;0 bytes=%lluB;", (ull)forms->status->totals.users,
		   (ull)used);
	if (max == 0) {
		buf_puts(&check->perf, ";;0");
		return;
	}
	buf_printf(&check->perf, "%llu;%llu;0;%llu", (ull)limits[0], (ull)limits[1], (ull)max);
	if (code != COMMON_CHECK_OK)
		buf_printf(common_check_problem(check, code), "%llu%% of metacache_max_space used",
			   (ull)status_percent(used, max));
}

static void check_root(struct common_check *check, const struct status_root *root,
		       const uint64_t limits[2])
{
	uint64_t used = root->size_bytes - root->avail_bytes;
	uint64_t percent = status_percent(used, root->size_bytes);
	enum common_check_code code = common_check_judge(percent, limits);

	if (!root->configured)
		return;
	if (!root->has_space) {
		common_check_safe(common_check_problem(check, COMMON_CHECK_UNKNOWN), root->err.msg);
		return;
	}
	common_check_label(&check->perf, "disk", root->path);
	buf_printf(&check->perf, "=%llu%%;%llu;%llu;0;100", (ull)percent, (ull)limits[0],
		   (ull)limits[1]);
	if (code != COMMON_CHECK_OK) {
		struct buf *text = common_check_problem(check, code);

		buf_puts(text, "the filesystem of ");
		common_check_safe(text, root->path);
		buf_printf(text, " is %llu%% full", (ull)percent);
	}
}

static void check_rescan(struct common_check *check, const struct status *status,
			 const uint64_t limits[2])
{
	uint64_t age_s = status_age(status, status->rescan.when);
	enum common_check_code code = common_check_judge(age_s, limits);

	if (status->rescan.when <= 0) {
		buf_puts(common_check_problem(check, COMMON_CHECK_WARNING), "never rescanned");
		return;
	}
	if (code != COMMON_CHECK_OK) {
		struct buf *text = common_check_problem(check, code);

		buf_puts(text, "the last rescan is ");
		common_check_age(text, age_s);
		buf_puts(text, " old");
	}
	buf_printf(&check->perf, " rescan_age=%llus;%llu;%llu;0", (ull)age_s, (ull)limits[0],
		   (ull)limits[1]);
}

static void put_line(const struct common_check *check, const struct forms *forms, struct buf *out)
{
	uint64_t max = forms->settings->metacache_max_space_bytes;
	uint64_t used = forms->status->bytes_used;

	common_check_begin(check, "METACACHE", out);
	buf_printf(out, "%llu users, %s", (ull)forms->status->totals.users,
		   units_format_size_short(used).s);
	if (max > 0)
		buf_printf(out, " of %s (%llu%%)", units_format_size_short(max).s,
			   (ull)status_percent(used, max));
	buf_printf(out, " | %s\n", buf_str(&check->perf));
}

enum common_check_code check_print(const struct forms *forms, const struct check_limits *limits,
				   struct buf *out)
{
	autocheck struct common_check check = { 0 };

	check_usage(&check, forms, limits->usage_percent);
	check_unflushed(&check, forms->status, limits->unflushed_s);
	check_conflicts(&check, &forms->status->totals);
	for (size_t i = 0; i < forms->status->roots.count; i++)
		check_root(&check, &forms->status->roots.items[i], limits->disk_percent);
	check_rescan(&check, forms->status, limits->rescan_s);
	put_line(&check, forms, out);
	return check.code;
}
