#include "metacache/metacache.h"
#include "status/forms.h"
#include "json/json.h"

static void set_uint(struct json *object, const char *name, uint64_t value)
{
	json_set_int(object, name, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* null where there is no limit. */
static void set_percent(struct json *object, uint64_t bytes, uint64_t max)
{
	if (max > 0)
		set_uint(object, "percent", status_percent(bytes, max));
	else
		json_set_str(object, "percent", NULL);
}

static struct json *priorities_of(const struct forms *forms)
{
	const struct registry_totals *totals = &forms->status->totals;
	struct json *list = json_new_array();

	for (unsigned i = 0; i < UNIT_PRIORITIES; i++) {
		struct json *priority = json_new_object();

		set_uint(priority, "priority", i);
		set_uint(priority, "users", totals->users_of[i]);
		set_uint(priority, "bytes", totals->bytes_used[i]);
		set_percent(priority, totals->bytes_used[i],
			    forms->settings->metacache_max_space_bytes);
		set_uint(priority, "limit_percent",
			 forms->settings->metacache_priority_weights[i].percent);
		json_add(list, priority);
	}
	return list;
}

static struct json *roots_of(const struct status *status)
{
	struct json *list = json_new_array();

	for (size_t i = 0; i < status->roots.count; i++) {
		const struct status_root *root = &status->roots.items[i];
		struct json *object = json_new_object(), *bytes = json_new_array();

		json_set_str(object, "path", root->path);
		json_set_bool(object, "configured", root->configured);
		set_uint(object, "users", root->totals.users);
		for (int p = 0; p < UNIT_PRIORITIES; p++)
			json_add_int(bytes, (int64_t)root->totals.bytes_used[p]);
		json_set(object, "bytes", bytes);
		if (root->has_space) {
			set_uint(object, "filesystem_size", root->size_bytes);
			set_uint(object, "filesystem_free", root->avail_bytes);
		} else {
			json_set_str(object, "filesystem_size", NULL);
			json_set_str(object, "filesystem_free", NULL);
		}
		json_add(list, object);
	}
	return list;
}

static struct json *changes_of(const struct registry_totals *totals)
{
	struct json *object = json_new_object();

	for (int i = CHANGES_NONE; i <= CHANGES_IMPORTANT; i++)
		set_uint(object, registry_changes_name((enum registry_changes)i),
			 totals->changed[i]);
	return object;
}

static struct json *requests_of(const struct status *status)
{
	struct json *object = json_new_object();

	for (unsigned i = 0; i < STORE_KINDS; i++) {
		struct json *kind = json_new_object();

		set_uint(kind, "count", status->requests[i].count);
		set_uint(kind, "bytes", status->requests[i].bytes);
		json_set(object, metacache_kind_name(i), kind);
	}
	return object;
}

static struct json *rescan_of(const struct status_rescan *rescan)
{
	struct json *object = json_new_object();

	json_set_int(object, "time", rescan->when);
	set_uint(object, "added", rescan->added);
	set_uint(object, "corrected", rescan->corrected);
	set_uint(object, "removed", rescan->removed);
	set_uint(object, "bytes_off", rescan->bytes_off);
	return object;
}

void document_print(const struct forms *forms, struct buf *out)
{
	const struct status *status = forms->status;
	autojson struct json *root = json_new_object();

	json_set_int(root, "time", status->now);
	set_uint(root, "users", status->totals.users);
	set_uint(root, "bytes", status->bytes_used);
	set_uint(root, "max_space", forms->settings->metacache_max_space_bytes);
	set_uint(root, "max_grace", forms->settings->metacache_max_grace_bytes);
	set_percent(root, status->bytes_used, forms->settings->metacache_max_space_bytes);
	json_set(root, "changes", changes_of(&status->totals));
	json_set_int(root, "unflushed_since", status->totals.unflushed_since);
	set_uint(root, "conflicts", status->totals.conflicts);
	set_uint(root, "obsolete", status->totals.obsolete);
	json_set(root, "priorities", priorities_of(forms));
	json_set(root, "roots", roots_of(status));
	json_set(root, "requests", requests_of(status));
	if (status->rescan.when > 0)
		json_set(root, "rescan", rescan_of(&status->rescan));
	else
		json_set_str(root, "rescan", NULL);
	json_print(root, out);
	buf_putc(out, '\n');
}
