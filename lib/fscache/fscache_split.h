/* The directories of a split cache: fscache:512M:/var/cache/mails/%4Nu: stands for up to
 * four, each a cache of its own with the whole limit. */
#pragma once

#include "base/err.h"
#include "base/vec.h"

/* Append, in order, the directories that the path can stand for and that hold a log or a
 * folder of objects. 0, or -1 when that cannot be known. */
int fscache_split_find(const char *pattern, struct str_vec *paths, struct err *err);
