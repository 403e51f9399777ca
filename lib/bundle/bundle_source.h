/* Reading what of a source goes into the archive: all of it, or its ranges. Also
 * for who wants to know a source before it is packed. */
#pragma once

#include "bundle/bundle.h"

#define BUNDLE_SOURCE_PIECE ((size_t)128 * 1024) /* whole blocks */

/* -1 ERR_BUSY with `again`: the source `how` while it was packed. */
int bundle_source_changed(const struct bundle_source *source, const char *how, struct err *err);

/* All at once into `content`, which has the room. digest_r is that of these bytes;
 * `blocks` of a whole file are added to. */
int bundle_source_read(const struct bundle_source *source, char *content,
		       unsigned char digest_r[HASH_CONTENT_SIZE], struct err *err);

/* The same piece by piece through `piece`, which has room for BUNDLE_SOURCE_PIECE
 * bytes (a whole file's pieces are that long, but for the last). Each is handed to
 * `sink`; without one it is for the digest, and `blocks` are added to. */
typedef int bundle_source_sink(void *ctx, const void *data, size_t len, struct err *err);
int bundle_source_stream(const struct bundle_source *source, char *piece, bundle_source_sink *sink,
			 void *ctx, unsigned char digest_r[HASH_CONTENT_SIZE], struct err *err);
