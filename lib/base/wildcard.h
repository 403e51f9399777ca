/* Masks for user names: * is any run of bytes (none too), ? is exactly one
 * byte, everything else stands for itself. */
#pragma once

#include <stdbool.h>

/* At most strlen(mask) * strlen(s) steps, whatever the mask. */
bool wildcard_match(const char *mask, const char *s);

/* Whether the mask can match one name only: it has neither * nor ?. */
bool wildcard_is_literal(const char *mask);
