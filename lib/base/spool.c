#include "base/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"

struct spool {
	struct buf memory;
	const char *dir;
	size_t memory_max;
	uint64_t max;
	int fd; /* -1 while in memory */
	uint64_t size;
};

struct spool *spool_new(const char *dir, size_t memory_max)
{
	struct spool *spool = xcalloc(1, sizeof *spool);

	spool->dir = dir;
	spool->memory_max = memory_max;
	spool->max = UINT64_MAX;
	spool->fd = -1;
	return spool;
}

struct spool *spool_from(const void *data, size_t len)
{
	struct spool *spool = spool_new(NULL, len);

	buf_append(&spool->memory, data, len);
	spool->size = len;
	return spool;
}

void spool_reset(struct spool *spool)
{
	if (spool->fd >= 0)
		close(spool->fd);
	spool->fd = -1;
	spool->size = 0;
	buf_truncate(&spool->memory, 0);
}

void spool_free(struct spool **spool)
{
	if (!*spool)
		return;
	spool_reset(*spool);
	buf_free(&(*spool)->memory);
	free(*spool);
	*spool = NULL;
}

static int write_all(const struct spool *spool, const void *data, size_t len, uint64_t offset,
		     struct err *err)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = pwrite(spool->fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "write a temporary file in %s", spool->dir);
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int move_to_disk(struct spool *spool, struct err *err)
{
	if (!spool->dir)
		return err_set(err, ERR_DATA, "more than %zu bytes", spool->memory_max);
	spool->fd = open(spool->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (spool->fd < 0)
		return err_sys(err, errno, "make a temporary file in %s", spool->dir);
	if (write_all(spool, spool->memory.data, spool->memory.len, 0, err) < 0)
		return -1;
	buf_free(&spool->memory);
	return 0;
}

void spool_set_max(struct spool *spool, uint64_t bytes)
{
	spool->max = bytes;
}

int spool_write(struct spool *spool, const void *data, size_t len, struct err *err)
{
	if (len > spool->max - spool->size)
		return err_set(err, ERR_DATA, "more than %llu bytes",
			       (unsigned long long)spool->max);
	if (spool->fd < 0 && len > spool->memory_max - spool->memory.len &&
	    move_to_disk(spool, err) < 0)
		return -1;
	if (spool->fd < 0)
		buf_append(&spool->memory, data, len);
	else if (write_all(spool, data, len, spool->size, err) < 0)
		return -1;
	spool->size += len;
	return 0;
}

uint64_t spool_size(const struct spool *spool)
{
	return spool->size;
}

ssize_t spool_read(const struct spool *spool, uint64_t offset, void *out, size_t len,
		   struct err *err)
{
	ssize_t n;

	if (offset >= spool->size)
		return 0;
	if (len > spool->size - offset)
		len = (size_t)(spool->size - offset);
	if (spool->fd < 0) {
		memcpy(out, spool->memory.data + offset, len);
		return (ssize_t)len;
	}
	do
		n = pread(spool->fd, out, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, errno, "read a temporary file in %s", spool->dir);
	if (n == 0 && len > 0)
		return err_set(err, ERR_IO, "a temporary file in %s became shorter", spool->dir);
	return n;
}

const void *spool_memory(const struct spool *spool)
{
	if (spool->fd >= 0)
		return NULL;
	return spool->memory.data ? spool->memory.data : "";
}

int spool_sha256(const struct spool *spool, unsigned char out[32], struct err *err)
{
	struct hash_sha256_stream *stream;
	char block[65536];
	uint64_t offset = 0;
	ssize_t n;

	if (spool->fd < 0) {
		hash_sha256(spool_memory(spool), (size_t)spool->size, out);
		return 0;
	}
	stream = hash_sha256_new();
	while ((n = spool_read(spool, offset, block, sizeof block, err)) > 0) {
		hash_sha256_add(stream, block, (size_t)n);
		offset += (uint64_t)n;
	}
	hash_sha256_end(&stream, out);
	return n < 0 ? -1 : 0;
}
