#include "metacache/fetch_load.h"

#include <string.h>

#include "base/quote.h"
#include "store/store.h"

#define SPOOL_MEMORY (4 * 1024 * 1024)

struct fetch_load fetch_load_start(const struct metacache *mc, const struct metacache_home *home,
				   const struct remote_unit *remote)
{
	struct fetch_load load = { .mc = mc, .home = home, .remote = remote };

	for (size_t i = 0; i < 2; i++)
		load.slots[i].spool = spool_new(mc->settings->spool_dir, SPOOL_MEMORY);
	return load;
}

void fetch_load_free(struct fetch_load *load)
{
	for (size_t i = 0; i < 2; i++)
		spool_free(&load->slots[i].spool);
}

int fetch_load_bundle(struct fetch_load *load, const struct remote_object *object,
		      struct spool **spool_r, struct err *err)
{
	struct fetch_slot *slot = &load->slots[object->parsed.is_diff];
	autobuf struct buf key = { 0 };
	int ret;

	*spool_r = slot->spool;
	if (slot->object == object)
		return 1;
	slot->object = NULL;
	spool_set_max(slot->spool, object->size_bytes);
	remote_prefix(&key, load->home->prefix, load->remote->id);
	buf_puts(&key, object->name);
	spool_reset(slot->spool);
	ret = store_get(load->mc->store, buf_str(&key), slot->spool, err);
	if (ret > 0) {
		slot->object = object;
		load->bytes += spool_size(slot->spool);
	}
	return ret;
}

int fetch_load_refuse(struct fetch_load *load, const char *name, struct err *err)
{
	if (!err || err->code != ERR_DATA)
		return -1;
	load->refused = name;
	err_prefix(err, "bundle %s is refused", name);
	return err_hint(err, "what is here stays as it is; an undamaged copy of the object, or "
			     "deleting it, makes the older bundle count again");
}

static bool is_of_unit(const struct bundle_manifest *manifest, const struct fetch_load *load)
{
	struct unit unit;
	bool same;

	if (manifest->unit[0] != '\0' && !bundle_name_allowed(manifest->unit, 64))
		return false;
	unit_classify(manifest->unit, &load->mc->rules, &unit);
	same = strcmp(unit.id, load->remote->id) == 0 &&
	       strcmp(manifest->unit_id, load->remote->id) == 0 &&
	       strcmp(manifest->username, load->home->user) == 0;
	unit_free(&unit);
	return same;
}

/* What the manifest says of itself has to be what the name says. */
static int check_manifest(const struct fetch_load *load, const struct remote_object *object,
			  const struct bundle_manifest *manifest, struct err *err)
{
	bool is_diff = manifest->type == BUNDLE_DIFF;

	if (!is_of_unit(manifest, load))
		return err_set(err, ERR_DATA, "it is of user %s, unit %s",
			       quote_str(manifest->username).s, quote_str(manifest->unit).s);
	if (is_diff != object->parsed.is_diff)
		return err_set(err, ERR_DATA, "it is a %s, its name is that of a %s",
			       is_diff ? "diff" : "base", is_diff ? "base" : "diff");
	if (is_diff && strcmp(manifest->base, remote_base_of(load->remote, object)->name) != 0)
		return err_set(err, ERR_DATA, "it is of another base, %s",
			       quote_str(manifest->base).s);
	return 0;
}

int fetch_load_manifest(struct fetch_load *load, const struct remote_object *object,
			struct bundle_manifest *manifest, struct err *err)
{
	struct spool *spool;
	int ret = fetch_load_bundle(load, object, &spool, err);

	if (ret <= 0)
		return ret;
	if (bundle_read_manifest(spool, manifest, err) < 0 ||
	    check_manifest(load, object, manifest, err) < 0)
		return fetch_load_refuse(load, object->name, err);
	return 1;
}
