/* Index files made byte by byte, as Dovecot's headers describe them. */
#pragma once

#include <sys/mman.h>

#include "../scratch.h"
#include "base/buf.h"
#include "index/index_record.h"

#define INDEXID 0x12345678U
#define LOG_HEADER 40

static inline void put_u16(struct buf *out, unsigned n)
{
	uint16_t v = (uint16_t)n;

	buf_append(out, &v, sizeof v);
}

static inline void put_u32(struct buf *out, uint32_t n)
{
	buf_append(out, &n, sizeof n);
}

static inline void put_u64(struct buf *out, uint64_t n)
{
	buf_append(out, &n, sizeof n);
}

static inline void put_pad(struct buf *out, size_t align)
{
	while (out->len % align != 0)
		buf_putc(out, '\0');
}

static inline void set_u32(struct buf *out, size_t at, uint32_t n)
{
	memcpy(out->data + at, &n, sizeof n);
}

/* The header of a log, version 1.3. */
static inline void put_log_header(struct buf *out, uint32_t seq, uint32_t prev_seq,
				  uint32_t prev_offset)
{
	buf_append(out, "\1\3", 2);
	put_u16(out, LOG_HEADER);
	put_u32(out, INDEXID);
	put_u32(out, seq);
	put_u32(out, prev_seq);
	put_u32(out, prev_offset);
	put_u32(out, 1700000000);
	put_u64(out, 1);
	put_u32(out, 1); /* little-endian */
	put_u32(out, 0);
}

/* A size as it stands in a record's header. */
static inline void put_size(struct buf *out, size_t size)
{
	size_t n = size / 4;

	for (int shift = 21; shift >= 0; shift -= 7)
		buf_putc(out, (char)(0x80 | ((n >> shift) & 0x7f)));
}

static inline void put_record(struct buf *out, uint32_t type, const void *data, size_t len)
{
	put_size(out, 8 + (len + 3) / 4 * 4);
	put_u32(out, type);
	buf_append(out, data, len);
	put_pad(out, 4);
}

static inline void put_numbers(struct buf *out, uint32_t type, const uint32_t *n, size_t count)
{
	put_record(out, type, n, count * sizeof *n);
}
#define NUMBERS(out, type, ...)                                                                    \
	put_numbers(out, type, (uint32_t[]){ __VA_ARGS__ }, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4)

#define EXPUNGE (INDEX_RECORD_EXPUNGE | INDEX_RECORD_EXPUNGE_PROT)
#define EXPUNGE_GUID (INDEX_RECORD_EXPUNGE_GUID | INDEX_RECORD_EXPUNGE_PROT)

static inline void put_append(struct buf *out, uint32_t uid, uint32_t flags)
{
	NUMBERS(out, INDEX_RECORD_APPEND, uid, flags);
}

static inline void put_flags(struct buf *out, uint32_t uid, unsigned add, unsigned remove)
{
	NUMBERS(out, INDEX_RECORD_FLAG_UPDATE, uid, uid, add | remove << 8);
}

static inline void put_expunge(struct buf *out, uint32_t uid1, uint32_t uid2)
{
	NUMBERS(out, EXPUNGE | INDEX_RECORD_EXTERNAL, uid1, uid2);
}

static inline void put_keyword(struct buf *out, enum index_record_modify modify, const char *name,
			       uint32_t uid1, uint32_t uid2)
{
	autobuf struct buf data = { 0 };

	put_u16(&data, modify);
	put_u16(&data, (unsigned)strlen(name));
	buf_puts(&data, name);
	put_pad(&data, 4);
	put_u32(&data, uid1);
	put_u32(&data, uid2);
	put_record(out, INDEX_RECORD_KEYWORD_UPDATE, data.data, data.len);
}

static inline void put_header_update(struct buf *out, unsigned offset, uint32_t value)
{
	NUMBERS(out, INDEX_RECORD_HEADER_UPDATE, offset | 4 << 16, value);
}

/* name NULL: a known extension, by its number. */
static inline void put_intro(struct buf *out, uint32_t ext_id, const char *name, uint32_t reset_id,
			     uint32_t hdr_size, unsigned record_size)
{
	autobuf struct buf data = { 0 };

	put_u32(&data, name ? INDEX_RECORD_EXT_NEW : ext_id);
	put_u32(&data, reset_id);
	put_u32(&data, hdr_size);
	put_u16(&data, record_size);
	put_u16(&data, record_size >= 8 && record_size % 8 == 0 ? 8 : record_size >= 4 ? 4 : 1);
	put_u16(&data, 0);
	put_u16(&data, name ? (unsigned)strlen(name) : 0);
	buf_puts(&data, name ? name : "");
	put_record(out, INDEX_RECORD_EXT_INTRO, data.data, data.len);
}

static inline void put_ext_rec(struct buf *out, uint32_t uid, const void *bytes, size_t len)
{
	autobuf struct buf data = { 0 };

	put_u32(&data, uid);
	buf_append(&data, bytes, len);
	put_record(out, INDEX_RECORD_EXT_REC_UPDATE, data.data, data.len);
}

static inline void put_ext_hdr(struct buf *out, unsigned offset, const void *bytes, size_t len)
{
	autobuf struct buf data = { 0 };

	put_u16(&data, offset);
	put_u16(&data, (unsigned)len);
	buf_append(&data, bytes, len);
	put_record(out, INDEX_RECORD_EXT_HDR_UPDATE, data.data, data.len);
}

/* The records of `inner` as one group. */
static inline void put_group(struct buf *out, const struct buf *inner)
{
	NUMBERS(out, INDEX_RECORD_BOUNDARY | INDEX_RECORD_EXTERNAL, (uint32_t)(12 + inner->len));
	buf_append(out, inner->data, inner->len);
}

/* A file in memory with those bytes. */
static inline int file_of(const struct buf *bytes)
{
	int fd = memfd_create("index", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf_str(bytes), bytes->len), (ssize_t)bytes->len);
	return fd;
}
