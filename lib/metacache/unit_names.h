/* What folders are called: with LAYOUT=index their directories are named by GUID, and
 * only the mailbox list index knows that one of them is the INBOX. */
#pragma once

#include "metacache/unit.h"

/* Give the folders of a scanned home the priority that their names have. A list
 * index that can't be read leaves them as they are: the lowest. */
void unit_names_prioritize(int homefd, const struct unit_rules *rules, struct home *home);
