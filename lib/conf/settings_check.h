/* What single values cannot tell: how settings go together. */
#pragma once

#include "base/err.h"
#include "conf/settings.h"

/* Fills in roots, home_pattern and spool_dir. 0 or -1 (ERR_CONFIG). */
int settings_check(struct settings *settings, struct err *err);
