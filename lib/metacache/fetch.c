#include "metacache/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "index/index_files.h"
#include "metacache/blocks.h"
#include "metacache/changes.h"
#include "metacache/fetch_heads.h"
#include "metacache/fetch_load.h"

void fetch_free(struct fetched *fetched)
{
	bundle_manifest_free(&fetched->manifest);
	state_free(&fetched->state);
	free(fetched->refused);
	fetched->refused = NULL;
}

/* ---- what the new tree knows ---- */

static void add_unmerged(const struct fetch_load *load, struct state *state,
			 const struct remote_object *object)
{
	const struct remote_object *base =
		object->parsed.is_diff ? remote_base_of(load->remote, object) : NULL;

	vec_push(&state->unmerged, xstrdup(object->name));
	if (base && strcmp(base->name, state->base) != 0 &&
	    !str_vec_has(&state->unmerged, base->name))
		vec_push(&state->unmerged, xstrdup(base->name));
}

/* Listed, and neither used nor in conflict: contained in what was chosen. */
static void add_superseded(const struct fetch_load *load, const struct fetch_heads *heads,
			   struct state *state)
{
	for (size_t i = 0; i < load->remote->objects.count; i++) {
		const char *name = load->remote->objects.items[i].name;

		if (strcmp(name, state->base) != 0 && !str_vec_has(&state->diffs, name) &&
		    !str_vec_has(&state->unmerged, name) && str_vec_has(&heads->included, name))
			vec_push(&state->superseded, xstrdup(name));
	}
}

static void fill_state(const struct fetch_load *load, const struct fetch_heads *heads,
		       struct state *state)
{
	const struct remote_object *chosen = heads->heads.items[0].object, *base = chosen;

	state_init(state, load->home->user, "");
	free(state->host);
	free(state->boot);
	state->host = xstrdup(load->mc->host);
	state->boot = xstrdup(load->mc->boot);
	if (chosen->parsed.is_diff) {
		base = remote_base_of(load->remote, chosen);
		vec_push(&state->diffs, xstrdup(chosen->name));
		state->diff_bytes = chosen->size_bytes;
	}
	state->base = xstrdup(base->name);
	state->base_bytes = base->size_bytes;
	for (size_t i = 1; i < heads->heads.count; i++)
		add_unmerged(load, state, heads->heads.items[i].object);
	add_superseded(load, heads, state);
}

/* ---- unpacking ---- */

static int make_dir(int staging_fd, const char *name, struct err *err)
{
	int fd;

	if (mkdirat(staging_fd, name, 0700) < 0)
		return err_sys(err, errno, "make a directory in .trash");
	fd = fsx_opendir(staging_fd, name);
	if (fd < 0)
		err_sys(err, errno, "open a directory in .trash");
	return fd;
}

static struct bundle_limits limits_of(const struct bundle_manifest *manifest,
				      const struct unit_rules *rules)
{
	autounit struct unit unit = { 0 };

	unit_classify(manifest->unit, rules, &unit);
	return (struct bundle_limits){ .depth_max = unit_name_depth(unit.kind) };
}

/* Its blocks are for the next diff: not having them costs a base then. */
static void note_blocks(const struct fetch_load *load, const struct remote_object *base, int dirfd,
			const struct bundle_manifest *manifest, struct blocks *blocks_r)
{
	autounit struct unit unit = { 0 };
	autofree char *index = NULL;

	*blocks_r = (struct blocks){ 0 };
	if (base->size_bytes < load->mc->settings->metacache_diff_min_bytes ||
	    blocks_from_dir(base->name, dirfd, manifest, blocks_r, NULL) < 0)
		return;
	unit_classify(manifest->unit, &load->mc->rules, &unit);
	index = changes_index_name(&unit);
	if (index) {
		autofd int fd = fsx_openat(dirfd, index, O_RDONLY, 0);
		struct fsx_stat st;

		if (fd >= 0 && fsx_fstat(fd, &st) == 0)
			blocks_note_index(blocks_r, fd, st.size_bytes);
	}
}

/* A base goes into `name` itself. 1, 0 gone, -1. */
static int unpack_base(struct fetch_load *load, const struct remote_object *base, int staging_fd,
		       const char *name, struct bundle_manifest *manifest, struct blocks *blocks,
		       int *dirfd_r, struct err *err)
{
	struct bundle_limits limits;
	struct spool *spool;
	int ret = fetch_load_manifest(load, base, manifest, err);

	if (ret > 0)
		ret = fetch_load_bundle(load, base, &spool, err);
	if (ret <= 0)
		return ret;
	limits = limits_of(manifest, &load->mc->rules);
	bundle_manifest_free(manifest);
	*dirfd_r = make_dir(staging_fd, name, err);
	if (*dirfd_r < 0)
		return -1;
	if (bundle_unpack(spool, *dirfd_r, &limits, manifest, err) < 0)
		return fetch_load_refuse(load, base->name, err);
	note_blocks(load, base, *dirfd_r, manifest, blocks);
	return 1;
}

static int apply_diff(struct fetch_load *load, const struct remote_object *diff, int basefd,
		      int dirfd, struct bundle_manifest *manifest, struct blocks *blocks,
		      struct err *err)
{
	struct bundle_limits limits;
	struct spool *spool;
	int ret = fetch_load_manifest(load, diff, manifest, err);

	if (ret > 0)
		ret = fetch_load_bundle(load, diff, &spool, err);
	if (ret <= 0)
		return ret;
	limits = limits_of(manifest, &load->mc->rules);
	bundle_manifest_free(manifest);
	if (bundle_apply(spool, basefd, dirfd, &limits, manifest, err) < 0)
		return fetch_load_refuse(load, diff->name, err);
	if (blocks->base && blocks_identify(blocks, dirfd, manifest, NULL) < 0)
		blocks_free(blocks);
	return 1;
}

/* The base beside it, the diff over that into `name`. */
static int unpack_diff(struct fetch_load *load, const struct remote_object *diff, int staging_fd,
		       const char *name, struct bundle_manifest *manifest, struct blocks *blocks,
		       int *dirfd_r, struct err *err)
{
	autofree char *base_name = xasprintf("%s.base", name);
	automanifest struct bundle_manifest of_base = { 0 };
	autofd int basefd = -1;
	int ret = unpack_base(load, remote_base_of(load->remote, diff), staging_fd, base_name,
			      &of_base, blocks, &basefd, err);

	if (ret > 0) {
		*dirfd_r = make_dir(staging_fd, name, err);
		ret = *dirfd_r < 0
			      ? -1
			      : apply_diff(load, diff, basefd, *dirfd_r, manifest, blocks, err);
	}
	if (ret > 0 && fsx_remove_tree(staging_fd, base_name, err) < 0)
		return -1;
	return ret;
}

static void note_log_end(int dirfd, const struct unit *unit, struct index_position *end_r)
{
	const char *log_name = changes_log_name(unit);
	autoindexfiles struct index_files files = { .index = -1, .log = -1, .log2 = -1 };

	if (!log_name || index_files_open(dirfd, log_name, &files, NULL) < 0 || files.log < 0 ||
	    index_changes_end(files.log, files.log_bytes, end_r, NULL) < 0)
		*end_r = (struct index_position){ 0 };
}

/* What was deleted as contained in this bundle may still be listed later. */
static void note_deleted(const struct fetch_load *load, const struct str_vec *includes,
			 struct state *state)
{
	for (size_t i = 0; i < includes->count; i++) {
		if (!remote_find_object(load->remote, includes->items[i]))
			state_add_deleted(state, includes->items[i]);
	}
}

static int finish(const struct fetch_load *load, int dirfd, struct blocks *blocks,
		  struct fetched *fetched, struct err *err)
{
	autounit struct unit unit = { 0 };
	struct state *state = &fetched->state;

	if (unit_rescan(dirfd, fetched->manifest.unit, &load->mc->rules, &unit, err) < 0)
		return -1;
	free(state->unit);
	state->unit = xstrdup(fetched->manifest.unit);
	state_set_files(state, &unit.files);
	note_log_end(dirfd, &unit, &state->log);
	note_deleted(load, &fetched->manifest.includes, state);
	if (unit.kind == UNIT_ROOT)
		bundle_gone_copy(&state->gone, &fetched->manifest.gone);
	fetched->bytes = load->bytes;
	if (blocks->base && blocks_write(dirfd, blocks, err) < 0)
		return -1;
	return state_write(dirfd, state, NULL, err) < 0 ? -1 : 1;
}

static int unpack(struct fetch_load *load, int staging_fd, const char *name,
		  struct fetched *fetched, struct err *err)
{
	autoblocks struct blocks blocks = { 0 };
	autofd int dirfd = -1;
	const char *diff = fetched->state.diffs.count > 0 ? fetched->state.diffs.items[0] : NULL;
	const struct remote_object *chosen =
		remote_find_object(load->remote, diff ? diff : fetched->state.base);
	int ret = diff ? unpack_diff(load, chosen, staging_fd, name, &fetched->manifest, &blocks,
				     &dirfd, err)
		       : unpack_base(load, chosen, staging_fd, name, &fetched->manifest, &blocks,
				     &dirfd, err);

	return ret > 0 ? finish(load, dirfd, &blocks, fetched, err) : ret;
}

int fetch_unit(const struct metacache *mc, const struct metacache_home *home,
	       const struct remote_unit *remote, const struct state *discard, int staging_fd,
	       const char *name, struct fetched *fetched_r, struct err *err)
{
	autoload struct fetch_load load = fetch_load_start(mc, home, remote);
	autoheads struct fetch_heads heads = { 0 };
	int ret = fetch_heads_find(&load, false, &heads, err);

	*fetched_r = (struct fetched){ 0 };
	if (ret > 0 && discard)
		fetch_heads_choose(&load, discard, &heads);
	if (ret > 0 && heads.heads.count == 0)
		ret = 0;
	if (ret > 0 && fetch_heads_is_orphan(&load, &heads.heads.items[0]))
		ret = err_set(err, ERR_CONFLICT, "storage has only %s, a diff whose base is gone",
			      heads.heads.items[0].object->name);
	if (ret > 0) {
		fill_state(&load, &heads, &fetched_r->state);
		ret = unpack(&load, staging_fd, name, fetched_r, err);
	}
	if (load.refused)
		fetched_r->refused = xstrdup(load.refused);
	return ret;
}

int fetch_included(const struct metacache *mc, const struct metacache_home *home,
		   const struct remote_unit *remote, struct str_vec *included_r, char **refused_r,
		   uint64_t *bytes_r, struct err *err)
{
	autoload struct fetch_load load = fetch_load_start(mc, home, remote);
	autoheads struct fetch_heads heads = { 0 };
	int ret = fetch_heads_find(&load, true, &heads, err);

	*bytes_r += load.bytes;
	if (load.refused)
		*refused_r = xstrdup(load.refused);
	for (size_t i = 0; ret > 0 && i < heads.included.count; i++)
		vec_push(included_r, xstrdup(heads.included.items[i]));
	return ret;
}

int fetch_manifest(const struct metacache *mc, const struct metacache_home *home,
		   const struct remote_unit *remote, const struct remote_object *object,
		   struct bundle_manifest *manifest_r, struct err *err)
{
	autoload struct fetch_load load = fetch_load_start(mc, home, remote);
	struct spool *spool;
	int ret = fetch_load_bundle(&load, object, &spool, err);

	*manifest_r = (struct bundle_manifest){ 0 };
	return ret > 0 && bundle_read_manifest(spool, manifest_r, err) < 0 ? -1 : ret;
}
