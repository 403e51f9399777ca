/* Where an object goes that was asked for. */
#pragma once

#include "fscache/fscache.h"

/* Write all of it to the file (overwritten), or to stdout for "-". 0, or -1: ERR_CANTCREATE
 * where the file can't be made, ERR_IO for anything wrong with stdout. */
int output_write(const struct fscache_object *object, const char *path, struct err *err);
