#include "metacache/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"

#define SPOOL_MEMORY (4 * 1024 * 1024)
#define CANDIDATES_MAX 16 /* bundles of one unit whose manifests are compared */

void fetch_free(struct fetched *fetched)
{
	bundle_manifest_free(&fetched->manifest);
	state_free(&fetched->state);
}

/* No more is taken than the listing announced. */
static int get_bundle(const struct metacache *mc, const struct metacache_home *home,
		      const struct remote_unit *remote, const char *name, struct spool *spool,
		      struct err *err)
{
	autobuf struct buf key = { 0 };

	for (size_t i = 0; i < remote->objects.count; i++) {
		if (strcmp(remote->objects.items[i].name, name) == 0)
			spool_set_max(spool, remote->objects.items[i].size_bytes);
	}
	remote_prefix(&key, home->prefix, remote->id);
	buf_puts(&key, name);
	spool_reset(spool);
	return store_get(mc->store, buf_str(&key), spool, err);
}

static int refuse(const char *name, struct err *err)
{
	if (!err || err->code != ERR_DATA)
		return -1;
	err_prefix(err, "bundle %s is refused", name);
	return err_hint(err, "what is here stays as it is; an undamaged copy of the object, or "
			     "deleting it, makes the older bundle count again");
}

static bool is_of_unit(const struct bundle_manifest *manifest, const struct metacache *mc,
		       const struct metacache_home *home, const struct remote_unit *remote)
{
	struct unit unit;
	bool same;

	if (manifest->unit[0] != '\0' && !bundle_name_allowed(manifest->unit, 64))
		return false;
	unit_classify(manifest->unit, &mc->rules, &unit);
	same = strcmp(unit.id, remote->id) == 0 && strcmp(manifest->unit_id, remote->id) == 0 &&
	       strcmp(manifest->username, home->user) == 0;
	unit_free(&unit);
	return same;
}

static int read_manifest(const struct metacache *mc, const struct metacache_home *home,
			 const struct remote_unit *remote, const char *name,
			 const struct spool *spool, struct bundle_manifest *manifest,
			 struct err *err)
{
	if (bundle_read_manifest(spool, manifest, err) < 0)
		return refuse(name, err);
	if (!is_of_unit(manifest, mc, home, remote)) {
		err_set(err, ERR_DATA, "it is of user %s, unit %s", quote_str(manifest->username).s,
			quote_str(manifest->unit).s);
		return refuse(name, err);
	}
	return 0;
}

/* The names that no listed bundle includes, newest first. Reads manifests until
 * that is known: only the newest one after a single writer. */
struct heads {
	struct str_vec names;    /* not (yet) known to be included */
	struct str_vec included; /* contained in a head */
	const char *loaded;      /* the one that the spool holds */
};

static void heads_free(struct heads *heads)
{
	str_vec_free(&heads->names);
	str_vec_free(&heads->included);
}

/* `at` stands on the bundle that has these includes, and follows it; a bundle that
 * claims to include itself stays. */
static void take_out(struct heads *heads, const struct str_vec *includes, size_t *at)
{
	size_t kept = 0, was_at = *at;

	for (size_t i = 0; i < heads->names.count; i++) {
		char *name = heads->names.items[i];

		if (i != was_at && str_vec_has(includes, name))
			vec_push(&heads->included, name);
		else
			heads->names.items[kept++] = name;
		if (i == was_at)
			*at = kept - 1;
	}
	heads->names.count = kept;
}

static int find_heads(const struct metacache *mc, const struct metacache_home *home,
		      const struct remote_unit *remote, struct spool *spool, struct heads *heads,
		      struct err *err)
{
	for (size_t i = remote->objects.count; i-- > 0;) {
		const struct remote_object *object = &remote->objects.items[i];

		if (object->parsed.is_diff)
			return err_set(err, ERR_DATA, "%s is a diff, which this version can't read",
				       object->name);
		vec_push(&heads->names, xstrdup(object->name));
	}
	for (size_t i = 0; i < heads->names.count && (i == 0 || heads->names.count > 1); i++) {
		automanifest struct bundle_manifest manifest = { 0 };
		const char *name = heads->names.items[i];
		int ret;

		if (i >= CANDIDATES_MAX)
			return err_set(err, ERR_CONFLICT,
				       "more than %d bundles of different writers", CANDIDATES_MAX);
		ret = get_bundle(mc, home, remote, name, spool, err);
		if (ret <= 0)
			return ret;
		heads->loaded = name;
		if (read_manifest(mc, home, remote, name, spool, &manifest, err) < 0)
			return -1;
		take_out(heads, &manifest.includes, &i);
	}
	return 1;
}

static int unpack(const struct metacache *mc, const struct spool *spool, int dirfd,
		  const struct unit *unit, struct fetched *fetched, struct err *err)
{
	struct bundle_limits limits = { .depth_max = unit_name_depth(unit->kind) };
	autounit struct unit found = { 0 };

	if (bundle_unpack(spool, dirfd, &limits, &fetched->manifest, err) < 0)
		return refuse(fetched->state.base, err);
	fetched->bytes = fetched->state.base_bytes = spool_size(spool);
	if (unit_rescan(dirfd, unit->path, &mc->rules, &found, err) < 0)
		return -1;
	state_set_files(&fetched->state, &found.files);
	return 0;
}

static void fill_state(const struct metacache *mc, const struct metacache_home *home,
		       struct heads *heads, struct state *state)
{
	state_init(state, home->user, "");
	free(state->host);
	free(state->boot);
	state->host = xstrdup(mc->host);
	state->boot = xstrdup(mc->boot);
	state->base = xstrdup(heads->names.items[0]);
	for (size_t i = 1; i < heads->names.count; i++)
		vec_push(&state->unmerged, xstrdup(heads->names.items[i]));
	for (size_t i = 0; i < heads->included.count; i++)
		vec_push(&state->superseded, xstrdup(heads->included.items[i]));
}

static int unpack_new(const struct metacache *mc, const struct spool *spool, int staging_fd,
		      const char *name, struct fetched *fetched, struct err *err)
{
	autofd int dirfd = -1;
	autounit struct unit unit = { 0 };
	automanifest struct bundle_manifest manifest = { 0 };

	if (bundle_read_manifest(spool, &manifest, err) < 0)
		return -1;
	unit_classify(manifest.unit, &mc->rules, &unit);
	free(fetched->state.unit);
	fetched->state.unit = xstrdup(manifest.unit);
	if (mkdirat(staging_fd, name, 0700) < 0)
		return err_sys(err, errno, "make a directory in .trash");
	dirfd = fsx_opendir(staging_fd, name);
	if (dirfd < 0)
		return err_sys(err, errno, "open a directory in .trash");
	if (unpack(mc, spool, dirfd, &unit, fetched, err) < 0)
		return -1;
	if (unit.kind == UNIT_ROOT) {
		for (size_t i = 0; i < fetched->manifest.gone.count; i++)
			vec_push(&fetched->state.gone, xstrdup(fetched->manifest.gone.items[i]));
	}
	return state_write(dirfd, &fetched->state, NULL, err) < 0 ? -1 : 1;
}

int fetch_unit(const struct metacache *mc, const struct metacache_home *home,
	       const struct remote_unit *remote, int staging_fd, const char *name,
	       struct fetched *fetched_r, struct err *err)
{
	autospool struct spool *spool = spool_new(mc->settings->spool_dir, SPOOL_MEMORY);
	CLEANUP(heads_free) struct heads heads = { 0 };
	int ret = find_heads(mc, home, remote, spool, &heads, err);

	*fetched_r = (struct fetched){ 0 };
	if (ret <= 0 || heads.names.count == 0)
		return ret < 0 ? -1 : 0;
	fill_state(mc, home, &heads, &fetched_r->state);
	if (heads.names.items[0] != heads.loaded) {
		ret = get_bundle(mc, home, remote, fetched_r->state.base, spool, err);
		if (ret <= 0)
			return ret;
	}
	return unpack_new(mc, spool, staging_fd, name, fetched_r, err);
}
