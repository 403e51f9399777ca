#include "metacache/remote.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void remote_unit_free(struct remote_unit *unit)
{
	for (size_t i = 0; i < unit->objects.count; i++)
		free(unit->objects.items[i].name);
	vec_free(&unit->objects);
	free(unit->id);
	unit->id = NULL;
}

void remote_units_free(struct remote_unit_vec *units)
{
	for (size_t i = 0; i < units->count; i++)
		remote_unit_free(&units->items[i]);
	vec_free(units);
}

void remote_prefix(struct buf *out, const char *user_prefix, const char *unit_id)
{
	buf_printf(out, "%s/", user_prefix);
	if (strncmp(unit_id, "fts", 3) == 0)
		buf_printf(out, "%s/", unit_id);
	else if (unit_id[0] != '\0')
		buf_printf(out, "mailboxes/%s/", unit_id);
	buf_puts(out, "idx/");
}

static void add_object(struct remote_unit *unit, const char *name, uint64_t size_bytes)
{
	struct remote_object object = { .size_bytes = size_bytes };

	if (!bundle_name_parse(name, &object.parsed))
		return;
	object.name = xstrdup(name);
	vec_push(&unit->objects, object);
}

static int compare_objects(const void *a, const void *b)
{
	return bundle_name_compare(&((const struct remote_object *)a)->parsed,
				   &((const struct remote_object *)b)->parsed);
}

static void sort_objects(struct remote_unit *unit)
{
	if (unit->objects.count > 1)
		qsort(unit->objects.items, unit->objects.count, sizeof *unit->objects.items,
		      compare_objects);
}

struct unit_listing {
	struct remote_unit *unit;
	size_t prefix_len;
};

static int take_object(void *ctx, const struct store_object *object)
{
	struct unit_listing *listing = ctx;

	if (!object->is_prefix)
		add_object(listing->unit, object->key + listing->prefix_len, object->size_bytes);
	return 0;
}

int remote_list_unit(struct store *store, const char *user_prefix, const char *unit_id,
		     struct remote_unit *unit_r, struct err *err)
{
	autobuf struct buf prefix = { 0 };
	struct unit_listing listing = { .unit = unit_r };

	*unit_r = (struct remote_unit){ .id = xstrdup(unit_id) };
	remote_prefix(&prefix, user_prefix, unit_id);
	listing.prefix_len = prefix.len;
	if (store_list(store, buf_str(&prefix), false, 0, take_object, &listing, err) < 0) {
		remote_unit_free(unit_r);
		return -1;
	}
	sort_objects(unit_r);
	return 0;
}

struct user_listing {
	struct remote_unit_vec *units;
	size_t prefix_len; /* with its slash */
};

/* "mailboxes/<id>/idx/<name>", "<fts id>/idx/<name>", "idx/<name>": the id ends up
 * in id_r and the name is returned; NULL for anything else. */
static const char *split_key(const char *key, char id_r[NAME_MAX + 1])
{
	static const char boxes[] = "mailboxes/", idx[] = "idx/";
	bool folder = strncmp(key, boxes, sizeof boxes - 1) == 0;
	size_t len;

	id_r[0] = '\0';
	if (strncmp(key, idx, sizeof idx - 1) == 0)
		return key + sizeof idx - 1;
	if (folder)
		key += sizeof boxes - 1;
	len = strcspn(key, "/");
	if (len == 0 || len > NAME_MAX || key[len] != '/')
		return NULL;
	memcpy(id_r, key, len);
	id_r[len] = '\0';
	if (folder ? strspn(id_r, "0123456789abcdef") != 32 || len != 32
		   : strncmp(id_r, "fts", 3) != 0)
		return NULL;
	key += len + 1;
	return strncmp(key, idx, sizeof idx - 1) == 0 ? key + sizeof idx - 1 : NULL;
}

struct remote_unit *remote_find(const struct remote_unit_vec *units, const char *id)
{
	for (size_t i = units->count; i-- > 0;) {
		if (strcmp(units->items[i].id, id) == 0)
			return &units->items[i];
	}
	return NULL;
}

static struct remote_unit *find_or_add(struct remote_unit_vec *units, const char *id)
{
	struct remote_unit *unit = remote_find(units, id);

	if (unit)
		return unit;
	vec_push(units, ((struct remote_unit){ .id = xstrdup(id) }));
	return &units->items[units->count - 1];
}

static int take_any(void *ctx, const struct store_object *object)
{
	struct user_listing *listing = ctx;
	char id[NAME_MAX + 1];
	const char *name = split_key(object->key + listing->prefix_len, id);

	if (name && !object->is_prefix)
		add_object(find_or_add(listing->units, id), name, object->size_bytes);
	return 0;
}

/* Only the ids; their objects are listed one unit at a time. */
static int take_prefix(void *ctx, const struct store_object *object)
{
	struct user_listing *listing = ctx;
	autobuf struct buf key = { 0 };
	char id[NAME_MAX + 1];

	buf_printf(&key, "%sidx/x", object->key + listing->prefix_len);
	if (object->is_prefix && split_key(buf_str(&key), id))
		find_or_add(listing->units, id);
	return 0;
}

static int list_by_unit(struct store *store, const char *user_prefix, struct remote_unit_vec *units,
			struct err *err)
{
	struct user_listing listing = { .units = units, .prefix_len = strlen(user_prefix) + 1 };
	static const char *const below[] = { "", "mailboxes/" };
	struct remote_unit_vec ids;
	int ret = 0;

	find_or_add(units, "");
	for (size_t i = 0; i < 2; i++) {
		autobuf struct buf prefix = { 0 };

		buf_printf(&prefix, "%s/%s", user_prefix, below[i]);
		if (store_list(store, buf_str(&prefix), true, 0, take_prefix, &listing, err) < 0)
			return -1;
	}
	ids = *units;
	*units = (struct remote_unit_vec){ 0 };
	for (size_t i = 0; ret == 0 && i < ids.count; i++) {
		struct remote_unit found;

		ret = remote_list_unit(store, user_prefix, ids.items[i].id, &found, err);
		if (ret == 0)
			vec_push(units, found);
	}
	remote_units_free(&ids);
	return ret;
}

static int compare_units(const void *a, const void *b)
{
	return strcmp(((const struct remote_unit *)a)->id, ((const struct remote_unit *)b)->id);
}

static void sort_units(struct remote_unit_vec *units)
{
	for (size_t i = 0; i < units->count; i++)
		sort_objects(&units->items[i]);
	if (units->count > 1)
		qsort(units->items, units->count, sizeof *units->items, compare_units);
}

int remote_list_at_once(struct store *store, const char *user_prefix,
			struct remote_unit_vec *units_r, struct err *err)
{
	struct user_listing listing = { .units = units_r, .prefix_len = strlen(user_prefix) + 1 };
	autobuf struct buf prefix = { 0 };
	int ret;

	*units_r = (struct remote_unit_vec){ 0 };
	buf_printf(&prefix, "%s/", user_prefix);
	ret = store_list(store, buf_str(&prefix), false, 1, take_any, &listing, err);
	if (ret == 0) {
		sort_units(units_r);
		return 1;
	}
	remote_units_free(units_r);
	return ret > 0 ? 0 : -1;
}

int remote_list_user(struct store *store, const char *user_prefix, struct remote_unit_vec *units_r,
		     struct err *err)
{
	int ret = remote_list_at_once(store, user_prefix, units_r, err);

	if (ret == 0) {
		ret = list_by_unit(store, user_prefix, units_r, err);
		if (ret < 0)
			remote_units_free(units_r);
		else
			sort_units(units_r);
	}
	return ret < 0 ? -1 : 0;
}

static bool is_earlier_try(const struct remote_object *object, const char *applied)
{
	struct bundle_name parsed;

	return bundle_name_parse(applied, &parsed) &&
	       bundle_name_is_earlier_try(&object->parsed, &parsed);
}

/* Written from this tree: it carries a unique part that this tree chose. */
static bool is_own(const struct remote_object *object, const struct state *state)
{
	if (bundle_name_is_try_of(&object->parsed, state->next))
		return true;
	/* A try whose reply was lost, before the one that became the base or a diff. A later one
	 * has what this tree does not. */
	if (state->base && is_earlier_try(object, state->base))
		return true;
	for (size_t i = 0; i < state->diffs.count; i++) {
		if (is_earlier_try(object, state->diffs.items[i]))
			return true;
	}
	return false;
}

/* Contained in what is applied, written from this tree, or seen before. */
static bool is_superseded(const struct remote_object *object, const struct state *state)
{
	return str_vec_has(&state->superseded, object->name) || is_own(object, state);
}

static bool is_known(const struct remote_object *object, const struct state *state)
{
	return state_is_applied(state, object->name) ||
	       str_vec_has(&state->unmerged, object->name) || is_superseded(object, state);
}

const struct remote_object *remote_find_object(const struct remote_unit *unit, const char *name)
{
	for (size_t i = 0; i < unit->objects.count; i++) {
		if (strcmp(unit->objects.items[i].name, name) == 0)
			return &unit->objects.items[i];
	}
	return NULL;
}

const struct remote_object *remote_base_of(const struct remote_unit *unit,
					   const struct remote_object *diff)
{
	for (size_t i = 0; i < unit->objects.count; i++) {
		const struct remote_object *object = &unit->objects.items[i];

		if (!object->parsed.is_diff &&
		    object->parsed.base_time_us == diff->parsed.base_time_us &&
		    strcmp(object->parsed.base_unique, diff->parsed.base_unique) == 0)
			return object;
	}
	return NULL;
}

bool remote_is_orphan(const struct remote_unit *unit, const struct remote_object *object)
{
	return object->parsed.is_diff && !remote_base_of(unit, object);
}

const struct remote_object *remote_unknown(const struct remote_unit *unit,
					   const struct state *state)
{
	for (size_t i = unit ? unit->objects.count : 0; i-- > 0;) {
		const struct remote_object *object = &unit->objects.items[i];

		if (!state || !is_known(object, state))
			return object;
	}
	return NULL;
}

enum remote_verdict remote_judge(const struct remote_unit *unit, const struct state *state,
				 struct str_vec *own_r)
{
	bool has_base = false;

	if (!unit || unit->objects.count == 0)
		return state && state->base ? REMOTE_BASE_LOST : REMOTE_NOTHING;
	for (size_t i = 0; state && i < unit->objects.count; i++) {
		const struct remote_object *object = &unit->objects.items[i];

		has_base |= state->base && strcmp(object->name, state->base) == 0;
		if (own_r && !state_is_applied(state, object->name) &&
		    !str_vec_has(&state->unmerged, object->name) && is_superseded(object, state))
			vec_push(own_r, xstrdup(object->name));
	}
	if (!state || remote_unknown(unit, state))
		return REMOTE_NEWER;
	return state->base && !has_base ? REMOTE_BASE_LOST : REMOTE_KNOWN;
}

bool remote_holds(const struct remote_unit *unit, const struct state *state)
{
	uint64_t base_bytes = 0, diff_bytes = 0;
	size_t found = 0;

	for (size_t i = 0; unit && i < unit->objects.count; i++) {
		const struct remote_object *object = &unit->objects.items[i];
		bool is_base = state->base && strcmp(object->name, state->base) == 0;

		if (!is_base && !str_vec_has(&state->diffs, object->name))
			continue;
		*(is_base ? &base_bytes : &diff_bytes) += object->size_bytes;
		found++;
	}
	return found == 1 + state->diffs.count && base_bytes == state->base_bytes &&
	       diff_bytes == state->diff_bytes;
}
