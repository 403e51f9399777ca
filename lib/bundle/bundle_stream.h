/* The decompressed bytes of a bundle, piece by piece and never more of them than
 * the reader allows. Inside lib/bundle only; this is the one place that looks at
 * compression filters when reading. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/spool.h"

struct archive;

struct bundle_stream {
	const struct spool *in; /* borrowed */
	uint64_t offset;        /* of the next byte to read from `in` */
	char *block;            /* where `in` is read to when it is on disk */
	struct archive *archive;
	struct err in_err;    /* why `in` could not be read */
	uint64_t decoded;     /* bytes handed out so far */
	uint64_t decoded_max; /* set by the reader; more is refused */
};

/* -1 ERR_DATA: empty, or more than one filter (a compressed stream inside another).
 * To be closed in any case. */
int bundle_stream_open(struct bundle_stream *stream, const struct spool *in, struct err *err);

/* The next piece, valid until the next call: its length, 0 at the end, -1. The
 * end comes only when all of `in` was used up. */
ssize_t bundle_stream_next(struct bundle_stream *stream, const void **data_r, struct err *err);

void bundle_stream_close(struct bundle_stream *stream);
