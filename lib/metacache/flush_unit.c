#include "metacache/flush_unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle.h"
#include "metacache/remote.h"
#include "metacache/snapshot.h"
#include "store/store.h"

#define SPOOL_MEMORY (2 * 1024 * 1024) /* of one packed bundle; more goes to disk */

/* The unique part of a tree's first bundle is made of what only this directory has:
 * host, inode and time of birth. A run after a kill makes the same one, so that
 * nothing need be written down before. false where there are no birth times. */
static bool derive_name(const struct flush_unit *job, char next_r[BUNDLE_UNIQUE_HEX + 1])
{
	autobuf struct buf text = { 0 }, hex = { 0 };
	struct fsx_birth birth;
	unsigned char md5[16];

	if (fsx_birth(job->unitfd, &birth) <= 0)
		return false;
	buf_printf(&text, "%s\n%s\n%s\n%llu\n%lld", job->mc->host, job->home->user, job->unit->path,
		   (unsigned long long)birth.ino, (long long)birth.born_ns);
	hash_md5(text.data, text.len, md5);
	buf_hex(&hex, md5, sizeof md5);
	memcpy(next_r, buf_str(&hex), BUNDLE_UNIQUE_HEX + 1);
	return true;
}

/* .state as it is, or a new one. A torn one is as good as none: what storage has
 * then decides. Another host's tree (copied here) must not pass for its own. */
static void load_state(struct flush_unit *job)
{
	const struct metacache *mc = job->mc;
	struct state *state = &job->state;
	struct err err = { 0 };
	int ret = state_read_of(job->unitfd, job->home->user, job->unit->path, state, &err);

	if (ret < 0)
		metacache_warn(mc, "metacache_state_unreadable", job->home->user, &err);
	job->known = ret > 0;
	job->named = job->known && strcmp(state->host, mc->host) == 0;
	if (!job->known) {
		state_init(state, job->home->user, job->unit->path);
		job->named = derive_name(job, state->next);
	} else if (!job->named) {
		bundle_name_unique(state->next);
	}
}

static int write_state(struct flush_unit *job, struct err *err)
{
	struct state *state = &job->state;

	free(state->host);
	free(state->boot);
	state->host = xstrdup(job->mc->host);
	state->boot = xstrdup(job->mc->boot);
	return state_write(job->unitfd, state, &job->unit->state_stat, err);
}

static bool same_names(const struct str_vec *a, const struct str_vec *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!str_vec_has(b, a->items[i]))
			return false;
	}
	return true;
}

static void copy_names(struct str_vec *to, const struct str_vec *from)
{
	str_vec_free(to);
	for (size_t i = 0; i < from->count; i++)
		vec_push(to, xstrdup(from->items[i]));
}

static bool is_unchanged(const struct flush_unit *job)
{
	const struct state *state = &job->state;

	return state_matches(state, &job->unit->files) &&
	       (!job->folders ||
		(same_names(&state->folders, job->folders) && same_names(&state->gone, job->gone)));
}

static int conflict(struct flush_unit *job, const char *theirs, const char *what)
{
	job->outcome = FLUSH_CONFLICT;
	err_set(&job->err, ERR_CONFLICT,
		"%s %s, and storage has %s of another writer; both are kept", unit_title(job->unit),
		what, theirs);
	return err_hint(&job->err,
			"metacache-refresh --discard-important takes the one in storage, "
			"metacache-flush --overwrite the one here");
}

/* A refresh has found bundles of two writers: said until an operator has chosen. */
static void conflict_remains(struct flush_unit *job)
{
	if (job->state.unmerged.count > 0)
		conflict(job, job->state.unmerged.items[0], "is of one writer");
}

static int fail(struct flush_unit *job)
{
	job->outcome = job->err.code == ERR_BUSY ? FLUSH_BUSY : FLUSH_FAILED;
	return err_prefix(&job->err, "%s", unit_title(job->unit));
}

/* Everything listed that the new base stands in for. */
static void collect_superseded(const struct flush_unit *job, const struct remote_unit *remote,
			       struct str_vec *names)
{
	const struct state *state = &job->state;

	if (!job->reborn && !job->options->overwrite) {
		remote_judge(remote, state, names);
		if (state->base)
			vec_push(names, xstrdup(state->base));
		for (size_t i = 0; i < state->diffs.count; i++)
			vec_push(names, xstrdup(state->diffs.items[i]));
		return;
	}
	for (size_t i = 0; i < remote->objects.count; i++)
		vec_push(names, xstrdup(remote->objects.items[i].name));
}

/* Names sort by time, and a new base must sort after what it contains, also when
 * another host's clock is ahead. */
static int64_t time_for_name(const struct remote_unit *remote)
{
	int64_t now_ns = clock_now_ns();

	for (size_t i = 0; i < remote->objects.count; i++) {
		int64_t after_ns;

		if (!__builtin_mul_overflow(remote->objects.items[i].parsed.base_time_us + 1, 1000,
					    &after_ns) &&
		    after_ns > now_ns)
			now_ns = after_ns;
	}
	return now_ns;
}

static int pack(const struct flush_unit *job, const struct snapshot *snapshot, int64_t time_ns,
		const struct str_vec *includes, struct spool *spool, struct err *err)
{
	const struct store_compression *compression = store_compression(job->mc->store);
	struct bundle_compression filter = { .name = compression->name,
					     .level = compression->level };
	automanifest struct bundle_manifest manifest = {
		.type = BUNDLE_BASE,
		.username = xstrdup(job->home->user),
		.unit = xstrdup(job->unit->path),
		.unit_id = xstrdup(job->unit->id),
		.host = xstrdup(job->mc->host),
		.created_ns = time_ns,
	};

	copy_names(&manifest.includes, includes);
	if (job->gone)
		copy_names(&manifest.gone, job->gone);
	return bundle_pack(&manifest, snapshot->sources, snapshot->source_count, &filter, spool,
			   err);
}

static int put(const struct flush_unit *job, const char *name, const struct spool *spool,
	       struct err *err)
{
	autobuf struct buf key = { 0 }, size = { 0 };
	struct store_meta meta[] = {
		{ "username", job->home->user },
		{ "size", NULL },
		{ "fname", name },
		{ "mailbox-guid", job->unit->id },
	};
	size_t count = job->unit->kind == UNIT_FOLDER ? 4 : 3;

	buf_printf(&size, "%llu", (unsigned long long)spool_size(spool));
	meta[1].value = buf_str(&size);
	remote_prefix(&key, job->home->prefix, job->unit->id);
	buf_puts(&key, name);
	return store_put(job->mc->store, buf_str(&key), spool, meta, count, err);
}

/* The upload is there: note it, with a new name for the next one. */
static int note_upload(struct flush_unit *job, const char *name, uint64_t bytes,
		       const struct snapshot *snapshot, const struct str_vec *superseded,
		       struct err *err)
{
	struct state *state = &job->state;

	free(state->base);
	state->base = xstrdup(name);
	state->base_bytes = bytes;
	str_vec_free(&state->diffs);
	state->diff_bytes = 0;
	copy_names(&state->superseded, superseded);
	if (job->options->overwrite)
		str_vec_free(&state->unmerged);
	free(state->installing);
	state->installing = NULL;
	bundle_name_unique(state->next);
	state->uploaded_ns = clock_now_ns();
	state_set_files(state, &snapshot->files);
	unit_set_files(job->unit, &snapshot->files);
	job->unit->has_state = true;
	if (job->folders) {
		copy_names(&state->folders, job->folders);
		copy_names(&state->gone, job->gone);
	}
	return write_state(job, err);
}

static int upload(struct flush_unit *job, const struct snapshot *snapshot,
		  const struct remote_unit *remote)
{
	autospool struct spool *spool = spool_new(job->mc->settings->spool_dir, SPOOL_MEMORY);
	autobuf struct buf name = { 0 };
	struct str_vec superseded = { 0 };
	int64_t time_ns = time_for_name(remote);
	int ret;

	collect_superseded(job, remote, &superseded);
	bundle_name_base(&name, time_ns, job->state.next);
	ret = pack(job, snapshot, time_ns, &superseded, spool, &job->err);
	if (ret == 0)
		ret = put(job, buf_str(&name), spool, &job->err);
	if (ret == 0)
		ret = note_upload(job, buf_str(&name), spool_size(spool), snapshot, &superseded,
				  &job->err);
	if (ret == 0) {
		job->outcome = FLUSH_UPLOADED;
		job->known = true;
		job->bytes = spool_size(spool);
		tidy_add(job->tidy, job->home, job->unit->path, job->unit->id, &superseded);
		log_info(job->mc->log, "metacache_upload_finished",
			 log_str("user", job->home->user), log_str("unit", job->unit->path),
			 log_str("bundle", buf_str(&name)), log_uint("bytes", job->bytes));
		conflict_remains(job);
	}
	str_vec_free(&superseded);
	return ret < 0 ? fail(job) : 0;
}

/* Of a folder that was deleted and made anew: something was put under its id since
 * its deletion was noted. */
static bool is_newer(const struct flush_unit *job, const struct remote_unit *remote)
{
	for (size_t i = 0; i < remote->objects.count; i++) {
		if (remote->objects.items[i].parsed.base_time_us > job->gone_since_us)
			return true;
	}
	return false;
}

static int upload_changed(struct flush_unit *job, const struct remote_unit *remote)
{
	const struct metacache *mc = job->mc;
	autosnapshot struct snapshot snapshot = { 0 };

	if (!job->options->overwrite && (!job->reborn || is_newer(job, remote)) &&
	    remote_judge(remote, &job->state, NULL) == REMOTE_NEWER)
		return conflict(job, remote_unknown(remote, &job->state)->name, "changed here");
	if (job->options->dry_run) {
		job->outcome = FLUSH_UPLOADED;
		return 0;
	}
	/* The name of the bundle is written down before it is used. */
	if (!job->named && write_state(job, &job->err) < 0)
		return fail(job);
	if (snapshot_take(job->unitfd, job->unit, &mc->rules, mc->settings->index_lock_timeout_ms,
			  &snapshot, &job->err) < 0)
		return fail(job);
	return upload(job, &snapshot, remote);
}

void flush_unit_upload(struct flush_unit *job)
{
	autoremote struct remote_unit listed = { 0 };

	if (job->listed)
		upload_changed(job, job->listed);
	else if (remote_list_unit(job->mc->store, job->home->prefix, job->unit->id, &listed,
				  &job->err) < 0)
		fail(job);
	else
		upload_changed(job, &listed);
}

void flush_unit_look(struct flush_unit *job)
{
	job->outcome = FLUSH_UNCHANGED;
	job->unitfd = fsx_opendir(job->homefd, job->unit->path);
	if (job->unitfd < 0) {
		err_sys(&job->err, errno, "open directory");
		fail(job);
		return;
	}
	load_state(job);
	if (job->state.installing && !job->options->overwrite) {
		/* Neither the old files nor the new ones: nothing to upload. */
		err_set(&job->err, ERR_BUSY, "a refresh was cut short");
		err_hint(&job->err,
			 "metacache-refresh finishes it; should storage have nothing of "
			 "it any more, metacache-flush --overwrite uploads what is here");
		fail(job);
		return;
	}
	job->changed = !job->known || job->options->overwrite || !is_unchanged(job);
	if (job->changed)
		return;
	conflict_remains(job);
	if (!job->options->dry_run)
		tidy_add(job->tidy, job->home, job->unit->path, job->unit->id,
			 &job->state.superseded);
}

void flush_unit_free(struct flush_unit *job)
{
	cleanup_fd(&job->unitfd);
	job->unitfd = -1;
	state_free(&job->state);
}
