#include "index/index_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quote.h"
#include "index/index_bytes.h"

#define HEADER_MAJOR 7
#define RECORD_MIN 8
#define EXT_HEADER_SIZE 16
#define EXT_ALIGN_MAX 8
#define EXT_RECORD_MAX 32767
#define EXT_NAME_MAX 255

static uint64_t align8(uint64_t size)
{
	return (size + 7) & ~(uint64_t)7;
}

void index_header_parse(const unsigned char *bytes, size_t base_size, struct index_header *header_r)
{
	unsigned char p[INDEX_HEADER_BASE_MIN] = { 0 };

	memcpy(p, bytes, base_size < sizeof p ? base_size : sizeof p);
	*header_r = (struct index_header){
		.major = p[0],
		.minor = p[1],
		.base_header_size = index_bytes_u16(p + 2),
		.header_size = index_bytes_u32(p + 4),
		.record_size = index_bytes_u32(p + 8),
		.compat_flags = p[12],
		.indexid = index_bytes_u32(p + 16),
		.flags = index_bytes_u32(p + INDEX_HEADER_AT_FLAGS),
		.uid_validity = index_bytes_u32(p + INDEX_HEADER_AT_UID_VALIDITY),
		.next_uid = index_bytes_u32(p + INDEX_HEADER_AT_NEXT_UID),
		.messages_count = index_bytes_u32(p + 32),
		.seen_messages_count = index_bytes_u32(p + 40),
		.deleted_messages_count = index_bytes_u32(p + 44),
		.first_recent_uid = index_bytes_u32(p + INDEX_HEADER_AT_FIRST_RECENT),
		.first_unseen_uid_lowwater = index_bytes_u32(p + 52),
		.first_deleted_uid_lowwater = index_bytes_u32(p + 56),
		.log_file_seq = index_bytes_u32(p + 60),
		.log_file_tail_offset = index_bytes_u32(p + INDEX_HEADER_AT_LOG_TAIL),
		.log_file_head_offset = index_bytes_u32(p + 68),
		.day_stamp = index_bytes_u32(p + 84),
	};
}

int index_header_read(int fd, uint64_t size_bytes, struct index_header *header_r, struct err *err)
{
	unsigned char bytes[INDEX_HEADER_BASE_MIN];
	ssize_t n = size_bytes < sizeof bytes ? 0 : pread(fd, bytes, sizeof bytes, 0);

	*header_r = (struct index_header){ 0 };
	if (n < 0)
		return err_sys(err, errno, "read the index");
	if (n < (ssize_t)sizeof bytes)
		return err_set(err, ERR_DATA, "too short for an index");
	index_header_parse(bytes, sizeof bytes, header_r);
	if (header_r->major != HEADER_MAJOR)
		return err_set(err, ERR_DATA, "an index of version %u.%u", header_r->major,
			       header_r->minor);
	if (header_r->compat_flags != INDEX_BYTES_COMPAT)
		return err_set(err, ERR_DATA, "an index of another byte order");
	if (header_r->base_header_size < INDEX_HEADER_BASE_MIN ||
	    header_r->header_size < header_r->base_header_size ||
	    header_r->header_size > size_bytes || header_r->header_size > INDEX_HEADER_MAX)
		return err_set(err, ERR_DATA, "index header sizes of %u and %u bytes",
			       header_r->base_header_size, (unsigned)header_r->header_size);
	if (header_r->record_size < RECORD_MIN)
		return err_set(err, ERR_DATA, "index records of %u bytes",
			       (unsigned)header_r->record_size);
	return 0;
}

void index_header_free_exts(struct index_ext_vec *exts)
{
	for (size_t i = 0; i < exts->count; i++) {
		free(exts->items[i].name);
		buf_free(&exts->items[i].data);
		buf_free(&exts->items[i].column);
	}
	vec_free(exts);
}

struct index_ext *index_header_ext(const struct index_ext_vec *exts, const char *name, size_t len)
{
	for (size_t i = 0; i < exts->count; i++)
		if (strlen(exts->items[i].name) == len &&
		    memcmp(exts->items[i].name, name, len) == 0)
			return &exts->items[i];
	return NULL;
}

static int check_name(const char *name, size_t len, struct err *err)
{
	if (len == 0 || len > EXT_NAME_MAX)
		return err_set(err, ERR_DATA, "an extension's name of %zu bytes", len);
	for (size_t i = 0; i < len; i++)
		if (name[i] < 0x20 || name[i] > 0x7e)
			return err_set(err, ERR_DATA, "an extension named %s",
				       quote_mem(name, len).s);
	return 0;
}

int index_header_check_ext(const char *name, size_t name_len, uint64_t hdr_size,
			   const struct index_ext *ext, struct err *err)
{
	if (check_name(name, name_len, err) < 0)
		return -1;
	if ((hdr_size == 0 && ext->record_size == 0) || hdr_size > INDEX_HEADER_EXT_DATA_MAX ||
	    ext->record_size > EXT_RECORD_MAX ||
	    (ext->record_size > 0 && (ext->record_align == 0 || ext->record_align > EXT_ALIGN_MAX)))
		return err_set(err, ERR_DATA, "extension %s has impossible sizes",
			       quote_mem(name, name_len).s);
	return 0;
}

/* The extension at *at of the header's bytes, which moves behind it. */
static int parse_ext(const struct index_header *header, const unsigned char *bytes, uint64_t *at,
		     struct index_ext_vec *exts, struct err *err)
{
	uint64_t left = header->header_size - *at, data_at, end;
	const unsigned char *p = bytes + *at;
	const char *name = (const char *)p + EXT_HEADER_SIZE;
	struct index_ext ext = { 0 };
	uint32_t hdr_size;
	size_t name_len;

	if (left < EXT_HEADER_SIZE || exts->count == INDEX_HEADER_EXTS_MAX)
		return err_set(err, ERR_DATA, "an extension goes beyond the header");
	hdr_size = index_bytes_u32(p);
	ext.reset_id = index_bytes_u32(p + 4);
	ext.record_offset = index_bytes_u16(p + 8);
	ext.record_size = index_bytes_u16(p + 10);
	ext.record_align = index_bytes_u16(p + 12);
	name_len = index_bytes_u16(p + 14);
	data_at = align8(EXT_HEADER_SIZE + name_len);
	end = data_at + align8(hdr_size);
	if (end > left)
		return err_set(err, ERR_DATA, "an extension goes beyond the header");
	if (index_header_check_ext(name, name_len, hdr_size, &ext, err) < 0)
		return -1;
	if (ext.record_size > 0 &&
	    (ext.record_offset < RECORD_MIN - 3 ||
	     (uint32_t)ext.record_offset + ext.record_size > header->record_size))
		return err_set(err, ERR_DATA, "extension %s is outside of the record",
			       quote_mem(name, name_len).s);
	if (index_header_ext(exts, name, name_len))
		return err_set(err, ERR_DATA, "extension %s comes twice",
			       quote_mem(name, name_len).s);
	ext.name = xstrndup(name, name_len);
	buf_append(&ext.data, p + data_at, hdr_size);
	vec_push(exts, ext);
	*at += end;
	return 0;
}

int index_header_read_exts(int fd, uint64_t size_bytes, const struct index_header *header,
			   struct index_ext_vec *exts, struct err *err)
{
	uint64_t at = align8(header->base_header_size);
	autobuf struct buf bytes = { 0 };

	if (header->header_size > size_bytes)
		return err_set(err, ERR_DATA, "the index is shorter than its header");
	if (index_bytes_read(fd, 0, header->header_size, &bytes, err) < 0)
		return -1;
	while (at < header->header_size)
		if (parse_ext(header, (const unsigned char *)bytes.data, &at, exts, err) < 0)
			return -1;
	return 0;
}
