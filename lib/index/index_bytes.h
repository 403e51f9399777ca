/* Bytes and numbers of Dovecot's index files: they stand in the byte order of the host
 * that wrote them, at any alignment. Files of the other byte order are refused by
 * their header, so nothing is ever swapped. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

static inline uint16_t index_bytes_u16(const unsigned char *at)
{
	uint16_t n;

	memcpy(&n, at, sizeof n);
	return n;
}

static inline uint32_t index_bytes_u32(const unsigned char *at)
{
	uint32_t n;

	memcpy(&n, at, sizeof n);
	return n;
}

static inline uint64_t index_bytes_u64(const unsigned char *at)
{
	uint64_t n;

	memcpy(&n, at, sizeof n);
	return n;
}

/* mail_index_offset_to_uint32(): four groups of seven bits, the high ones first, each with
 * its high bit set, so that a number that is written in part is never taken for one. A
 * multiple of 4; 0: none. */
static inline uint32_t index_bytes_offset(const unsigned char *at)
{
	uint32_t n = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];

	if ((n & 0xffffff80) == 0x80808080)
		return (n & 0x7f) << 2;
	if ((n & 0x80808080) != 0x80808080)
		return 0;
	return ((n & 0x7f) | (n & 0x7f00) >> 1 | (n & 0x7f0000) >> 2 | (n & 0x7f000000) >> 3) << 2;
}

/* MAIL_INDEX_COMPAT_LITTLE_ENDIAN of mail-index.h. */
#define INDEX_BYTES_LITTLE_ENDIAN 0x01
#define INDEX_BYTES_COMPAT                                                                         \
	(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? INDEX_BYTES_LITTLE_ENDIAN : 0)

/* Where a number of `size` bytes stands in one of 8. */
static inline size_t index_bytes_low(size_t size)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : sizeof(uint64_t) - size;
}

/* Appends just `len` bytes from there. -1 with ERR_DATA where the file is shorter, ERR_IO. */
int index_bytes_read(int fd, uint64_t offset, size_t len, struct buf *out, struct err *err);
