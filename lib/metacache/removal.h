/* Removing a directory of a home, or the home: renamed away, whole or not at all; looked at once
 * more where it is now; put back if anything happened to it meanwhile; then deleted. None
 * of that needs free space. The caller has the user's lock and has decided that it may go. */
#pragma once

#include "base/err.h"
#include "metacache/metacache.h"
#include "metacache/trash.h"

/* Remove `path`, which is below home's root and looked as `before` says. 0; -1 with the
 * directory where it was: ERR_BUSY when somebody began to use it or has logged in. Where it
 * could not be put back, err says where it is kept. */
int removal_directory(const struct metacache *mc, const struct metacache_home *home,
		      const char *path, const struct home *before, struct err *err);

/* The same, but not deleted in the end: kept_r is the path in .trash where it stays for an
 * operator. */
int removal_keep(const struct metacache *mc, const struct metacache_home *home, const char *path,
		 const struct home *before, char kept_r[4096], struct err *err);

/* removal_directory() for what the caller has taken away from `path` already. */
int removal_taken(const struct metacache *mc, const struct metacache_home *home,
		  struct trash *trash, const char *path, const struct home *before,
		  struct err *err);
