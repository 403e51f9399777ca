#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "metacache/fetch.h"
#include "metacache/verify_look.h"

struct bundles {
	struct verify_look *look;
	const struct verify_unit *unit; /* NULL: not here */
	const struct remote_unit *remote;
	struct verify_included *included;
	const char *name;      /* of the unit */
	bool deletes;          /* something is to be deleted because others contain it */
	size_t tips, readable; /* that no manifest includes; of those that were unpacked */
	char *refused;         /* the first that could not be; NULL: none */
};

/* 1, 0 it is gone, -1 (ERR_DATA: it is no bundle of the unit). */
static int read_manifest(struct verify_look *look, const struct remote_unit *remote,
			 const struct remote_object *object, struct bundle_manifest *manifest_r,
			 struct err *err)
{
	int ret = fetch_manifest(look->mc, &look->home, remote, object, manifest_r, err);

	look->stale |= ret == 0;
	if (ret > 0 && (strcmp(manifest_r->username, look->home.user) != 0 ||
			strcmp(manifest_r->unit_id, remote->id) != 0))
		return err_set(err, ERR_DATA, "bundle %s is of another unit", object->name);
	return ret;
}

/* What a bundle says of itself does not make it rubbish. 1, 0 the listing is out of date, -1. */
static int drop_self_included(struct verify_look *look, const struct remote_unit *remote,
			      struct str_vec *names, struct err *err)
{
	for (size_t i = 0; i < remote->objects.count; i++) {
		const struct remote_object *object = &remote->objects.items[i];
		automanifest struct bundle_manifest manifest = { 0 };
		struct err unreadable = { 0 };
		int ret;

		if (!verify_tips_is_one(remote, i) || !str_vec_has(names, object->name))
			continue;
		ret = read_manifest(look, remote, object, &manifest, &unreadable);
		if (ret < 0 && unreadable.code == ERR_DATA)
			continue; /* then it is another that includes it */
		if (ret < 0)
			*err = unreadable;
		if (ret <= 0)
			return ret;
		if (str_vec_has(&manifest.includes, object->name))
			str_vec_drop(names, object->name);
	}
	return 1;
}

int verify_bundles_read(struct verify_look *look, const struct remote_unit *remote,
			struct verify_included *included, struct err *err)
{
	autofree char *refused = NULL;
	int ret;

	if (remote->objects.count == 0 || verify_tips_is_plain(remote))
		return 0;
	ret = fetch_included(look->mc, &look->home, remote, &included->names, &refused,
			     &look->counts.bytes, err);
	look->stale |= ret == 0;
	if (ret > 0)
		ret = drop_self_included(look, remote, &included->names, err);
	included->read = ret > 0;
	/* Damaged, or too many: then nothing counts as contained. check_tips() says so. */
	return ret < 0 && !refused && err->code != ERR_CONFLICT ? -1 : 0;
}

static bool has_all(const struct str_vec *names, const struct str_vec *wanted)
{
	for (size_t i = 0; i < wanted->count; i++) {
		if (!str_vec_has(names, wanted->items[i]))
			return false;
	}
	return true;
}

int verify_bundles_include(struct verify_look *look, const struct remote_unit *remote,
			   const struct str_vec *names, struct err *err)
{
	CLEANUP(str_vec_free) struct str_vec included = { 0 };

	for (size_t i = remote->objects.count; i-- > 0 && !has_all(&included, names);) {
		const struct remote_object *object = &remote->objects.items[i];
		automanifest struct bundle_manifest manifest = { 0 };
		struct err unreadable = { 0 };
		int ret = read_manifest(look, remote, object, &manifest, &unreadable);

		if (ret < 0 && unreadable.code != ERR_DATA) {
			*err = unreadable;
			return -1;
		}
		for (size_t k = 0; ret > 0 && k < manifest.includes.count; k++) {
			if (strcmp(manifest.includes.items[k], object->name) != 0)
				vec_push(&included, xstrdup(manifest.includes.items[k]));
		}
	}
	return has_all(&included, names);
}

bool verify_bundles_contained(const struct remote_unit *remote,
			      const struct verify_included *included,
			      const struct remote_object *object)
{
	if (!str_vec_has(&included->names, object->name))
		return false;
	for (size_t i = 0; i < remote->objects.count; i++) {
		const struct remote_object *diff = &remote->objects.items[i];

		if (diff->parsed.is_diff && remote_base_of(remote, diff) == object &&
		    !str_vec_has(&included->names, diff->name))
			return false;
	}
	return true;
}

/* What is here is whole, so a new base can stand in for it. */
static void add_corrupt(struct bundles *bundles, const char *object, const struct err *err)
{
	bool whole = bundles->unit && bundles->unit->whole;

	*verify_look_add(bundles->look, VERIFY_CORRUPT_BUNDLE, bundles->name, object, whole) = *err;
}

/* ---- orphans ---- */

/* Whether it is known that nothing is lost with it. It may also have been written by another
 * server on a base that was just being superseded: then it holds what nobody else has, and
 * would be of use to an operator who can bring that base back. */
int verify_bundles_is_rubbish(struct verify_look *look, const struct verify_unit *unit,
			      const struct remote_unit *remote,
			      const struct verify_included *included,
			      const struct remote_object *orphan, struct err *reason,
			      struct err *err)
{
	automanifest struct bundle_manifest manifest = { 0 };
	struct err unreadable = { 0 };
	int ret;

	if (orphan->size_bytes == 0 || str_vec_has(&included->names, orphan->name) ||
	    (unit && unit->whole &&
	     (str_vec_has(&unit->state.superseded, orphan->name) ||
	      str_vec_has(&unit->state.deleted, orphan->name))))
		return 1;
	ret = fetch_manifest(look->mc, &look->home, remote, orphan, &manifest, &unreadable);
	look->stale |= ret == 0;
	if (ret <= 0) {
		*(unreadable.code == ERR_DATA ? reason : err) = unreadable;
		return ret == 0 || unreadable.code == ERR_DATA ? 0 : -1;
	}
	/* Not even with its base would it be a diff. */
	if (manifest.type != BUNDLE_DIFF ||
	    strncmp(manifest.base, orphan->name, strlen(manifest.base)) != 0)
		return 1;
	err_set(reason, ERR_CONFLICT, "it may hold changes of %s that no other bundle has",
		manifest.host);
	return 0;
}

static int check_orphans(struct bundles *bundles, struct err *err)
{
	for (size_t i = 0; i < bundles->remote->objects.count; i++) {
		const struct remote_object *object = &bundles->remote->objects.items[i];
		struct err reason = { 0 };
		int rubbish;

		if (!remote_is_orphan(bundles->remote, object))
			continue;
		err_set(&reason, ERR_DATA, "its base is not in storage");
		rubbish = verify_bundles_is_rubbish(bundles->look, bundles->unit, bundles->remote,
						    bundles->included, object, &reason, err);
		if (rubbish < 0)
			return -1;
		bundles->deletes |= rubbish > 0 && object->size_bytes > 0;
		*verify_look_add(bundles->look, VERIFY_ORPHAN_DIFF, bundles->name, object->name,
				 rubbish > 0) = reason;
	}
	return 0;
}

/* ---- superseded bundles ---- */

/* What this tree was built from is whoever merges the two sides' to compare with. */
static bool is_used(const struct verify_unit *unit, const char *name)
{
	const struct state *state = unit ? &unit->state : NULL;

	return state && ((state->base && strcmp(state->base, name) == 0) ||
			 str_vec_has(&state->diffs, name) || str_vec_has(&state->unmerged, name));
}

static void check_superseded(struct bundles *bundles)
{
	for (size_t i = 0; i < bundles->remote->objects.count; i++) {
		const struct remote_object *object = &bundles->remote->objects.items[i];

		if (remote_is_orphan(bundles->remote, object) ||
		    is_used(bundles->unit, object->name) ||
		    !verify_bundles_contained(bundles->remote, bundles->included, object))
			continue;
		err_set(verify_look_add(bundles->look, VERIFY_SUPERSEDED, bundles->name,
					object->name, true),
			ERR_DATA, "contained in another bundle");
		bundles->deletes = true;
	}
}

/* ---- bundles that no other contains ---- */

static int unpack_tip(struct bundles *bundles, const struct remote_object *tip, struct err *err)
{
	autofree char *refused = NULL;
	struct err why = { 0 };
	int ret = verify_tips_unpack(bundles->look, bundles->remote, tip, &refused, &why);

	if (ret < 0) {
		*err = why;
		return -1;
	}
	if (ret > 0) {
		vec_push(&bundles->included->proved, xstrdup(tip->name));
		bundles->readable++;
	} else if (refused) {
		add_corrupt(bundles, refused, &why);
		if (!bundles->refused)
			bundles->refused = steal_ptr(&refused);
	}
	return 0;
}

/* Where manifests could not be read, that of some tip is to blame. */
static int check_tips(struct bundles *bundles, struct err *err)
{
	const struct verify_options *options = &bundles->look->options;
	const struct verify_included *included = bundles->included;
	bool unread = !included->read && !verify_tips_is_plain(bundles->remote);
	bool all = options->deep || unread || (options->repair && bundles->deletes);
	ssize_t i = (ssize_t)bundles->remote->objects.count;

	while ((i = verify_tips_next(bundles->remote, included, (size_t)i)) >= 0) {
		const struct remote_object *object = &bundles->remote->objects.items[i];

		if (bundles->tips++ > 0 && included->read && !bundles->unit)
			err_set(verify_look_add(bundles->look, VERIFY_CONFLICT, bundles->name,
						object->name, false),
				ERR_CONFLICT, "storage has bundles of two writers");
		if (all && unpack_tip(bundles, object, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_empty(const struct remote_unit *remote, const char *name)
{
	const struct remote_object *object = name ? remote_find_object(remote, name) : NULL;

	return object && object->size_bytes == 0;
}

/* What says that it contains another may be damaged behind its manifest: then the other is the
 * last that can be read. Where the unit is whole here, a new base comes first, and whoever deletes
 * looks at that one. */
static void keep_contained(const struct bundles *bundles)
{
	struct verify_finding_vec *findings = &bundles->look->findings;
	bool replaced = bundles->unit && bundles->unit->whole;

	for (size_t i = 0; i < findings->count; i++) {
		struct verify_finding *finding = &findings->items[i];

		if (!finding->repairable || !str_same(finding->unit, bundles->name) ||
		    (finding->drift != VERIFY_SUPERSEDED && finding->drift != VERIFY_ORPHAN_DIFF) ||
		    is_empty(bundles->remote, finding->object))
			continue;
		finding->repairable = replaced;
		if (bundles->refused)
			err_set(&finding->err, ERR_DATA, "it may be needed: %s can't be read",
				bundles->refused);
		else
			err_set(&finding->err, ERR_DATA,
				"it may be needed: storage has no other that can be read");
	}
}

int verify_bundles(struct verify_look *look, const struct verify_unit *unit, size_t index,
		   struct err *err)
{
	const struct remote_unit *remote = &look->remote.items[index];
	struct bundles bundles = {
		.look = look,
		.unit = unit,
		.remote = remote,
		.included = &look->included[index],
		.name = verify_unit_name(unit, remote),
	};
	int ret;

	check_superseded(&bundles);
	ret = check_orphans(&bundles, err);
	if (ret == 0)
		ret = check_tips(&bundles, err);
	if (ret == 0 && bundles.deletes && (look->options.repair || look->options.deep) &&
	    (bundles.tips == 0 || bundles.readable < bundles.tips))
		keep_contained(&bundles);
	free(bundles.refused);
	return ret;
}
