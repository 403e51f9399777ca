/* Removing a directory of a home, or the home: renamed away, whole or not at all; looked at once
 * more where it is now; put back if anything happened to it meanwhile; then deleted. None
 * of that needs free space. The caller has the user's lock and has decided that it may go. */
#pragma once

#include "base/err.h"
#include "metacache/metacache.h"

#define REMOVAL_PATH_MAX 4096 /* of what is kept */

/* Remove `path`, which is below home's root and looked as `before` says. 0; -1 with the
 * directory where it was: ERR_BUSY when somebody began to use it or has logged in. Where it
 * could not be put back, err says where it is kept. */
int removal_directory(const struct metacache *mc, const struct metacache_home *home,
		      const char *path, const struct home *before, struct err *err);

/* The same, but it is kept in .trash/kept-… for an operator; kept_r says where. NULL: it is
 * deleted. */
int removal_keep(const struct metacache *mc, const struct metacache_home *home, const char *path,
		 const struct home *before, char *kept_r, struct err *err);

/* The same for a folder unit without others in it. A folder that is on the root's list of folders
 * and not on disk was deleted by Dovecot: so an empty directory stands in its place until it is off
 * that list, or where that fails. */
int removal_folder(const struct metacache *mc, const struct metacache_home *home, int homefd,
		   const char *unit_path, const struct home *before, char *kept_r, struct err *err);
