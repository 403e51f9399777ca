#include "metacache/flush_unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle.h"
#include "metacache/crash.h"
#include "metacache/flush_pack.h"
#include "metacache/remote.h"
#include "metacache/snapshot.h"
#include "store/store.h"

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
	if (job->reborn && !state->base)
		str_vec_copy(&state->superseded, &job->reborn->bundles);
}

/* In which boot the files were written is known to be this one when they were uploaded. */
static void stamp(struct flush_unit *job)
{
	free(job->state.boot);
	job->state.boot = xstrdup(job->mc->boot);
}

static int write_state(struct flush_unit *job, struct err *err)
{
	struct state *state = &job->state;

	free(state->host);
	state->host = xstrdup(job->mc->host);
	if (!job->known)
		stamp(job);
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

static bool same_gone(const struct bundle_gone_vec *a, const struct bundle_gone_vec *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!bundle_gone_find(b, a->items[i].id))
			return false;
	}
	return true;
}

static bool same_folders(const struct flush_unit *job)
{
	return same_names(&job->state.folders, job->folders) &&
	       same_gone(&job->state.gone, job->gone);
}

static bool is_unchanged(const struct flush_unit *job)
{
	return state_matches(&job->state, &job->unit->files) &&
	       (!job->folders || same_folders(job));
}

/* What changed since the last upload; the logs are read only when that is asked. */
static const struct changes_found *find_changes(struct flush_unit *job)
{
	if (!job->found.reason) {
		changes_find(job->unitfd, job->unit, job->known ? &job->state : NULL, &job->found);
		if (job->folders && !same_folders(job)) {
			job->found.class = CHANGES_IMPORTANT;
			job->found.reason = "folders came or went";
		}
	}
	return &job->found;
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
static int note_upload(struct flush_unit *job, const struct snapshot *snapshot,
		       const struct flush_packed *packed, struct err *err)
{
	struct state *state = &job->state;

	if (packed->is_diff) {
		str_vec_free(&state->diffs);
		vec_push(&state->diffs, xstrdup(buf_str(&packed->name)));
		state->diff_bytes = spool_size(packed->spool);
	} else {
		free(state->base);
		state->base = xstrdup(buf_str(&packed->name));
		state->base_bytes = spool_size(packed->spool);
		str_vec_free(&state->diffs);
		state->diff_bytes = 0;
	}
	str_vec_copy(&state->superseded, &packed->superseded);
	str_vec_copy(&state->unmerged, &packed->unmerged);
	free(state->installing);
	state->installing = NULL;
	unit_files_free(&state->replaced);
	bundle_name_unique(state->next);
	state->tried_ns = 0;
	state->standing = STATE_CURRENT;
	state->uploaded_ns = clock_now_ns();
	flush_pack_log_end(job->unit, snapshot, &state->log);
	state_set_files(state, &snapshot->files);
	unit_set_files(job->unit, &snapshot->files);
	job->unit->has_state = true;
	if (job->folders) {
		str_vec_copy(&state->folders, job->folders);
		bundle_gone_copy(&state->gone, job->gone);
	}
	stamp(job);
	return write_state(job, err);
}

/* Without it the next upload is a base: no reason to fail. */
static void write_blocks(const struct flush_unit *job, const struct flush_packed *packed)
{
	struct err err = { 0 };

	if (packed->blocks.base && blocks_write(job->unitfd, &packed->blocks, &err) < 0)
		metacache_warn(job->mc, "metacache_blocks_failed", job->home->user, &err);
}

static void tidy_now(const struct flush_unit *job, const struct flush_packed *packed)
{
	struct str_vec names = { 0 };

	for (size_t i = 0; i < packed->superseded.count; i++) {
		if (!packed->later || strcmp(packed->superseded.items[i], packed->later) != 0)
			vec_push(&names, packed->superseded.items[i]);
	}
	tidy_add(job->tidy, job->home, job->unit->path, job->unit->id, &names);
	vec_free(&names);
}

/* It may land yet, after a later one. */
static void note_try(struct flush_unit *job, const struct flush_packed *packed)
{
	struct err err = { 0 };

	job->state.tried_ns = packed->time_ns;
	if (job->known && write_state(job, &err) < 0)
		metacache_warn(job->mc, "metacache_mark_failed", job->home->user, &err);
}

static int upload(struct flush_unit *job, const struct snapshot *snapshot,
		  const struct remote_unit *remote)
{
	autopacked struct flush_packed packed = { 0 };

	if (flush_pack(job, snapshot, remote, &packed, &job->err) < 0)
		return fail(job);
	snapshot_unlock(snapshot);
	if (put(job, buf_str(&packed.name), packed.spool, &job->err) < 0) {
		note_try(job, &packed);
		return fail(job);
	}
	write_blocks(job, &packed);
	if (note_upload(job, snapshot, &packed, &job->err) < 0)
		return fail(job);
	job->outcome = FLUSH_UPLOADED;
	job->known = true;
	job->found = (struct changes_found){ .reason = "" };
	job->bytes = spool_size(packed.spool);
	tidy_now(job, &packed);
	log_info(job->mc->log, "metacache_upload_finished", log_str("user", job->home->user),
		 log_str("unit", job->unit->path), log_str("bundle", buf_str(&packed.name)),
		 log_str("type", packed.is_diff ? "diff" : "base"), log_uint("bytes", job->bytes));
	conflict_remains(job);
	return 0;
}

/* Storage has what this tree has not. If nothing would be lost, it gives way to that at
 * the next refresh. */
static int obsolete(struct flush_unit *job, const struct remote_unit *remote)
{
	if (!job->state.base || changes_to_keep(find_changes(job))) {
		job->standing = STATE_CONFLICT;
		return conflict(job, remote_unknown(remote, &job->state)->name, "changed here");
	}
	job->outcome = FLUSH_OBSOLETE;
	job->standing = STATE_OBSOLETE;
	return 0;
}

static int upload_changed(struct flush_unit *job, const struct remote_unit *remote)
{
	const struct metacache *mc = job->mc;
	autosnapshot struct snapshot snapshot = { 0 };

	if (!job->options->overwrite && remote_judge(remote, &job->state, NULL) == REMOTE_NEWER)
		return obsolete(job, remote);
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

/* What is superseded may go if what supersedes it is still there, and nobody has put a diff on a
 * replaced base since: who did that had not seen the new one. */
static void tidy_listed(struct flush_unit *job, const struct remote_unit *remote)
{
	const struct remote_object *theirs = remote_unknown(remote, &job->state);
	const struct remote_object *base =
		theirs && theirs->parsed.is_diff ? remote_base_of(remote, theirs) : NULL;

	if (!theirs && !remote_holds(remote, &job->state)) {
		upload_changed(job, remote); /* what stands in for it is gone */
	} else if (!theirs) {
		tidy_add(job->tidy, job->home, job->unit->path, job->unit->id,
			 &job->state.superseded);
	} else if (theirs->parsed.is_diff &&
		   (!base || str_vec_has(&job->state.superseded, base->name))) {
		job->standing = STATE_CONFLICT;
		conflict(job, theirs->name, "has a new base");
	} else {
		job->standing = STATE_OBSOLETE;
	}
}

/* Said to whoever lists the users; not worth more than a warning. */
static void note_standing(struct flush_unit *job)
{
	struct err err = { 0 };

	if (job->options->dry_run || job->outcome >= FLUSH_BUSY ||
	    job->state.standing == job->standing)
		return;
	job->state.standing = job->standing;
	if (write_state(job, &err) < 0)
		metacache_warn(job->mc, "metacache_mark_failed", job->home->user, &err);
	else
		job->known = job->named = job->unit->has_state = true;
}

static void with_listing(struct flush_unit *job, const struct remote_unit *remote)
{
	if (job->only_tidy)
		tidy_listed(job, remote);
	else
		upload_changed(job, remote);
	note_standing(job);
}

void flush_unit_upload(struct flush_unit *job)
{
	autoremote struct remote_unit listed = { 0 };

	if (job->listed)
		with_listing(job, job->listed);
	else if (remote_list_unit(job->mc->store, job->home->prefix, job->unit->id, &listed,
				  &job->err) < 0)
		fail(job);
	else
		with_listing(job, &listed);
}

/* Past the upload interval, or with as many mails as are read again without it at most. */
static bool is_due(struct flush_unit *job)
{
	const struct settings *settings = job->mc->settings;
	int64_t since_ms = (clock_now_ns() - job->state.uploaded_ns) / 1000000;
	const struct changes_found *found = find_changes(job);

	return found->appends >= settings->obox_max_rescan_mail_count ||
	       (found->class == CHANGES_IMPORTANT &&
		(since_ms < 0 || since_ms >= settings->metacache_upload_interval_ms));
}

static bool is_wanted(struct flush_unit *job)
{
	const struct flush_options *options = job->options;

	if (options->overwrite)
		return true;
	if (options->important_only && find_changes(job)->class != CHANGES_IMPORTANT)
		return false;
	return !options->due_only || is_due(job);
}

enum registry_changes flush_unit_changes(struct flush_unit *job)
{
	return find_changes(job)->class;
}

/* What may be corrupt is not uploaded over what is whole. */
static bool is_crashed(const struct flush_unit *job)
{
	if (!job->known || job->options->overwrite ||
	    crash_judge(job->mc, job->unit, 1, &job->state, NULL) != BOOT_CRASHED)
		return false;
	log_info(job->mc->log, "metacache_unit_crashed", log_str("user", job->home->user),
		 log_str("unit", job->unit->path), log_str("boot", job->state.boot));
	return true;
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
	if (is_crashed(job)) {
		job->outcome = FLUSH_OBSOLETE;
		return;
	}
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
	if (job->changed && !is_wanted(job)) {
		job->changed = false;
		job->outcome = FLUSH_SKIPPED;
	}
	if (job->changed)
		return;
	if (job->outcome == FLUSH_UNCHANGED)
		job->found = (struct changes_found){ .reason = "" };
	conflict_remains(job);
	job->only_tidy = !job->options->dry_run && job->state.superseded.count > 0;
	job->changed = job->only_tidy;
}

void flush_unit_free(struct flush_unit *job)
{
	cleanup_fd(&job->unitfd);
	job->unitfd = -1;
	state_free(&job->state);
}
