#include <string.h>

#include "base/units.h"
#include "status/forms.h"

typedef unsigned long long ull;

struct check {
	enum check_code code;
	struct buf problems; /* ", "-separated */
	struct buf perf;     /* " "-separated */
};

/* What could end a text early, or a line. */
static void put_safe(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f || *s == '|')
			buf_putc(out, '_');
		else
			buf_putc(out, *s);
	}
}

static void put_age(struct buf *out, uint64_t age_s)
{
	if (age_s >= 2 * 86400)
		buf_printf(out, "%llu days", (ull)(age_s / 86400));
	else if (age_s >= 2 * 3600)
		buf_printf(out, "%llu hours", (ull)(age_s / 3600));
	else if (age_s >= 120)
		buf_printf(out, "%llu minutes", (ull)(age_s / 60));
	else
		buf_printf(out, "%llu seconds", (ull)age_s);
}

static enum check_code judge(uint64_t value, const uint64_t limits[2])
{
	return value > limits[1] ? CHECK_CRITICAL : value > limits[0] ? CHECK_WARNING : CHECK_OK;
}

/* Critical is worse than unknown: it is known to be bad. */
static void worsen(struct check *check, enum check_code code)
{
	static const int order[] = {
		[CHECK_OK] = 0, [CHECK_WARNING] = 1, [CHECK_UNKNOWN] = 2, [CHECK_CRITICAL] = 3
	};

	if (order[code] > order[check->code])
		check->code = code;
}

/* The text of a problem is to be appended to what this returns. */
static struct buf *add_problem(struct check *check, enum check_code code)
{
	worsen(check, code);
	if (check->problems.len > 0)
		buf_puts(&check->problems, ", ");
	return &check->problems;
}

static void check_unflushed(struct check *check, const struct status *status,
			    const uint64_t limits[2])
{
	int64_t since = status->totals.unflushed_since;
	uint64_t age_s = since > 0 ? status_age(status, since) : 0;
	enum check_code code = judge(age_s, limits);

	if (code != CHECK_OK) {
		struct buf *text = add_problem(check, code);

		buf_puts(text, "an important change is not uploaded for ");
		put_age(text, age_s);
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

static void check_usage(struct check *check, const struct forms *forms, const uint64_t percent[2])
{
	uint64_t used = forms->status->bytes_used;
	uint64_t max = forms->settings->metacache_max_space_bytes;
	const uint64_t limits[2] = { bytes_of_percent(percent[0], max),
				     bytes_of_percent(percent[1], max) };
	enum check_code code = max > 0 ? judge(used, limits) : CHECK_OK;

	buf_printf(&check->perf, "users=%llu;;;0 bytes=%lluB;", (ull)forms->status->totals.users,
		   (ull)used);
	if (max == 0) {
		buf_puts(&check->perf, ";;0");
		return;
	}
	buf_printf(&check->perf, "%llu;%llu;0;%llu", (ull)limits[0], (ull)limits[1], (ull)max);
	if (code != CHECK_OK)
		buf_printf(add_problem(check, code), "%llu%% of metacache_max_space used",
			   (ull)status_percent(used, max));
}

/* A label in quotes; a quote in it is doubled, '=' may not be in it. */
static void put_disk_label(struct buf *out, const char *path)
{
	buf_puts(out, " 'disk ");
	for (; *path != '\0'; path++) {
		const char one[] = { *path, '\0' };

		put_safe(out, *path == '=' ? "_" : one);
		if (*path == '\'')
			buf_putc(out, '\'');
	}
	buf_putc(out, '\'');
}

static void check_root(struct check *check, const struct status_root *root,
		       const uint64_t limits[2])
{
	uint64_t used = root->size_bytes - root->avail_bytes;
	uint64_t percent = status_percent(used, root->size_bytes);
	enum check_code code = judge(percent, limits);

	if (!root->configured)
		return;
	if (!root->has_space) {
		put_safe(add_problem(check, CHECK_UNKNOWN), root->err.msg);
		return;
	}
	put_disk_label(&check->perf, root->path);
	buf_printf(&check->perf, "=%llu%%;%llu;%llu;0;100", (ull)percent, (ull)limits[0],
		   (ull)limits[1]);
	if (code != CHECK_OK) {
		struct buf *text = add_problem(check, code);

		buf_puts(text, "the filesystem of ");
		put_safe(text, root->path);
		buf_printf(text, " is %llu%% full", (ull)percent);
	}
}

static void check_rescan(struct check *check, const struct status *status, const uint64_t limits[2])
{
	uint64_t age_s = status_age(status, status->rescan.when);
	enum check_code code = judge(age_s, limits);

	if (status->rescan.when <= 0) {
		buf_puts(add_problem(check, CHECK_WARNING), "never rescanned");
		return;
	}
	if (code != CHECK_OK) {
		struct buf *text = add_problem(check, code);

		buf_puts(text, "the last rescan is ");
		put_age(text, age_s);
		buf_puts(text, " old");
	}
	buf_printf(&check->perf, " rescan_age=%llus;%llu;%llu;0", (ull)age_s, (ull)limits[0],
		   (ull)limits[1]);
}

static void put_line(const struct check *check, const struct forms *forms, struct buf *out)
{
	static const char *const names[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };
	uint64_t max = forms->settings->metacache_max_space_bytes;
	uint64_t used = forms->status->bytes_used;

	buf_printf(out, "METACACHE %s - ", names[check->code]);
	if (check->problems.len > 0)
		buf_printf(out, "%s; ", buf_str(&check->problems));
	buf_printf(out, "%llu users, %s", (ull)forms->status->totals.users,
		   units_format_size_short(used).s);
	if (max > 0)
		buf_printf(out, " of %s (%llu%%)", units_format_size_short(max).s,
			   (ull)status_percent(used, max));
	buf_printf(out, " | %s\n", buf_str(&check->perf));
}

enum check_code check_print(const struct forms *forms, const struct check_limits *limits,
			    struct buf *out)
{
	struct check check = { 0 };

	check_usage(&check, forms, limits->usage_percent);
	check_unflushed(&check, forms->status, limits->unflushed_s);
	check_conflicts(&check, &forms->status->totals);
	for (size_t i = 0; i < forms->status->roots.count; i++)
		check_root(&check, &forms->status->roots.items[i], limits->disk_percent);
	check_rescan(&check, forms->status, limits->rescan_s);
	put_line(&check, forms, out);
	buf_free(&check.problems);
	buf_free(&check.perf);
	return check.code;
}

void check_print_unknown(const char *why, struct buf *out)
{
	buf_puts(out, "METACACHE UNKNOWN - ");
	put_safe(out, why);
	buf_putc(out, '\n');
}
