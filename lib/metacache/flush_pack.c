#include "metacache/flush_pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "index/index_files.h"
#include "index/index_header.h"
#include "metacache/changes.h"
#include "store/store.h"

#define SPOOL_MEMORY (2 * 1024 * 1024) /* of one packed bundle; more goes to disk */
#define DIFF_SHARE 3                   /* a diff of more than a third of its base is not worth it */

void flush_pack_free(struct flush_packed *packed)
{
	spool_free(&packed->spool);
	buf_free(&packed->name);
	str_vec_free(&packed->superseded);
	str_vec_free(&packed->unmerged);
	free(packed->later);
	blocks_free(&packed->blocks);
}

static const struct bundle_source *find_source(const struct snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->source_count; i++) {
		if (strcmp(snapshot->sources[i].name, name) == 0)
			return &snapshot->sources[i];
	}
	return NULL;
}

/* What is written into sources on the way is forgotten with the copy. */
static struct bundle_source *copy_sources(const struct snapshot *snapshot)
{
	struct bundle_source *sources = xcalloc(snapshot->source_count, sizeof *sources);

	for (size_t i = 0; i < snapshot->source_count; i++)
		sources[i] = snapshot->sources[i];
	return sources;
}

void flush_pack_log_end(const struct unit *unit, const struct snapshot *snapshot,
			struct index_position *end_r)
{
	const char *log_name = changes_log_name(unit);
	const struct bundle_source *log = log_name ? find_source(snapshot, log_name) : NULL;

	if (!log || index_changes_end(log->fd, log->size_bytes, end_r, NULL) < 0)
		*end_r = (struct index_position){ 0 };
}

static void take_file(const struct snapshot *snapshot, const char *index, const char *end, int *fd,
		      uint64_t *bytes)
{
	autofree char *name = xasprintf("%s%s", index, end);
	const struct bundle_source *source = find_source(snapshot, name);

	*fd = source ? source->fd : -1;
	*bytes = source ? source->size_bytes : 0;
}

/* Whether the base's dovecot.index and the log of today give what is here: then the
 * rewritten index need not travel. */
static bool base_index_will_do(const struct snapshot *snapshot, const char *index,
			       const struct blocks *blocks, bool is_list)
{
	struct index_files files = { .is_list = is_list };

	take_file(snapshot, index, "", &files.index, &files.index_bytes);
	take_file(snapshot, index, ".log", &files.log, &files.log_bytes);
	take_file(snapshot, index, ".log.2", &files.log2, &files.log2_bytes);
	return blocks->indexid != 0 && files.index >= 0 &&
	       index_files_reach(&files, blocks->indexid, blocks->log_file_seq, blocks->log_offset);
}

static void keep_index(const struct unit *unit, const struct snapshot *snapshot,
		       const struct blocks *blocks, struct bundle_source *sources)
{
	autofree char *index = changes_index_name(unit);
	const struct bundle_source *source = index ? find_source(snapshot, index) : NULL;
	const struct blocks_file *file = index ? blocks_find(blocks, index) : NULL;

	if (source && file && base_index_will_do(snapshot, index, blocks, unit->kind == UNIT_ROOT))
		blocks_keep(file, &sources[source - snapshot->sources]);
}

/* Where in the log the base's index stands, for base_index_will_do() later. */
static void note_index(const struct unit *unit, const struct snapshot *snapshot,
		       struct blocks *blocks)
{
	autofree char *index = changes_index_name(unit);
	const struct bundle_source *source = index ? find_source(snapshot, index) : NULL;

	if (source)
		blocks_note_index(blocks, source->fd, source->size_bytes);
}

static int pack(const struct flush_unit *job, const struct bundle_source *sources, size_t count,
		const struct flush_packed *packed, struct bundle_manifest *manifest_r,
		struct err *err)
{
	const struct store_compression *compression = store_compression(job->mc->store);
	struct bundle_compression filter = { .name = compression->name,
					     .level = compression->level };

	*manifest_r = (struct bundle_manifest){
		.type = packed->is_diff ? BUNDLE_DIFF : BUNDLE_BASE,
		.username = xstrdup(job->home->user),
		.unit = xstrdup(job->unit->path),
		.unit_id = xstrdup(job->unit->id),
		.host = xstrdup(job->mc->host),
		.base = packed->is_diff ? xstrdup(job->state.base) : NULL,
		.created_ns = packed->time_ns,
	};
	str_vec_copy(&manifest_r->includes, &packed->superseded);
	if (job->gone)
		bundle_gone_copy(&manifest_r->gone, job->gone);
	return bundle_pack(manifest_r, sources, count, &filter, packed->spool, err);
}

/* Of what is listed, `name` is a base that an unmerged diff builds on. */
static bool is_needed(const struct str_vec *unmerged, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < unmerged->count; i++) {
		if (strncmp(unmerged->items[i], name, len) == 0 && unmerged->items[i][len] == '-')
			return true;
	}
	return false;
}

static void supersede(struct flush_packed *packed, const char *name)
{
	vec_push(is_needed(&packed->unmerged, name) ? &packed->unmerged : &packed->superseded,
		 xstrdup(name));
}

/* Everything listed that the new bundle stands in for. */
static void collect_superseded(const struct flush_unit *job, const struct remote_unit *remote,
			       struct flush_packed *packed)
{
	const struct state *state = &job->state;
	struct str_vec own = { 0 };

	if (job->options->overwrite) {
		for (size_t i = 0; i < remote->objects.count; i++)
			vec_push(&packed->superseded, xstrdup(remote->objects.items[i].name));
		return;
	}
	for (size_t i = 0; i < state->unmerged.count; i++) {
		if (remote_find_object(remote, state->unmerged.items[i]))
			vec_push(&packed->unmerged, xstrdup(state->unmerged.items[i]));
	}
	remote_judge(remote, state, &own);
	for (size_t i = 0; i < own.count; i++)
		supersede(packed, own.items[i]);
	str_vec_free(&own);
	for (size_t i = 0; i < state->diffs.count; i++)
		supersede(packed, state->diffs.items[i]);
	if (!state->base || packed->is_diff)
		return;
	supersede(packed, state->base);
	if (state->base_bytes >= job->mc->settings->metacache_diff_min_bytes)
		packed->later = xstrdup(state->base);
}

static void put_after(int64_t us, int64_t *time_ns)
{
	int64_t after_us, after_ns;

	if (!__builtin_add_overflow(us, 1, &after_us) &&
	    !__builtin_mul_overflow(after_us, 1000, &after_ns) && after_ns > *time_ns)
		*time_ns = after_ns;
}

/* For the name of a try: later than those before it, which may still land, whatever the clock
 * says by now. And a new base must sort after what it contains, also when another host's clock is
 * ahead. */
static int64_t time_for_name(const struct flush_unit *job, const struct remote_unit *remote,
			     bool is_base)
{
	int64_t time_ns = clock_now_ns();

	put_after(job->state.tried_ns / 1000, &time_ns);
	for (size_t i = 0; i < remote->objects.count; i++) {
		const struct bundle_name *name = &remote->objects.items[i].parsed;

		if (bundle_name_is_try_of(name, job->state.next))
			put_after(bundle_name_time_us(name), &time_ns);
		if (is_base)
			put_after(name->base_time_us, &time_ns);
	}
	return time_ns;
}

/* 1 there is a base to cut a diff from, 0 none. */
static int read_blocks(const struct flush_unit *job, const struct remote_unit *remote,
		       struct blocks *blocks_r)
{
	const struct state *state = &job->state;
	const struct remote_object *base =
		state->base ? remote_find_object(remote, state->base) : NULL;
	struct err err = { 0 };
	int ret;

	*blocks_r = (struct blocks){ 0 };
	if (!base || base->size_bytes != state->base_bytes || job->options->overwrite)
		return 0;
	ret = blocks_read(job->unitfd, blocks_r, &err);
	if (ret < 0)
		metacache_warn(job->mc, "metacache_blocks_unreadable", job->home->user, &err);
	return ret > 0 && strcmp(blocks_r->base, state->base) == 0;
}

/* 1 packed; 0 a base is better; -1. */
static int pack_diff(const struct flush_unit *job, const struct snapshot *snapshot,
		     const struct remote_unit *remote, struct flush_packed *packed, struct err *err)
{
	autoblocks struct blocks blocks = { 0 };
	autoplan struct blocks_plan plan = { 0 };
	automanifest struct bundle_manifest manifest = { 0 };
	autofree struct bundle_source *sources = copy_sources(snapshot);
	char unique[BUNDLE_UNIQUE_HEX + 1];

	if (read_blocks(job, remote, &blocks) == 0)
		return 0;
	keep_index(job->unit, snapshot, &blocks, sources);
	if (blocks_plan(&blocks, sources, snapshot->source_count, &plan, err) < 0)
		return -1;
	if (plan.travel_bytes > plan.base_bytes / DIFF_SHARE)
		return 0;
	packed->is_diff = true;
	packed->time_ns = time_for_name(job, remote, false);
	bundle_name_try(job->state.next, packed->time_ns, unique);
	bundle_name_diff(&packed->name, job->state.base, unique);
	collect_superseded(job, remote, packed);
	if (pack(job, sources, snapshot->source_count, packed, &manifest, err) < 0)
		return -1;
	return spool_size(packed->spool) <= job->state.base_bytes / DIFF_SHARE;
}

static int pack_base(const struct flush_unit *job, const struct snapshot *snapshot,
		     const struct remote_unit *remote, struct flush_packed *packed, struct err *err)
{
	automanifest struct bundle_manifest manifest = { 0 };
	autofree struct bundle_source *sources = copy_sources(snapshot);
	size_t count = snapshot->source_count;

	packed->time_ns = time_for_name(job, remote, true);
	bundle_name_base(&packed->name, packed->time_ns, job->state.next);
	collect_superseded(job, remote, packed);
	if (blocks_start(&packed->blocks, sources, count, err) < 0 ||
	    pack(job, sources, count, packed, &manifest, err) < 0)
		return -1;
	/* A diff is one more object to read back: not worth it for a little. */
	if (spool_size(packed->spool) < job->mc->settings->metacache_diff_min_bytes) {
		blocks_free(&packed->blocks);
		return 0;
	}
	blocks_finish(&packed->blocks, buf_str(&packed->name), &manifest);
	note_index(job->unit, snapshot, &packed->blocks);
	return 0;
}

static void start(const struct flush_unit *job, struct flush_packed *packed_r)
{
	*packed_r = (struct flush_packed){
		.spool = spool_new(job->mc->settings->spool_dir, SPOOL_MEMORY),
	};
}

int flush_pack(const struct flush_unit *job, const struct snapshot *snapshot,
	       const struct remote_unit *remote, struct flush_packed *packed_r, struct err *err)
{
	int ret;

	start(job, packed_r);
	ret = pack_diff(job, snapshot, remote, packed_r, err);
	if (ret != 0)
		return ret < 0 ? -1 : 0;
	flush_pack_free(packed_r);
	start(job, packed_r);
	return pack_base(job, snapshot, remote, packed_r, err);
}
