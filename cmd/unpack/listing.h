/* What is in a bundle, as rows. */
#pragma once

#include "bundle/bundle.h"
#include "tool/tool.h"

/* A row for each file that the unit has with this bundle. 0, or the exit code:
 * everything was said. */
int listing_print(struct tool *tool, const struct bundle_manifest *manifest);
