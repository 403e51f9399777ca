/* Putting a staged unit where it belongs, so that a reader sees the old files or
 * the new ones, and a kill at any point is finished by the next refresh. */
#pragma once

#include "base/err.h"
#include "metacache/metacache.h"
#include "metacache/state.h"

/* Move the staged directory `name` of `staging_fd` (with its .state, which says
 * what `state` says) to `path` below `homefd`:
 *
 * - nothing there: one rename;
 * - a directory without others in it: the two are exchanged in one step;
 * - else (the home itself, a folder with folders in it): file by file, between
 *   two writes of .state: the first says that it is going on, so that a
 *   refresh that finds it does it again from storage.
 *
 * The old files end up in staging or are deleted. */
int install_unit(int staging_fd, const char *name, int homefd, const char *path,
		 const struct state *state, const struct unit_rules *rules, struct err *err);
