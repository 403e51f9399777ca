/* What may be shown of a setting that can hold secrets. */
#pragma once

#include "base/buf.h"

/* Append a URL (or a chain that ends in one) with "***" for everything between
 * "://" and the host, and for values of parameters that carry keys or headers.
 * In doubt it hides more than it has to. */
void settings_mask_url(const char *text, struct buf *out);
