/* <root>/.trash/<unique>/: trees on their way in (being built, verified) or out
 * (renamed away, being deleted). Each entry is a directory that its maker holds
 * locked; one that nobody holds is left over from a killed program, and whoever
 * comes next sweeps it. On the same filesystem as the homes, so that a rename
 * moves a tree whole or not at all. */
#pragma once

#include "base/cleanup.h"
#include "base/err.h"
#include "metacache/metacache.h"

struct trash {
	int trash_fd; /* of .trash */
	int fd;       /* of the entry; locked */
	char name[33];
};

/* Make a locked entry. */
int trash_new(const struct metacache_root *root, struct trash *trash_r, struct err *err);

/* Rename the directory `path` below the root away: it becomes an entry itself, so
 * nothing has to be made, which would need space. */
int trash_take(const struct metacache_root *root, const char *path, struct trash *trash_r,
	       struct err *err);

/* Put what was taken back where it was; -1 when something is there by now. */
int trash_put_back(struct trash *trash, const struct metacache_root *root, const char *path,
		   struct err *err);

/* Make .trash itself, while there is space. A failure shows when it is needed. */
void trash_prepare(const struct metacache_root *root);

/* Remove the entry with all in it. A tree that can't be removed is left to the
 * next sweep, so this does not fail. */
void trash_free(struct trash *trash);
#define autotrash CLEANUP(trash_free)
#define TRASH_NONE ((struct trash){ .trash_fd = -1, .fd = -1 })

/* Let go of the entry and keep it out of every sweep: it holds something that
 * could not be put back. Renames it to "kept-<name>"; path_r says where it is now. */
int trash_keep(struct trash *trash, const struct metacache_root *root, char path_r[4096],
	       struct err *err);

/* Remove every entry that nobody holds. */
int trash_sweep(const struct metacache_root *root, struct err *err);

/* The same for all roots; a failure is only warned of. */
void trash_sweep_all(const struct metacache *mc);
