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
#include "bundle/bundle_gone.h"

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

static inline void need_gone(const struct bundle_gone_vec *a, const struct bundle_gone_vec *b)
{
	need(a->count == b->count);
	for (size_t i = 0; i < a->count; i++) {
		need_text(a->items[i].id, b->items[i].id);
		need(a->items[i].noted == b->items[i].noted);
		need_names(&a->items[i].bundles, &b->items[i].bundles);
	}
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
