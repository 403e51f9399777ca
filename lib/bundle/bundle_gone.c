#include "bundle/bundle_gone.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle_name.h"
#include "json/json.h"

void bundle_gone_free(struct bundle_gone_vec *gone)
{
	for (size_t i = 0; i < gone->count; i++) {
		free(gone->items[i].id);
		str_vec_free(&gone->items[i].bundles);
	}
	vec_free(gone);
}

const struct bundle_gone *bundle_gone_find(const struct bundle_gone_vec *gone, const char *id)
{
	for (size_t i = 0; i < gone->count; i++) {
		if (strcmp(gone->items[i].id, id) == 0)
			return &gone->items[i];
	}
	return NULL;
}

void bundle_gone_add(struct bundle_gone_vec *gone, const char *id, const struct str_vec *bundles)
{
	struct bundle_gone item = { .id = xstrdup(id), .noted = bundles != NULL };

	if (bundles)
		str_vec_copy(&item.bundles, bundles);
	vec_push(gone, item);
}

void bundle_gone_copy(struct bundle_gone_vec *to, const struct bundle_gone_vec *from)
{
	bundle_gone_free(to);
	for (size_t i = 0; i < from->count; i++) {
		const struct bundle_gone *item = &from->items[i];

		bundle_gone_add(to, item->id, item->noted ? &item->bundles : NULL);
	}
}

bool bundle_gone_is_before(const struct bundle_gone *gone, const char *bundle)
{
	struct bundle_name name, other;

	if (!gone->noted || !bundle_name_parse(bundle, &name))
		return true;
	for (size_t i = 0; i < gone->bundles.count; i++) {
		if (bundle_name_parse(gone->bundles.items[i], &other) &&
		    bundle_name_compare(&name, &other) <= 0)
			return true;
	}
	return false;
}

/* ---- in a document ---- */

static int read_names(const struct json *array, struct str_vec *names, struct err *err)
{
	struct bundle_name parsed;

	for (size_t i = 0; i < json_count(array); i++) {
		const char *name = json_item_str(json_at(array, i));

		if (!name || !bundle_name_parse(name, &parsed))
			return err_set(err, ERR_DATA,
				       "member \"gone_bundles\": %s is no name of a bundle",
				       name ? quote_str(name).s : "an item");
		vec_push(names, xstrdup(name));
	}
	return 0;
}

/* The id goes to the vector's care at once, so that nothing leaks on errors. */
static int read_one(const struct json *bundles, const char *id, struct bundle_gone_vec *gone,
		    struct err *err)
{
	struct bundle_gone *item;
	const struct json *array;
	int ret;

	bundle_gone_add(gone, id, NULL);
	ret = bundles ? json_get_array(bundles, id, &array, err) : 0;
	if (ret <= 0)
		return ret < 0 ? err_prefix(err, "member \"gone_bundles\"") : 0;
	item = &gone->items[gone->count - 1];
	item->noted = true;
	return read_names(array, &item->bundles, err);
}

int bundle_gone_read(const struct json *root, struct bundle_gone_vec *gone_r, struct err *err)
{
	const struct json *ids, *bundles = NULL;
	int ret = json_get_array(root, "gone", &ids, err);

	if (ret <= 0)
		return ret;
	if (json_get_object(root, "gone_bundles", &bundles, err) < 0)
		return -1;
	for (size_t i = 0; i < json_count(ids); i++) {
		const char *id = json_item_str(json_at(ids, i));

		if (!id)
			return err_set(err, ERR_DATA, "member \"gone\": item %zu is no text", i);
		if (read_one(bundles, id, gone_r, err) < 0)
			return -1;
	}
	return 0;
}

void bundle_gone_set(struct json *root, const struct bundle_gone_vec *gone)
{
	struct json *ids, *bundles;
	size_t noted = 0;

	if (gone->count == 0)
		return;
	ids = json_new_array();
	bundles = json_new_object();
	for (size_t i = 0; i < gone->count; i++) {
		const struct bundle_gone *item = &gone->items[i];
		struct json *names;

		json_add_str(ids, item->id);
		if (!item->noted)
			continue;
		names = json_new_array();
		for (size_t k = 0; k < item->bundles.count; k++)
			json_add_str(names, item->bundles.items[k]);
		json_set(bundles, item->id, names);
		noted++;
	}
	json_set(root, "gone", ids);
	if (noted > 0)
		json_set(root, "gone_bundles", bundles);
	else
		json_free(&bundles);
}
