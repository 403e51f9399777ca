/* The directories of a split cache: fscache:512M:/var/cache/mails/%4Nu: stands for up to
 * four, each a cache of its own with the whole limit. */
#pragma once

#include "base/err.h"
#include "base/vec.h"

/* Append, in order, the directories that the path can stand for and that hold a log or a
 * folder with something in it. Those that can't be looked at are among them, so that who
 * opens them finds out why, and the others are not kept from being used. 0, or -1 where
 * nothing can be known. */
int fscache_split_find(const char *pattern, struct str_vec *paths, struct err *err);
