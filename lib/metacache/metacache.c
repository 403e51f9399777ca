#include "metacache/metacache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/expand.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "cluster/doveadm.h"
#include "metacache/changes.h"
#include "metacache/state.h"
#include "metacache/trash.h"
#include "metacache/unit_names.h"
#include "metacache/user_lock.h"

const char *metacache_kind_name(unsigned kind)
{
	static const char *const names[STORE_KINDS] = {
		[STORE_PUT] = "put",   [STORE_GET] = "get",       [STORE_HEAD] = "head",
		[STORE_LIST] = "list", [STORE_DELETE] = "delete",
	};

	return names[kind];
}

void metacache_warn(const struct metacache *mc, const char *event, const char *user,
		    const struct err *err)
{
	log_warning(mc->log, event, log_str("user", user), log_str("error", err->msg),
		    log_str("hint", err->hint[0] ? err->hint : NULL));
}

static void warn_of_store(void *ctx, const char *text)
{
	const struct metacache *mc = ctx;

	log_warning(mc->log, "metacache_store_slow_or_failing", log_str("error", text));
}

static int open_roots(struct metacache *mc, struct err *err)
{
	const struct str_vec *roots = &mc->settings->roots;

	mc->roots = xcalloc(roots->count, sizeof *mc->roots);
	for (size_t i = 0; i < roots->count; i++) {
		struct metacache_root *root = &mc->roots[i];
		struct stat st;

		root->path = roots->items[i];
		root->fd = fsx_open_root(root->path, err);
		if (root->fd < 0) {
			err_hint(err, "make it, owned by the mail user, or correct mail_home");
			return -1;
		}
		mc->root_count++;
		if (fstat(root->fd, &st) < 0)
			return err_sys(err, errno, "look at %s", root->path);
		root->device = st.st_dev;
		trash_prepare(root);
	}
	return 0;
}

static int open_registry(struct metacache *mc, unsigned needs, struct err *err)
{
	autofree char *path = xasprintf("%s/users.db", mc->settings->state_dir);
	struct err failed = { 0 };

	if (registry_open(path, needs & METACACHE_REGISTRY_READ, &mc->registry, &failed) == 0)
		return 0;
	if (needs & (METACACHE_REGISTRY | METACACHE_REGISTRY_READ)) {
		*err = failed;
		return -1;
	}
	metacache_warn(mc, "metacache_registry_failed", NULL, &failed);
	return 0;
}

static int open_state_dir(struct metacache *mc, struct err *err)
{
	const char *dir = mc->settings->state_dir;
	autofd int fd = -1;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make the state directory %s", dir);
	fd = fsx_open_root(dir, err);
	if (fd < 0)
		return -1;
	if (user_lock_prepare(fd, &mc->locks_fd, err) < 0)
		return err_prefix(err, "%s", dir);
	boot_load(fd, mc->host, mc->boot, &mc->boots);
	return 0;
}

static int open_store(struct metacache *mc, struct err *err)
{
	struct store_options options = {
		.max_parallel = mc->settings->metacache_max_parallel_requests,
		.spool_dir = mc->settings->spool_dir,
		.credentials_file = getenv("AWS_SHARED_CREDENTIALS_FILE"),
		.warn = warn_of_store,
		.warn_ctx = mc,
	};

	if (!mc->settings->obox_index_fs)
		return err_set(err, ERR_CONFIG,
			       "obox_index_fs is not set: where are bundles kept?");
	if (store_open(mc->settings->obox_index_fs, &options, &mc->store, err) < 0)
		return err_prefix(err, "obox_index_fs");
	return 0;
}

static int open_sessions(struct metacache *mc, struct err *err)
{
	const char *key = NULL;

	if (!mc->settings->doveadm_url)
		return 0;
	if (settings_api_key(mc->settings, &key, err) < 0)
		return -1;
	if (!key)
		return err_set(err, ERR_CONFIG, "doveadm_url is set, but doveadm_api_key is not");
	return doveadm_open(mc->settings->doveadm_url, key, &mc->doveadm, err);
}

/* Who and when. */
static int identify(struct metacache *mc, struct err *err)
{
	if (gethostname(mc->host, sizeof mc->host - 1) < 0)
		return err_sys(err, errno, "ask for the name of this host");
	if (mc->settings->backend_host)
		snprintf(mc->host, sizeof mc->host, "%s", mc->settings->backend_host);
	return boot_stamp(mc->boot, err);
}

static void open_after_crash(struct metacache *mc)
{
	struct err err = { 0 };

	if (boot_any_over(&mc->boots) && (open_sessions(mc, &err) < 0 || open_store(mc, &err) < 0))
		metacache_warn(mc, "metacache_store_unavailable", NULL, &err);
}

static int open_parts(struct metacache *mc, unsigned needs, struct err *err)
{
	if (needs & METACACHE_REGISTRY_READ)
		return open_registry(mc, needs, err);
	if (identify(mc, err) < 0 || open_roots(mc, err) < 0 || open_state_dir(mc, err) < 0 ||
	    open_registry(mc, needs, err) < 0)
		return -1;
	if (needs & METACACHE_CRASHED)
		open_after_crash(mc);
	if (needs & METACACHE_SESSIONS && open_sessions(mc, err) < 0)
		return -1;
	return needs & METACACHE_STORE ? open_store(mc, err) : 0;
}

int metacache_open(struct metacache *mc, const struct settings *settings, const struct log *log,
		   unsigned needs, struct err *err)
{
	*mc = (struct metacache){
		.settings = settings,
		.log = log,
		.locks_fd = -1,
		.rules = { .fts_dirs = &settings->fts_dirs,
			   .special_folders = &settings->special_folders },
	};
	if (open_parts(mc, needs, err) < 0) {
		metacache_close(mc);
		return -1;
	}
	return 0;
}

int metacache_sync(const struct metacache *mc, struct err *err)
{
	for (size_t i = 0; i < mc->root_count; i++) {
		if (syncfs(mc->roots[i].fd) < 0)
			return err_sys(err, errno, "sync %s", mc->roots[i].path);
	}
	if (syncfs(mc->locks_fd) < 0)
		return err_sys(err, errno, "sync %s", mc->settings->state_dir);
	return 0;
}

static void keep_counters(struct metacache *mc)
{
	struct store_counters counters;
	struct err err = { 0 };
	char name[64];
	int ret = 0;

	store_counters(mc->store, &counters);
	registry_batch_start(mc->registry);
	for (int i = 0; i < STORE_KINDS && ret == 0; i++) {
		snprintf(name, sizeof name, "requests_%s", metacache_kind_name((unsigned)i));
		ret = registry_count(mc->registry, name, counters.requests[i], &err);
		snprintf(name, sizeof name, "bytes_%s", metacache_kind_name((unsigned)i));
		if (ret == 0)
			ret = registry_count(mc->registry, name, counters.bytes[i], &err);
	}
	if (ret < 0 || registry_batch_end(mc->registry, &err) < 0)
		metacache_warn(mc, "metacache_registry_failed", NULL, &err);
}

void metacache_close(struct metacache *mc)
{
	struct err err = { 0 };

	if (mc->registry && mc->store)
		keep_counters(mc);
	store_close(&mc->store);
	doveadm_close(&mc->doveadm);
	if (registry_close(&mc->registry, &err) < 0)
		metacache_warn(mc, "metacache_registry_failed", NULL, &err);
	for (size_t i = 0; i < mc->root_count; i++)
		close(mc->roots[i].fd);
	free(mc->roots);
	cleanup_fd(&mc->locks_fd);
	boot_list_free(&mc->boots);
	mc->locks_fd = -1;
	mc->roots = NULL;
	mc->root_count = 0;
}

void metacache_home_free(struct metacache_home *home)
{
	free(home->user);
	free(home->path);
	free(home->prefix);
	*home = (struct metacache_home){ 0 };
}

/* 1 there is one in this root, 0, -1. */
static int has_home(const struct metacache_root *root, const char *path, struct err *err)
{
	autofd int fd = fsx_opendir(root->fd, path);

	if (fd >= 0)
		return 1;
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	return err_sys(err, errno, "open directory %s/%s", root->path, path);
}

static int find_root(const struct metacache *mc, struct metacache_home *home, struct err *err)
{
	for (size_t i = 0; i < mc->root_count; i++) {
		int ret = has_home(&mc->roots[i], home->path, err);

		if (ret < 0)
			return -1;
		if (ret > 0 && home->root) {
			err_set(err, ERR_DATA, "there are two homes, %s/%s and %s/%s",
				home->root->path, home->path, mc->roots[i].path, home->path);
			return err_hint(err, "nothing is done for this user until one of them is "
					     "moved out of the metacache roots");
		}
		if (ret > 0)
			home->root = &mc->roots[i];
	}
	if (home->root)
		return 1;
	home->root = &mc->roots[0];
	return 0;
}

int metacache_find(const struct metacache *mc, const char *user, struct metacache_home *home_r,
		   struct err *err)
{
	autobuf struct buf path = { 0 }, prefix = { 0 };
	struct expand_user variables;
	int ret;

	*home_r = (struct metacache_home){ 0 };
	if (expand_user_init(&variables, user, err) < 0)
		return -1;
	if (expand_path(mc->settings->home_pattern, &variables, &path, err) < 0 ||
	    expand_path(mc->settings->object_prefix, &variables, &prefix, err) < 0)
		return err_prefix(err, "user %s", quote_str(user).s);
	home_r->user = xstrdup(user);
	home_r->path = buf_steal(&path);
	home_r->prefix = buf_steal(&prefix);
	ret = find_root(mc, home_r, err);
	if (ret < 0)
		metacache_home_free(home_r);
	return ret;
}

int metacache_open_home(const struct metacache_home *home, struct err *err)
{
	int fd = fsx_opendir(home->root->fd, home->path);

	if (fd < 0)
		err_sys(err, errno, "open directory %s/%s", home->root->path, home->path);
	return fd;
}

int metacache_scan(const struct metacache *mc, int homefd, struct home *home_r, struct err *err)
{
	if (unit_scan(homefd, &mc->rules, home_r, err) < 0)
		return -1;
	unit_names_prioritize(homefd, &mc->rules, home_r);
	return 0;
}

static void add_unit(struct registry_user *row, const struct unit *unit, const struct state *state)
{
	int64_t access = unit->newest_ns / 1000000000;

	if (state && state->last_access > access)
		access = state->last_access;
	row->bytes_used[unit->priority] += unit->bytes;
	if (access > row->last_access[unit->priority])
		row->last_access[unit->priority] = access;
}

/* Adds one unit to the row; whether it is settled. */
static bool record_unit(const struct unit *unit, const struct metacache_known *known,
			struct registry_user *row)
{
	int64_t newest = unit->newest_ns / 1000000000;

	add_unit(row, unit, known->state);
	if (known->changes > row->changes)
		row->changes = known->changes;
	if (known->changes == CHANGES_IMPORTANT &&
	    (row->unflushed_since == 0 || newest < row->unflushed_since))
		row->unflushed_since = newest;
	if (!known->state)
		return false;
	if (unit->kind == UNIT_ROOT)
		row->last_service = known->state->last_service;
	row->conflicts += state_standing(known->state) == STATE_CONFLICT;
	row->obsolete += state_standing(known->state) == STATE_OBSOLETE;
	return state_settled(known->state, &unit->files);
}

int metacache_record_scanned(const struct metacache *mc, const struct metacache_home *home,
			     const struct home *scanned, const struct metacache_known *known,
			     struct err *err)
{
	struct registry_user row = {
		.username = home->user,
		.root = home->root->path,
		.dev_major = major(home->root->device),
		.dev_minor = minor(home->root->device),
		.upload_within_s = mc->settings->metacache_upload_interval_ms / 1000,
		.last_service = "",
	};
	bool settled = true;

	if (!mc->registry)
		return 0;
	if (scanned->units.count == 0)
		return registry_remove(mc->registry, home->user, err) < 0 ? -1 : 0;
	for (size_t i = 0; i < scanned->units.count; i++)
		settled &= record_unit(&scanned->units.items[i], &known[i], &row);
	if (settled && row.changes == CHANGES_NONE)
		unit_fingerprint(scanned, row.settled);
	return registry_put(mc->registry, &row, err);
}

/* A state that can't be read is as good as none. */
static void look_at_unit(const struct metacache_home *home, int homefd, const struct home *scanned,
			 const struct unit *unit, struct state *state_r,
			 struct metacache_known *known_r)
{
	autofd int unitfd = fsx_opendir(homefd, unit->path);
	struct changes_found found;

	*known_r = (struct metacache_known){ .changes = CHANGES_IMPORTANT };
	if (unitfd < 0)
		return;
	if (unit->has_state && state_read_of(unitfd, home->user, unit->path, state_r, NULL) > 0)
		known_r->state = state_r;
	changes_find(unitfd, unit, known_r->state, &found);
	known_r->changes = found.class;
	if (unit->kind == UNIT_ROOT && known_r->state &&
	    changes_in_folders(homefd, home->user, scanned, state_r))
		known_r->changes = CHANGES_IMPORTANT;
}

int metacache_record(const struct metacache *mc, const struct metacache_home *home, int homefd,
		     struct err *err)
{
	autohome struct home scanned = { 0 };
	autofree struct metacache_known *known = NULL;
	struct state *states;
	int ret;

	if (!mc->registry)
		return 0;
	if (metacache_scan(mc, homefd, &scanned, err) < 0)
		return -1;
	states = xcalloc(scanned.units.count, sizeof *states);
	known = xcalloc(scanned.units.count, sizeof *known);
	for (size_t i = 0; i < scanned.units.count; i++)
		look_at_unit(home, homefd, &scanned, &scanned.units.items[i], &states[i],
			     &known[i]);
	ret = metacache_record_scanned(mc, home, &scanned, known, err);
	for (size_t i = 0; i < scanned.units.count; i++)
		state_free(&states[i]);
	free(states);
	return ret;
}
