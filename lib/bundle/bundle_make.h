/* One file of a bundle being made: its content put together from the archive and,
 * in a diff, from the base, and checked against its digest as it is written.
 * Inside lib/bundle only. */
#pragma once

#include <stdint.h>

#include "bundle/bundle.h"

struct bundle_make {
	const struct bundle_file *file;
	struct hash_content_stream *hash;
	int fd;
	int from_fd;       /* what the base has; -1: nothing is taken from it */
	uint64_t position; /* what was written */
	size_t range;      /* being filled from the archive */
	char *piece;       /* for reading from the base; NULL until it is needed */
};

/* Make the empty file in dirfd, and the directories that its name has. To be closed
 * in any case. */
int bundle_make_open(struct bundle_make *make, const struct bundle_file *file, int basefd,
		     int dirfd, struct err *err);
void bundle_make_close(struct bundle_make *make);

/* The next bytes of its entry in the archive. */
int bundle_make_add(struct bundle_make *make, const void *data, size_t len, struct err *err);

/* That was all: the rest is in the base. -1 ERR_DATA when something is missing or the
 * digest is wrong. */
int bundle_make_finish(struct bundle_make *make, struct err *err);
