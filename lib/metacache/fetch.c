#include "metacache/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "index/index_files.h"
#include "metacache/blocks.h"
#include "metacache/changes.h"

#define SPOOL_MEMORY (4 * 1024 * 1024)
#define CANDIDATES_MAX 16 /* bundles of one unit whose manifests are compared */

void fetch_free(struct fetched *fetched)
{
	bundle_manifest_free(&fetched->manifest);
	state_free(&fetched->state);
	free(fetched->refused);
	fetched->refused = NULL;
}

struct fetch {
	const struct metacache *mc;
	const struct metacache_home *home;
	const struct remote_unit *remote;
	struct spool *spool;
	const struct remote_object *loaded; /* which one the spool holds; NULL: none */
	uint64_t bytes;                     /* downloaded so far */
	const char *refused;                /* name of the bundle that is no good; NULL: none */
};

/* No more is taken than the listing announced. 1; 0 it is not there any more; -1. */
static int get_bundle(struct fetch *fetch, const struct remote_object *object, struct err *err)
{
	autobuf struct buf key = { 0 };
	int ret;

	if (fetch->loaded == object)
		return 1;
	fetch->loaded = NULL;
	spool_set_max(fetch->spool, object->size_bytes);
	remote_prefix(&key, fetch->home->prefix, fetch->remote->id);
	buf_puts(&key, object->name);
	spool_reset(fetch->spool);
	ret = store_get(fetch->mc->store, buf_str(&key), fetch->spool, err);
	if (ret > 0) {
		fetch->loaded = object;
		fetch->bytes += spool_size(fetch->spool);
	}
	return ret;
}

static int refuse(struct fetch *fetch, const char *name, struct err *err)
{
	if (!err || err->code != ERR_DATA)
		return -1;
	fetch->refused = name;
	err_prefix(err, "bundle %s is refused", name);
	return err_hint(err, "what is here stays as it is; an undamaged copy of the object, or "
			     "deleting it, makes the older bundle count again");
}

static bool is_of_unit(const struct bundle_manifest *manifest, const struct fetch *fetch)
{
	struct unit unit;
	bool same;

	if (manifest->unit[0] != '\0' && !bundle_name_allowed(manifest->unit, 64))
		return false;
	unit_classify(manifest->unit, &fetch->mc->rules, &unit);
	same = strcmp(unit.id, fetch->remote->id) == 0 &&
	       strcmp(manifest->unit_id, fetch->remote->id) == 0 &&
	       strcmp(manifest->username, fetch->home->user) == 0;
	unit_free(&unit);
	return same;
}

/* What the manifest says of itself has to be what the name says. */
static int check_manifest(const struct fetch *fetch, const struct remote_object *object,
			  const struct bundle_manifest *manifest, struct err *err)
{
	bool is_diff = manifest->type == BUNDLE_DIFF;

	if (!is_of_unit(manifest, fetch))
		return err_set(err, ERR_DATA, "it is of user %s, unit %s",
			       quote_str(manifest->username).s, quote_str(manifest->unit).s);
	if (is_diff != object->parsed.is_diff)
		return err_set(err, ERR_DATA, "it is a %s, its name is that of a %s",
			       is_diff ? "diff" : "base", is_diff ? "base" : "diff");
	if (is_diff && strcmp(manifest->base, remote_base_of(fetch->remote, object)->name) != 0)
		return err_set(err, ERR_DATA, "it is of another base, %s",
			       quote_str(manifest->base).s);
	return 0;
}

static int read_manifest(struct fetch *fetch, const struct remote_object *object,
			 struct bundle_manifest *manifest, struct err *err)
{
	if (bundle_read_manifest(fetch->spool, manifest, err) < 0 ||
	    check_manifest(fetch, object, manifest, err) < 0)
		return refuse(fetch, object->name, err);
	return 0;
}

/* The bundles that no other listed bundle contains. */
struct head {
	const struct remote_object *object;
	int64_t created_ns; /* 0: not read */
};
VEC(head_vec, struct head);

struct heads {
	struct head_vec heads;   /* the one to take first */
	struct str_vec included; /* names of what is contained in a head */
};

static void heads_free(struct heads *heads)
{
	vec_free(&heads->heads);
	str_vec_free(&heads->included);
}

static bool is_orphan(const struct fetch *fetch, const struct head *head)
{
	return remote_is_orphan(fetch->remote, head->object);
}

/* All that is listed, newest first, but for bases that have a diff. An orphan can't be
 * taken, but if nothing includes it, it is a writer's of its own. */
static void list_heads(const struct remote_unit *remote, struct heads *heads)
{
	for (size_t i = remote->objects.count; i-- > 0;) {
		const struct remote_object *object = &remote->objects.items[i];
		/* A base sorts right before its diffs. */
		bool has_diff = i + 1 < remote->objects.count && !object->parsed.is_diff &&
				remote_base_of(remote, object + 1) == object &&
				object[1].parsed.is_diff;

		if (!has_diff)
			vec_push(&heads->heads, ((struct head){ .object = object }));
	}
}

/* What a writer put before its reply was lost is contained in what it put then. */
static void drop_earlier_tries(struct heads *heads)
{
	size_t kept = 0;

	for (size_t i = 0; i < heads->heads.count; i++) {
		struct head head = heads->heads.items[i];
		bool is_earlier = false;

		for (size_t k = 0; k < heads->heads.count && !is_earlier; k++)
			is_earlier = bundle_name_is_earlier_try(
				&head.object->parsed, &heads->heads.items[k].object->parsed);
		if (is_earlier)
			vec_push(&heads->included, xstrdup(head.object->name));
		else
			heads->heads.items[kept++] = head;
	}
	heads->heads.count = kept;
}

/* `at` stands on the bundle that has these includes, and follows it; a bundle that
 * claims to include itself stays. */
static void take_out(struct heads *heads, const struct str_vec *includes, size_t *at)
{
	size_t kept = 0, was_at = *at;

	for (size_t i = 0; i < heads->heads.count; i++) {
		struct head head = heads->heads.items[i];

		if (i == was_at || !str_vec_has(includes, head.object->name))
			heads->heads.items[kept++] = head;
		if (i == was_at)
			*at = kept - 1;
	}
	heads->heads.count = kept;
	for (size_t i = 0; i < includes->count; i++)
		vec_push(&heads->included, xstrdup(includes->items[i]));
}

static int later_first(const void *a, const void *b)
{
	const struct head *x = a, *y = b;

	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

/* Reads manifests until it is known which bundles are heads: none after a single
 * writer, unless that one's is wanted too. 1; 0 the listing is out of date; -1. */
static int find_heads(struct fetch *fetch, bool read_one, struct heads *heads, struct err *err)
{
	list_heads(fetch->remote, heads);
	drop_earlier_tries(heads);
	for (size_t i = 0; i < heads->heads.count && (read_one || heads->heads.count > 1); i++) {
		automanifest struct bundle_manifest manifest = { 0 };
		struct head *head = &heads->heads.items[i];
		int ret;

		if (is_orphan(fetch, head))
			continue;
		if (i >= CANDIDATES_MAX)
			return err_set(err, ERR_CONFLICT,
				       "more than %d bundles of different writers", CANDIDATES_MAX);
		ret = get_bundle(fetch, head->object, err);
		if (ret <= 0)
			return ret;
		if (read_manifest(fetch, head->object, &manifest, err) < 0)
			return -1;
		head->created_ns = manifest.created_ns;
		take_out(heads, &manifest.includes, &i);
	}
	/* Orphans were not read, so they come last. */
	if (heads->heads.count > 1)
		qsort(heads->heads.items, heads->heads.count, sizeof *heads->heads.items,
		      later_first);
	return 1;
}

/* The operator has chosen storage: the newest that is not what is here already. All
 * others count as contained in it. */
static void choose_other(const struct fetch *fetch, const struct state *discard,
			 struct heads *heads)
{
	struct head chosen;
	size_t at = 0;

	while (at < heads->heads.count &&
	       (is_orphan(fetch, &heads->heads.items[at]) ||
		state_is_applied(discard, heads->heads.items[at].object->name)))
		at++;
	if (at == heads->heads.count)
		return;
	chosen = heads->heads.items[at];
	for (size_t i = 0; i < fetch->remote->objects.count; i++)
		vec_push(&heads->included, xstrdup(fetch->remote->objects.items[i].name));
	heads->heads.items[0] = chosen;
	heads->heads.count = 1;
}

/* ---- what the new tree knows ---- */

static void add_unmerged(const struct fetch *fetch, struct state *state,
			 const struct remote_object *object)
{
	const struct remote_object *base =
		object->parsed.is_diff ? remote_base_of(fetch->remote, object) : NULL;

	vec_push(&state->unmerged, xstrdup(object->name));
	if (base && strcmp(base->name, state->base) != 0 &&
	    !str_vec_has(&state->unmerged, base->name))
		vec_push(&state->unmerged, xstrdup(base->name));
}

/* Listed, and neither used nor in conflict: contained in what was chosen. */
static void add_superseded(const struct fetch *fetch, const struct heads *heads,
			   struct state *state)
{
	for (size_t i = 0; i < fetch->remote->objects.count; i++) {
		const char *name = fetch->remote->objects.items[i].name;

		if (strcmp(name, state->base) != 0 && !str_vec_has(&state->diffs, name) &&
		    !str_vec_has(&state->unmerged, name) && str_vec_has(&heads->included, name))
			vec_push(&state->superseded, xstrdup(name));
	}
}

static void fill_state(const struct fetch *fetch, const struct heads *heads, struct state *state)
{
	const struct remote_object *chosen = heads->heads.items[0].object, *base = chosen;

	state_init(state, fetch->home->user, "");
	free(state->host);
	free(state->boot);
	state->host = xstrdup(fetch->mc->host);
	state->boot = xstrdup(fetch->mc->boot);
	if (chosen->parsed.is_diff) {
		base = remote_base_of(fetch->remote, chosen);
		vec_push(&state->diffs, xstrdup(chosen->name));
		state->diff_bytes = chosen->size_bytes;
	}
	state->base = xstrdup(base->name);
	state->base_bytes = base->size_bytes;
	for (size_t i = 1; i < heads->heads.count; i++)
		add_unmerged(fetch, state, heads->heads.items[i].object);
	add_superseded(fetch, heads, state);
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
static void note_blocks(const struct fetch *fetch, const char *base, int dirfd,
			const struct bundle_manifest *manifest, struct blocks *blocks_r)
{
	autounit struct unit unit = { 0 };
	autofree char *index = NULL;

	*blocks_r = (struct blocks){ 0 };
	if (spool_size(fetch->spool) < fetch->mc->settings->metacache_diff_min_bytes ||
	    blocks_from_dir(base, dirfd, manifest, blocks_r, NULL) < 0)
		return;
	unit_classify(manifest->unit, &fetch->mc->rules, &unit);
	index = changes_index_name(&unit);
	if (index) {
		autofd int fd = fsx_openat(dirfd, index, O_RDONLY, 0);
		struct fsx_stat st;

		if (fd >= 0 && fsx_fstat(fd, &st) == 0)
			blocks_note_index(blocks_r, fd, st.size_bytes);
	}
}

/* A base goes into `name` itself. 1, 0 gone, -1. */
static int unpack_base(struct fetch *fetch, const struct remote_object *base, int staging_fd,
		       const char *name, struct bundle_manifest *manifest, struct blocks *blocks,
		       int *dirfd_r, struct err *err)
{
	struct bundle_limits limits;
	int ret = get_bundle(fetch, base, err);

	if (ret <= 0)
		return ret;
	if (read_manifest(fetch, base, manifest, err) < 0)
		return -1;
	limits = limits_of(manifest, &fetch->mc->rules);
	bundle_manifest_free(manifest);
	*dirfd_r = make_dir(staging_fd, name, err);
	if (*dirfd_r < 0)
		return -1;
	if (bundle_unpack(fetch->spool, *dirfd_r, &limits, manifest, err) < 0)
		return refuse(fetch, base->name, err);
	note_blocks(fetch, base->name, *dirfd_r, manifest, blocks);
	return 1;
}

static int apply_diff(struct fetch *fetch, const struct remote_object *diff, int basefd, int dirfd,
		      struct bundle_manifest *manifest, struct blocks *blocks, struct err *err)
{
	struct bundle_limits limits;
	int ret = get_bundle(fetch, diff, err);

	if (ret <= 0)
		return ret;
	if (read_manifest(fetch, diff, manifest, err) < 0)
		return -1;
	limits = limits_of(manifest, &fetch->mc->rules);
	bundle_manifest_free(manifest);
	if (bundle_apply(fetch->spool, basefd, dirfd, &limits, manifest, err) < 0)
		return refuse(fetch, diff->name, err);
	if (blocks->base && blocks_identify(blocks, dirfd, manifest, NULL) < 0)
		blocks_free(blocks);
	return 1;
}

/* The base beside it, the diff over that into `name`. */
static int unpack_diff(struct fetch *fetch, const struct remote_object *diff, int staging_fd,
		       const char *name, struct bundle_manifest *manifest, struct blocks *blocks,
		       int *dirfd_r, struct err *err)
{
	autofree char *base_name = xasprintf("%s.base", name);
	automanifest struct bundle_manifest of_base = { 0 };
	autofd int basefd = -1;
	int ret = unpack_base(fetch, remote_base_of(fetch->remote, diff), staging_fd, base_name,
			      &of_base, blocks, &basefd, err);

	if (ret > 0) {
		*dirfd_r = make_dir(staging_fd, name, err);
		ret = *dirfd_r < 0
			      ? -1
			      : apply_diff(fetch, diff, basefd, *dirfd_r, manifest, blocks, err);
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

static int finish(const struct fetch *fetch, int dirfd, struct blocks *blocks,
		  struct fetched *fetched, struct err *err)
{
	autounit struct unit unit = { 0 };
	struct state *state = &fetched->state;

	if (unit_rescan(dirfd, fetched->manifest.unit, &fetch->mc->rules, &unit, err) < 0)
		return -1;
	free(state->unit);
	state->unit = xstrdup(fetched->manifest.unit);
	state_set_files(state, &unit.files);
	note_log_end(dirfd, &unit, &state->log);
	if (unit.kind == UNIT_ROOT)
		bundle_gone_copy(&state->gone, &fetched->manifest.gone);
	fetched->bytes = fetch->bytes;
	if (blocks->base && blocks_write(dirfd, blocks, err) < 0)
		return -1;
	return state_write(dirfd, state, NULL, err) < 0 ? -1 : 1;
}

static int unpack(struct fetch *fetch, int staging_fd, const char *name, struct fetched *fetched,
		  struct err *err)
{
	autoblocks struct blocks blocks = { 0 };
	autofd int dirfd = -1;
	const char *diff = fetched->state.diffs.count > 0 ? fetched->state.diffs.items[0] : NULL;
	const struct remote_object *chosen =
		remote_find_object(fetch->remote, diff ? diff : fetched->state.base);
	int ret = diff ? unpack_diff(fetch, chosen, staging_fd, name, &fetched->manifest, &blocks,
				     &dirfd, err)
		       : unpack_base(fetch, chosen, staging_fd, name, &fetched->manifest, &blocks,
				     &dirfd, err);

	return ret > 0 ? finish(fetch, dirfd, &blocks, fetched, err) : ret;
}

int fetch_unit(const struct metacache *mc, const struct metacache_home *home,
	       const struct remote_unit *remote, const struct state *discard, int staging_fd,
	       const char *name, struct fetched *fetched_r, struct err *err)
{
	autospool struct spool *spool = spool_new(mc->settings->spool_dir, SPOOL_MEMORY);
	struct fetch fetch = { .mc = mc, .home = home, .remote = remote, .spool = spool };
	CLEANUP(heads_free) struct heads heads = { 0 };
	int ret = find_heads(&fetch, false, &heads, err);

	*fetched_r = (struct fetched){ 0 };
	if (ret > 0 && discard)
		choose_other(&fetch, discard, &heads);
	if (ret > 0 && heads.heads.count == 0)
		ret = 0;
	if (ret > 0 && is_orphan(&fetch, &heads.heads.items[0]))
		ret = err_set(err, ERR_CONFLICT, "storage has only %s, a diff whose base is gone",
			      heads.heads.items[0].object->name);
	if (ret > 0) {
		fill_state(&fetch, &heads, &fetched_r->state);
		ret = unpack(&fetch, staging_fd, name, fetched_r, err);
	}
	if (fetch.refused)
		fetched_r->refused = xstrdup(fetch.refused);
	return ret;
}

int fetch_included(const struct metacache *mc, const struct metacache_home *home,
		   const struct remote_unit *remote, struct str_vec *included_r, char **refused_r,
		   uint64_t *bytes_r, struct err *err)
{
	autospool struct spool *spool = spool_new(mc->settings->spool_dir, SPOOL_MEMORY);
	struct fetch fetch = { .mc = mc, .home = home, .remote = remote, .spool = spool };
	CLEANUP(heads_free) struct heads heads = { 0 };
	int ret = find_heads(&fetch, true, &heads, err);

	*bytes_r += fetch.bytes;
	if (fetch.refused)
		*refused_r = xstrdup(fetch.refused);
	for (size_t i = 0; ret > 0 && i < heads.included.count; i++)
		vec_push(included_r, xstrdup(heads.included.items[i]));
	return ret;
}

int fetch_manifest(const struct metacache *mc, const struct metacache_home *home,
		   const struct remote_unit *remote, const struct remote_object *object,
		   struct bundle_manifest *manifest_r, struct err *err)
{
	autospool struct spool *spool = spool_new(mc->settings->spool_dir, SPOOL_MEMORY);
	struct fetch fetch = { .mc = mc, .home = home, .remote = remote, .spool = spool };
	int ret = get_bundle(&fetch, object, err);

	*manifest_r = (struct bundle_manifest){ 0 };
	return ret > 0 && bundle_read_manifest(spool, manifest_r, err) < 0 ? -1 : ret;
}
