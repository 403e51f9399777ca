/* Bytes on their way between a bundle and the store: held in memory while they
 * are few, in an unlinked temporary file beyond that, so that a 500 MB unit
 * costs no more memory than a small one.
 *
 * Written once from start to end, then read as often as wanted (a request that
 * is tried again reads it again). One writer, then any number of readers. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

struct spool;

/* `dir` is where the temporary file goes once more than `memory_max` bytes are
 * written; it must outlive the spool. NULL: never to disk (then writing more
 * fails with ERR_DATA, "more than N bytes"). */
struct spool *spool_new(const char *dir, size_t memory_max);

/* A spool that is the given bytes; they are copied. */
struct spool *spool_from(const void *data, size_t len);

void spool_free(struct spool **spool);
#define autospool CLEANUP(spool_free)

/* Append. 0, or -1 (disk full, I/O); then the content is unusable. */
int spool_write(struct spool *spool, const void *data, size_t len, struct err *err);

/* From now on more than `bytes` in all are refused (ERR_DATA), wherever they would go. */
void spool_set_max(struct spool *spool, uint64_t bytes);

/* Drop what was written, for another try. */
void spool_reset(struct spool *spool);

uint64_t spool_size(const struct spool *spool);

/* Up to `len` bytes from `offset`; the number read, 0 at the end, -1 on error. */
ssize_t spool_read(const struct spool *spool, uint64_t offset, void *out, size_t len,
		   struct err *err);

/* The whole content where it is in memory, else NULL. Valid until freed. */
const void *spool_memory(const struct spool *spool);

/* SHA-256 of the content. 0, or -1 when it can't be read. */
int spool_sha256(const struct spool *spool, unsigned char out[32], struct err *err);
