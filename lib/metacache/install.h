/* Putting a staged unit where it belongs, so that a reader sees the old files or
 * the new ones, and a kill at any point is finished by the next refresh. */
#pragma once

#include "base/err.h"
#include "metacache/metacache.h"
#include "metacache/state.h"

/* Move the staged directory `name` of `staging_fd` (with its .state, which says
 * what `state` says) to its place below `homefd`:
 *
 * - nothing there: one rename;
 * - a directory without others in it: the two are exchanged in one step;
 * - else (the home itself, a folder with folders in it): file by file, between
 *   two writes of .state: the first says that it is going on, so that a
 *   refresh that finds it does it again from storage, and which files are new or may go, so
 *   that it finds what somebody has changed since.
 *
 * The old files end up in staging or are deleted; killed on the way, they are left to a sweep. They
 * have to be `judged` (NULL: none): what came meanwhile, or is open, is put back or left alone, and
 * that is ERR_BUSY. */
int install_unit(int staging_fd, const char *name, int homefd, const struct state *state,
		 const struct unit_file_vec *judged, const struct unit_rules *rules,
		 struct err *err);

/* Whether the unit in this directory still has just these files, and nobody has them open. */
bool install_is_as_judged(int dirfd, const char *path, const struct unit_file_vec *judged,
			  const struct unit_rules *rules);
