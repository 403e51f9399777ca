/* What all targets share. */
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len);

static inline void need(bool ok)
{
	if (!ok)
		abort();
}

/* Both NULL, or the same text. */
static inline void need_text(const char *a, const char *b)
{
	need((a == NULL) == (b == NULL) && (!a || strcmp(a, b) == 0));
}

static inline void need_names(const struct str_vec *a, const struct str_vec *b)
{
	need(a->count == b->count);
	for (size_t i = 0; i < a->count; i++)
		need_text(a->items[i], b->items[i]);
}

/* A new directory in TMPDIR, which is left there. */
static inline int scratch(void)
{
	const char *dir = getenv("TMPDIR");
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof path, "%s/fuzz-XXXXXX", dir ? dir : "/tmp");
	need(mkdtemp(path) != NULL);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(fd >= 0);
	return fd;
}
