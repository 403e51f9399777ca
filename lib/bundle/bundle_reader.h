/* The entries of a bundle, each a plain file, one after the other. Inside
 * lib/bundle only. Everything that fails here is the bundle's fault (ERR_DATA) or
 * the spool's. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "bundle/bundle.h"
#include "bundle/bundle_stream.h"

struct archive_entry;

/* Two readers, one on top of the other: the stream takes the compression off,
 * `tar` sees only plain bytes. So it is known to the byte where the archive ended
 * and what came after it. */
struct bundle_reader {
	struct bundle_stream stream;
	struct err stream_err; /* why the stream failed below `tar` */
	struct archive *tar;
	const char *name;   /* of the entry being read; valid until the next */
	int64_t size_bytes; /* that it announces */
	uint64_t position;  /* what was read of it */
	uint64_t entry_end; /* where the content of the last entry ended */
};

/* To be closed in any case; {0} is closed. */
int bundle_reader_open(struct bundle_reader *reader, const struct spool *in, struct err *err);
void bundle_reader_close(struct bundle_reader *reader);

/* The first entry. */
int bundle_reader_manifest(struct bundle_reader *reader, struct bundle_manifest *manifest_r,
			   struct err *err);

/* No more than these files come after the manifest: a stream that decompresses to
 * more is refused as it is read. */
void bundle_reader_expect(struct bundle_reader *reader, const struct bundle_file_vec *files);

/* 1 an entry with a plain file, 0 end of the archive, -1. */
int bundle_reader_entry(struct bundle_reader *reader, struct err *err);

/* The next piece of the entry's content: its length, 0 at the end, -1. */
ssize_t bundle_reader_data(struct bundle_reader *reader, const void **data_r, struct err *err);

/* The archive ends with just two blocks of zeros, and the stream with them. */
int bundle_reader_end(struct bundle_reader *reader, struct err *err);
