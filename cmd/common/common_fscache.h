/* What the commands of the mail cache share. */
#pragma once

#include "conf/settings.h"

/* The directories of the fscache: in obox_fs that exist, and its limit (may be NULL). 0, or -1
 * (ERR_CONFIG where there is none in the settings). */
int common_fscache_paths(const struct settings *settings, struct str_vec *paths,
			 uint64_t *limit_bytes_r, struct err *err);

/* What the operator called PATH, from the top; malloc'd. */
char *common_fscache_absolute(const char *path);
