/* The rules for keys and prefixes; private to this folder. store_key_check() is
 * in store.h. */
#pragma once

#include "base/err.h"

#define STORE_KEY_MAX 1024

/* A listing's prefix: "" or the beginning of a valid key, ending anywhere but
 * after "." or ".." as a component. 0 or -1 ERR_USAGE. */
int store_key_check_prefix(const char *prefix, struct err *err);
