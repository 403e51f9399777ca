#include "metacache/tidy.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/vec.h"
#include "metacache/remote.h"
#include "metacache/state.h"
#include "metacache/user_lock.h"

#define BATCH 1000 /* objects in one request of the S3 protocol */

struct entry {
	char *user;
	char *unit_path;
	size_t first, count; /* of the keys */
};
VEC(entry_vec, struct entry);

struct batch {
	struct entry_vec entries;
	struct str_vec keys;
};

struct tidy {
	const struct metacache *mc;
	pthread_mutex_t mutex;
	struct batch batch;    /* guarded, as what follows */
	struct entry_vec gone; /* deleted, their .state still to be told */
	struct str_vec gone_names;
	uint64_t deleted;
	struct err err; /* the first failure */
};

struct tidy *tidy_new(const struct metacache *mc)
{
	struct tidy *tidy = xcalloc(1, sizeof *tidy);

	tidy->mc = mc;
	pthread_mutex_init(&tidy->mutex, NULL);
	return tidy;
}

static void note_failure(struct tidy *tidy, const struct err *err)
{
	pthread_mutex_lock(&tidy->mutex);
	if (tidy->err.code == ERR_NONE)
		tidy->err = *err;
	pthread_mutex_unlock(&tidy->mutex);
}

static void free_entries(struct entry_vec *entries)
{
	for (size_t i = 0; i < entries->count; i++) {
		free(entries->items[i].user);
		free(entries->items[i].unit_path);
	}
	vec_free(entries);
}

/* Delete a batch, and hand what is gone over to the list of .state files to tell. */
static void delete_batch(struct tidy *tidy, struct batch *batch)
{
	bool *deleted = xcalloc(batch->keys.count, sizeof *deleted);
	struct err err = { 0 };

	if (batch->keys.count > 0 &&
	    store_delete(tidy->mc->store, (const char *const *)batch->keys.items, batch->keys.count,
			 deleted, &err) < 0)
		note_failure(tidy, &err);
	pthread_mutex_lock(&tidy->mutex);
	for (size_t i = 0; i < batch->entries.count; i++) {
		struct entry *entry = &batch->entries.items[i];
		struct entry gone = { .first = tidy->gone_names.count };

		for (size_t k = entry->first; k < entry->first + entry->count; k++) {
			if (!deleted[k])
				continue;
			vec_push(&tidy->gone_names,
				 xstrdup(strrchr(batch->keys.items[k], '/') + 1));
			gone.count++;
		}
		if (gone.count == 0)
			continue;
		gone.user = steal_ptr(&entry->user);
		gone.unit_path = steal_ptr(&entry->unit_path);
		vec_push(&tidy->gone, gone);
		tidy->deleted += gone.count;
	}
	pthread_mutex_unlock(&tidy->mutex);
	free(deleted);
	free_entries(&batch->entries);
	str_vec_free(&batch->keys);
}

void tidy_add(struct tidy *tidy, const struct metacache_home *home, const char *unit_path,
	      const char *unit_id, const struct str_vec *names)
{
	autobuf struct buf key = { 0 };
	struct batch full = { 0 };
	struct entry entry = { .count = names->count };
	size_t prefix_len;

	if (!tidy || names->count == 0)
		return;
	entry.user = xstrdup(home->user);
	entry.unit_path = xstrdup(unit_path);
	remote_prefix(&key, home->prefix, unit_id);
	prefix_len = key.len;
	pthread_mutex_lock(&tidy->mutex);
	if (tidy->batch.keys.count > 0 && tidy->batch.keys.count + names->count > BATCH) {
		full = tidy->batch;
		tidy->batch = (struct batch){ 0 };
	}
	entry.first = tidy->batch.keys.count;
	for (size_t i = 0; i < names->count; i++) {
		buf_truncate(&key, prefix_len);
		buf_puts(&key, names->items[i]);
		vec_push(&tidy->batch.keys, xstrdup(buf_str(&key)));
	}
	vec_push(&tidy->batch.entries, entry);
	pthread_mutex_unlock(&tidy->mutex);
	if (full.keys.count > 0)
		delete_batch(tidy, &full);
}

void tidy_delete(struct tidy *tidy)
{
	struct batch batch;

	pthread_mutex_lock(&tidy->mutex);
	batch = tidy->batch;
	tidy->batch = (struct batch){ 0 };
	pthread_mutex_unlock(&tidy->mutex);
	delete_batch(tidy, &batch);
}

static int tell_state(int homefd, const struct entry *entry, char *const *names, struct err *err)
{
	autostate struct state state = { 0 };
	autofd int unitfd = fsx_opendir(homefd, entry->unit_path);
	bool changed = false;
	int ret;

	if (unitfd < 0) /* cleaned or deleted meanwhile */
		return errno == ENOENT ? 0 : err_sys(err, errno, "open %s", entry->unit_path);
	ret = state_read(unitfd, &state, err);
	if (ret <= 0)
		return ret;
	for (size_t i = 0; i < entry->count; i++) {
		if (!str_vec_drop(&state.superseded, names[entry->first + i]))
			continue;
		state_add_deleted(&state, names[entry->first + i]);
		changed = true;
	}
	return changed ? state_write(unitfd, &state, NULL, err) : 0;
}

/* Entries of one user stand together more often than not, but need not. */
static int tell(struct tidy *tidy, const struct entry *entry, char *const *names, struct err *err)
{
	const struct metacache *mc = tidy->mc;
	autohomeref struct metacache_home home = { 0 };
	autofd int lock = -1, homefd = -1;
	int ret = metacache_find(mc, entry->user, &home, err);

	if (ret <= 0)
		return ret;
	lock = user_lock(mc->locks_fd, entry->user, USER_LOCK_UPLOAD,
			 mc->settings->user_lock_timeout_ms, err);
	if (lock < 0)
		return -1;
	homefd = metacache_open_home(&home, err);
	if (homefd < 0)
		return err && err->code == ERR_NOTFOUND ? 0 : -1;
	if (tell_state(homefd, entry, names, err) < 0)
		return -1;
	return metacache_record(mc, &home, homefd, err);
}

void tidy_settle(struct tidy *tidy)
{
	struct entry_vec gone;
	struct str_vec names;

	pthread_mutex_lock(&tidy->mutex);
	gone = tidy->gone;
	names = tidy->gone_names;
	tidy->gone = (struct entry_vec){ 0 };
	tidy->gone_names = (struct str_vec){ 0 };
	pthread_mutex_unlock(&tidy->mutex);
	for (size_t i = 0; i < gone.count; i++) {
		struct err err = { 0 };

		if (tell(tidy, &gone.items[i], names.items, &err) < 0)
			note_failure(tidy, &err);
	}
	free_entries(&gone);
	str_vec_free(&names);
}

int tidy_finish(struct tidy **tidy_p, uint64_t *deleted_r, struct err *err)
{
	struct tidy *tidy = *tidy_p;
	int ret = 0;

	if (!tidy)
		return 0;
	tidy_delete(tidy);
	tidy_settle(tidy);
	if (deleted_r)
		*deleted_r = tidy->deleted;
	if (tidy->err.code != ERR_NONE) {
		if (err)
			*err = tidy->err;
		ret = -1;
	}
	pthread_mutex_destroy(&tidy->mutex);
	free(tidy);
	*tidy_p = NULL;
	return ret;
}
