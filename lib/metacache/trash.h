/* <root>/.trash/<unique>/: trees on their way in (being built, verified) or out
 * (renamed away, being deleted). Each entry is a directory that its maker holds
 * locked; one that nobody holds is left over from a killed program, and whoever
 * comes next sweeps it. On the same filesystem as the homes, so that a rename
 * moves a tree whole or not at all. */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "metacache/metacache.h"

#define TRASH_DIR ".trash"
#define TRASH_TAKEN "taken-" /* nobody has looked yet whether it may be deleted */
#define TRASH_SWAP "swap-"   /* the same of a directory inside an entry */
#define TRASH_KEPT "kept-"   /* out of every sweep: an operator's to look at */
#define TRASH_SPARE "spare"  /* what is kept for a full disk; out of every sweep: */
#define TRASH_EMPTY "empty"  /* in it, an empty directory */
#define TRASH_RESERVE "reserve"
#define TRASH_RESERVE_BYTES 65536 /* allocated: enough to write down what was uploaded */

struct trash {
	int trash_fd; /* of .trash */
	int fd;       /* of the entry; locked */
	char name[sizeof TRASH_TAKEN + 32];
	bool swapped; /* an empty directory stands in its place */
};

/* Make a locked entry. */
int trash_new(const struct metacache_root *root, struct trash *trash_r, struct err *err);

/* Rename the directory `path` below the root away: it becomes an entry itself, so
 * nothing has to be made, which would need space. What is in it is deleted only
 * after trash_judged(); else a sweep deletes it if nothing that matters has changed since
 * what its .state says was uploaded, and keeps it otherwise. */
int trash_take(const struct metacache_root *root, const char *path, struct trash *trash_r,
	       struct err *err);

/* The same in one step with putting an empty directory in its place, so that at no
 * time the folder looks as if Dovecot had deleted it. 1; 0 the filesystem can't; -1. */
int trash_swap(const struct metacache_root *root, const char *path, struct trash *trash_r,
	       struct err *err);

/* Remove the empty directory that trash_swap() put there. One that isn't empty any
 * more is somebody's. */
void trash_vacate(const struct metacache_root *root, const char *path);

/* The caller has looked at it where it is now: it may be deleted. */
void trash_judged(struct trash *trash);

/* Put what was taken back where it was; -1 when something is there by now. */
int trash_put_back(struct trash *trash, const struct metacache_root *root, const char *path,
		   struct err *err);

/* Make .trash itself and what it keeps for a full disk, while there is space. A failure
 * shows when it is needed. */
void trash_prepare(const struct metacache_root *root);

/* Give the reserve's space to whoever needs it now, until the next trash_prepare().
 * Whether there was one. */
bool trash_release(const struct metacache_root *root);

/* Remove the entry with all in it, unless it was taken and not judged, or has
 * something swapped out in it. A tree that is not or can't be removed is left to the next sweep, so
 * this does not fail. */
void trash_free(struct trash *trash);
#define autotrash CLEANUP(trash_free)
#define TRASH_NONE ((struct trash){ .trash_fd = -1, .fd = -1 })

/* Let go of the entry and keep it out of every sweep: it holds something that
 * could not be put back. Renames it to "kept-<unique>"; path_r says where it is now. */
int trash_keep(struct trash *trash, const struct metacache_root *root, char path_r[4096],
	       struct err *err);

/* The same for the directory `name` inside the entry `entry_fd`; kept_r is its name
 * in .trash. */
#define TRASH_KEPT_SIZE (sizeof TRASH_KEPT + 32)
int trash_keep_part(int entry_fd, const char *name, char kept_r[TRASH_KEPT_SIZE], struct err *err);

/* Remove every entry that nobody holds. -1 also when something had to be kept: err
 * says where it is. */
int trash_sweep(const struct metacache_root *root, const struct unit_rules *rules, struct err *err);

/* The same for all roots; a failure is only warned of. */
void trash_sweep_all(const struct metacache *mc);
