/* Numbers in Dovecot's index files: they stand in the byte order of the host that
 * wrote them, at any alignment. Files of the other byte order are refused by their
 * header, so nothing is ever swapped. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* MAIL_INDEX_COMPAT_LITTLE_ENDIAN of mail-index.h. */
#define INDEX_BYTES_LITTLE_ENDIAN 0x01
#define INDEX_BYTES_COMPAT                                                                         \
	(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? INDEX_BYTES_LITTLE_ENDIAN : 0)

/* Where a number of `size` bytes stands in one of 8. */
static inline size_t index_bytes_low(size_t size)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : sizeof(uint64_t) - size;
}
