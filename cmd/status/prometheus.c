#include "common/common_metrics.h"
#include "metacache/metacache.h"
#include "status/forms.h"

typedef unsigned long long ull;

static void put_users(const struct forms *forms, struct buf *out)
{
	const struct status *status = forms->status;

	common_metrics_family(out, "metacache_users", "gauge",
			      "Users that have indexes in the metacache.");
	for (size_t i = 0; i < status->roots.count; i++) {
		buf_puts(out, "metacache_users{root=\"");
		common_metrics_label(out, status->roots.items[i].path);
		buf_printf(out, "\"} %llu\n", (ull)status->roots.items[i].totals.users);
	}
	common_metrics_family(out, "metacache_priority_users", "gauge",
			      "Users that have indexes of this priority in the metacache.");
	for (int i = 0; i < UNIT_PRIORITIES; i++)
		buf_printf(out, "metacache_priority_users{priority=\"%d\"} %llu\n", i,
			   (ull)status->totals.users_of[i]);
	common_metrics_family(out, "metacache_changed_users", "gauge",
			      "Users by the worst change that is not uploaded.");
	for (int i = CHANGES_NONE; i <= CHANGES_IMPORTANT; i++)
		buf_printf(out, "metacache_changed_users{changes=\"%s\"} %llu\n",
			   registry_changes_name((enum registry_changes)i),
			   (ull)status->totals.changed[i]);
	gauge(out, "metacache_conflict_units", "Units in conflict with another writer's bundle.",
	      status->totals.conflicts);
	gauge(out, "metacache_obsolete_units", "Units that were found to be newer in storage.",
	      status->totals.obsolete);
	if (status->totals.unflushed_since > 0)
		common_metrics_gauge(
			out, "metacache_oldest_unflushed_change_timestamp_seconds",
			"When the oldest important change that is not uploaded was made; absent "
			"without one.",
			(uint64_t)status->totals.unflushed_since);
}

static void put_bytes(const struct forms *forms, struct buf *out)
{
	const struct status_root_vec *roots = &forms->status->roots;
	const struct settings *settings = forms->settings;

	common_metrics_family(out, "metacache_used_bytes", "gauge",
			      "Size of the index files in the metacache.");
	for (size_t i = 0; i < roots->count; i++) {
		for (int p = 0; p < UNIT_PRIORITIES; p++) {
			buf_puts(out, "metacache_used_bytes{root=\"");
			common_metrics_label(out, roots->items[i].path);
			buf_printf(out, "\",priority=\"%d\"} %llu\n", p,
				   (ull)roots->items[i].totals.bytes_used[p]);
		}
	}
	common_metrics_gauge(out, "metacache_max_space_bytes",
			     "Setting metacache_max_space; 0 is no limit.",
			     settings->metacache_max_space_bytes);
	common_metrics_gauge(out, "metacache_max_grace_bytes", "Setting metacache_max_grace.",
			     settings->metacache_max_grace_bytes);
	common_metrics_family(
		out, "metacache_priority_limit_ratio", "gauge",
		"Share of metacache_max_space up to which a priority is kept longer.");
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		unsigned percent = settings->metacache_priority_weights[i].percent;

		buf_printf(out, "metacache_priority_limit_ratio{priority=\"%d\"} %u.%02u\n", i,
			   percent / 100, percent % 100);
	}
}

static void put_filesystem(const struct forms *forms, struct buf *out, const char *name,
			   const char *help, bool is_size)
{
	const struct status_root_vec *roots = &forms->status->roots;

	common_metrics_family(out, name, "gauge", help);
	for (size_t i = 0; i < roots->count; i++) {
		const struct status_root *root = &roots->items[i];

		if (!root->has_space)
			continue;
		buf_printf(out, "%s{root=\"", name);
		common_metrics_label(out, root->path);
		buf_printf(out, "\"} %llu\n",
			   (ull)(is_size ? root->size_bytes : root->avail_bytes));
	}
}

static void put_requests(const struct forms *forms, struct buf *out)
{
	const struct status_requests *requests = forms->status->requests;

	common_metrics_family(out, "metacache_storage_requests_total", "counter",
			      "Requests to object storage, tries included.");
	for (unsigned i = 0; i < STORE_KINDS; i++)
		buf_printf(out, "metacache_storage_requests_total{kind=\"%s\"} %llu\n",
			   metacache_kind_name(i), (ull)requests[i].count);
	common_metrics_family(out, "metacache_storage_bytes_total", "counter",
			      "Bytes of bodies sent to and received from object storage.");
	for (unsigned i = 0; i < STORE_KINDS; i++)
		buf_printf(out, "metacache_storage_bytes_total{kind=\"%s\"} %llu\n",
			   metacache_kind_name(i), (ull)requests[i].bytes);
}

static void put_rescan(const struct status_rescan *rescan, struct buf *out)
{
	static const char rows[] = "metacache_last_rescan_rows";

	if (rescan->when <= 0)
		return;
	common_metrics_gauge(out, "metacache_last_rescan_timestamp_seconds",
			     "When the last rescan ended.", (uint64_t)rescan->when);
	common_metrics_family(out, rows, "gauge",
			      "Rows of the registry that the last rescan had to change.");
	buf_printf(out, "%s{change=\"added\"} %llu\n", rows, (ull)rescan->added);
	buf_printf(out, "%s{change=\"corrected\"} %llu\n", rows, (ull)rescan->corrected);
	buf_printf(out, "%s{change=\"removed\"} %llu\n", rows, (ull)rescan->removed);
	common_metrics_gauge(out, "metacache_last_rescan_drift_bytes",
			     "By how much the registry was off before the last rescan.",
			     rescan->bytes_off);
}

void prometheus_print(const struct forms *forms, struct buf *out)
{
	put_users(forms, out);
	put_bytes(forms, out);
	put_filesystem(forms, out, "metacache_filesystem_size_bytes",
		       "Size of the filesystem of a metacache root.", true);
	put_filesystem(forms, out, "metacache_filesystem_avail_bytes",
		       "What is free on the filesystem of a metacache root.", false);
	put_requests(forms, out);
	put_rescan(&forms->status->rescan, out);
}
