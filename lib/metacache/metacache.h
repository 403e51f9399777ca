/* What every metacache operation works with: the roots, the object store, the
 * registry, the locks. Opened once by a program, then only read, so that any
 * number of threads may share it.
 *
 * This file also maps users to homes and back. A home is a directory of a root
 * whose path is the expanded `mail_home` of just one user; nothing else below a
 * root is ever taken for one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "conf/settings.h"
#include "metacache/boot.h"
#include "metacache/registry.h"
#include "metacache/unit.h"
#include "store/store.h"

struct doveadm;

struct metacache_root {
	const char *path; /* absolute */
	int fd;
	dev_t device;
};

struct metacache {
	const struct settings *settings;
	const struct log *log;
	struct store *store;       /* NULL unless METACACHE_STORE was asked for */
	struct doveadm *doveadm;   /* NULL unless METACACHE_SESSIONS, and doveadm_url is set */
	struct registry *registry; /* NULL when it can't be had: see metacache_open() */
	struct unit_rules rules;
	struct metacache_root *roots;
	size_t root_count;
	int locks_fd;
	char host[256];             /* who writes, in manifests and .state */
	char boot[BOOT_STAMP_SIZE]; /* which boot of this host: ctime of /proc */
	struct boots boots;         /* and what is known of those before it */
};

enum metacache_needs {
	METACACHE_STORE = 1,         /* open the object store */
	METACACHE_REGISTRY = 2,      /* the registry must open; else it is only a convenience,
					and a failure is logged as a warning */
	METACACHE_REGISTRY_READ = 4, /* only read it; nothing else is opened */
	METACACHE_SESSIONS = 8,      /* where doveadm_url is set: who is logged in */
	METACACHE_CRASHED = 16,      /* if a boot of this host is over: the object store and
					sessions, where they can be had; a failure is logged */
};

/* `settings` and `log` must outlive it. */
int metacache_open(struct metacache *mc, const struct settings *settings, const struct log *log,
		   unsigned needs, struct err *err);

/* Also adds the store's request counters to the registry, as requests_<kind> and
 * bytes_<kind>. */
void metacache_close(struct metacache *mc);
#define automc CLEANUP(metacache_close)

/* Have everything below the roots and in the state directory on disk. */
int metacache_sync(const struct metacache *mc, struct err *err);

/* "put" and so on, of an enum store_kind. */
const char *metacache_kind_name(unsigned kind);

/* One user's place on disk and in storage. */
struct metacache_home {
	char *user;
	const struct metacache_root *root;
	char *path;   /* below the root */
	char *prefix; /* of the user's objects in storage, without a slash at the end */
};
void metacache_home_free(struct metacache_home *home);
#define autohomeref CLEANUP(metacache_home_free)

/* Where a user's home is: 1; 0 there is none yet, and home_r says where it would
 * be (the first root); -1 for a name that no user can have (ERR_USAGE), a home in more
 * than one root (ERR_DATA), or a tree that can't be read. */
int metacache_find(const struct metacache *mc, const char *user, struct metacache_home *home_r,
		   struct err *err);

/* The home's directory; -1 with err. */
int metacache_open_home(const struct metacache_home *home, struct err *err);

/* unit_scan(), with the priorities that folders have by their names. */
int metacache_scan(const struct metacache *mc, int homefd, struct home *home_r, struct err *err);

/* Return 0 to go on, -1 with err to stop. `user` and `path` live during the call. */
typedef int metacache_home_fn(void *ctx, const struct metacache_root *root, const char *path,
			      const char *user, struct err *err);

/* Every user's home below the roots, found by walking; of a user with homes in several roots
 * the first one. Directories that are no home
 * of anybody are passed over and counted in *strange_r (may be NULL). An unreadable directory
 * does not end the walk but makes it incomplete: 1 is returned at the end, and
 * err says which; 0 complete, -1 stopped. */
int metacache_walk(const struct metacache *mc, metacache_home_fn *fn, void *ctx,
		   uint64_t *strange_r, struct err *err);

/* The same, with a call for each file or directory that is passed over. */
typedef void metacache_strange_fn(void *ctx, const struct metacache_root *root, const char *path);
int metacache_walk_strange(const struct metacache *mc, metacache_home_fn *fn,
			   metacache_strange_fn *strange, void *ctx, struct err *err);

/* Write what a home looks like now into the registry. The caller holds a lock on
 * the user, or accepts that the next look corrects it. */
int metacache_record(const struct metacache *mc, const struct metacache_home *home, int homefd,
		     struct err *err);

/* The same for who just looked: what is known of each unit of `scanned`. */
struct state;
struct metacache_known {
	const struct state *state; /* NULL where there is none that can be read */
	enum registry_changes changes;
};
int metacache_record_scanned(const struct metacache *mc, const struct metacache_home *home,
			     const struct home *scanned, const struct metacache_known *known,
			     struct err *err);

/* A warning event that carries an error; for what the registry could not take. */
void metacache_warn(const struct metacache *mc, const char *event, const char *user,
		    const struct err *err);
