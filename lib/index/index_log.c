#include "index/index_log.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/buf.h"
#include "index/index_bytes.h"

#define LOG_MAJOR 1
#define LOG_MINOR_COMPAT_FLAGS 2
#define HEADER_MIN 24
#define HEADER_FULL 40 /* sizeof(struct mail_transaction_log_header) */
#define WINDOW_SIZE ((size_t)64 * 1024)

/* A part of the file in memory. */
struct window {
	int fd;
	uint64_t size_bytes; /* of the file, as far as it is to be read */
	struct buf bytes;
	uint64_t start;     /* in the file, of `bytes` */
	uint64_t group_end; /* up to where records are known to be whole */
};

static void window_free(struct window *window)
{
	buf_free(&window->bytes);
}

/* 1 and at least `len` bytes at `offset` are in the window; 0 the file ends before. */
static int window_fill(struct window *window, uint64_t offset, size_t len, struct err *err)
{
	size_t want = len > WINDOW_SIZE ? len : WINDOW_SIZE;

	if (offset > window->size_bytes || len > window->size_bytes - offset)
		return 0;
	if (want > window->size_bytes - offset)
		want = (size_t)(window->size_bytes - offset);
	buf_truncate(&window->bytes, 0);
	window->start = offset;
	while (window->bytes.len < len) {
		ssize_t n = pread(window->fd, buf_reserve(&window->bytes, want - window->bytes.len),
				  want - window->bytes.len, (off_t)(offset + window->bytes.len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read the log");
		if (n == 0)
			return 0;
		window->bytes.len += (size_t)n;
	}
	return 1;
}

/* 1 and `len` bytes at `offset`, valid until the next call; 0 the file ends before. Inline,
 * as each record comes through here, which is to cost no more than copying it. */
static inline int window_get(struct window *window, uint64_t offset, size_t len,
			     const unsigned char **data_r, struct err *err)
{
	if (!window->bytes.data || offset < window->start ||
	    offset - window->start + len > window->bytes.len) {
		int got = window_fill(window, offset, len, err);

		if (got <= 0)
			return got;
	}
	*data_r = (const unsigned char *)window->bytes.data + (offset - window->start);
	return 1;
}

static void read_header(const unsigned char *p, struct index_log_header *header)
{
	*header = (struct index_log_header){
		.major = p[0],
		.minor = p[1],
		.hdr_size = index_bytes_u16(p + 2),
		.indexid = index_bytes_u32(p + 4),
		.file_seq = index_bytes_u32(p + 8),
		.prev_file_seq = index_bytes_u32(p + 12),
		.prev_file_offset = index_bytes_u32(p + 16),
		.create_stamp = index_bytes_u32(p + 20),
		.initial_modseq = index_bytes_u64(p + 24),
		.compat_flags = p[32],
	};
}

int index_log_header(int fd, uint64_t size_bytes, struct index_log_header *header_r,
		     struct err *err)
{
	unsigned char bytes[HEADER_FULL] = { 0 };
	size_t want = size_bytes < sizeof bytes ? (size_t)size_bytes : sizeof bytes;
	ssize_t n = pread(fd, bytes, want, 0);
	uint16_t hdr_size;

	*header_r = (struct index_log_header){ 0 };
	if (n < 0)
		return err_sys(err, errno, "read the log");
	if (n < HEADER_MIN)
		return err_set(err, ERR_DATA, "too short for a transaction log");
	hdr_size = index_bytes_u16(bytes + 2);
	if (hdr_size >= HEADER_MIN && hdr_size < sizeof bytes)
		memset(bytes + hdr_size, 0, sizeof bytes - hdr_size);
	read_header(bytes, header_r);
	if (header_r->major != LOG_MAJOR)
		return err_set(err, ERR_DATA, "a transaction log of version %u.%u", header_r->major,
			       header_r->minor);
	if (hdr_size < HEADER_MIN || hdr_size % 4 != 0 || hdr_size > size_bytes)
		return err_set(err, ERR_DATA, "a log header of %u bytes", hdr_size);
	if (header_r->minor >= LOG_MINOR_COMPAT_FLAGS &&
	    header_r->compat_flags != INDEX_BYTES_COMPAT)
		return err_set(err, ERR_DATA, "a log of another byte order");
	if (header_r->indexid == 0)
		return err_set(err, ERR_DATA, "Dovecot has marked the log as corrupt");
	return 0;
}

static int corrupt(uint64_t offset, struct err *err)
{
	return err_prefix(err, "corrupt at offset %" PRIu64, offset);
}

/* A size that is not that of a record here: 0 not wholly written yet, or -1. */
static int odd_size(const struct window *window, uint64_t offset, const unsigned char *p,
		    struct err *err)
{
	uint32_t size = index_bytes_offset(p);

	if (size == 0 && index_bytes_u32(p) == 0)
		return 0;
	if (size >= INDEX_RECORD_HEADER_SIZE && size > window->size_bytes - offset)
		return 0;
	if (size < INDEX_RECORD_HEADER_SIZE)
		err_set(err, ERR_DATA, "no size of a record");
	else
		err_set(err, ERR_DATA, "a record of %u bytes", (unsigned)size);
	return corrupt(offset, err);
}

/* The header of the record at `offset`: 1, 0 not wholly written yet. */
static inline int record_head(struct window *window, uint64_t offset, uint32_t *size_r,
			      const unsigned char **p_r, struct err *err)
{
	int got = window_get(window, offset, INDEX_RECORD_HEADER_SIZE, p_r, err);

	if (got <= 0)
		return got;
	*size_r = index_bytes_offset(*p_r);
	if (*size_r < INDEX_RECORD_HEADER_SIZE || *size_r > INDEX_LOG_RECORD_MAX ||
	    *size_r > window->size_bytes - offset)
		return odd_size(window, offset, *p_r, err);
	return 1;
}

/* Whether the group that `boundary` begins is all there: 1, 0. */
static int group_is_whole(struct window *window, const struct index_record *boundary,
			  struct err *err)
{
	struct index_record_item item;
	uint64_t at = boundary->offset + boundary->size_bytes, end;
	size_t from = 0;
	const unsigned char *p;
	uint32_t size;
	int got = 1;

	index_record_next(boundary, &from, &item);
	end = boundary->offset + item.offset;
	/* Looked through once only, so groups in groups cannot make it long. */
	if (boundary->offset < window->group_end) {
		err_set(err, ERR_DATA, "a group within a group");
		return corrupt(boundary->offset, err);
	}
	if (end > window->size_bytes)
		return 0;
	while (at < end && (got = record_head(window, at, &size, &p, err)) > 0)
		at += size;
	if (got <= 0)
		return got;
	window->group_end = end;
	if (at == end)
		return 1;
	err_set(err, ERR_DATA, "a group of %u bytes ends within a record", (unsigned)item.offset);
	return corrupt(boundary->offset, err);
}

/* The record at `offset`: 1, 0 not wholly written yet. */
static int read_record(struct window *window, uint64_t offset, struct index_record *record_r,
		       struct err *err)
{
	const unsigned char *p;
	uint32_t type;
	int got = record_head(window, offset, &record_r->size_bytes, &p, err);

	if (got <= 0)
		return got;
	type = index_bytes_u32(p + 4);
	got = window_get(window, offset, record_r->size_bytes, &p, err);
	if (got <= 0)
		return got;
	record_r->offset = offset;
	record_r->data = p + INDEX_RECORD_HEADER_SIZE;
	record_r->data_len = record_r->size_bytes - INDEX_RECORD_HEADER_SIZE;
	if (index_record_set_type(record_r, type, err) < 0)
		return corrupt(offset, err);
	if (record_r->type != INDEX_RECORD_BOUNDARY)
		return 1;
	got = group_is_whole(window, record_r, err);
	if (got <= 0)
		return got;
	/* The look ahead may have moved the window. */
	got = window_get(window, offset, record_r->size_bytes, &p, err);
	record_r->data = p + INDEX_RECORD_HEADER_SIZE;
	return got;
}

/* Whether the group that begins at `at` is wholly in these bytes, with nothing odd in it. */
static inline bool group_in_window(const unsigned char *p, size_t at, size_t len, size_t *end_r)
{
	size_t size = index_bytes_offset(p + at);
	size_t group = index_bytes_u32(p + at + INDEX_RECORD_HEADER_SIZE), end = at + group;

	if (group < size || group > len - at)
		return false;
	for (at += size; at < end; at += size) {
		if (end - at < INDEX_RECORD_HEADER_SIZE)
			return false;
		size = index_bytes_offset(p + at);
		if (size < INDEX_RECORD_HEADER_SIZE || size > end - at)
			return false;
	}
	*end_r = end;
	return true;
}

/* Records that are wholly in the window, which nearly all are, without a look at the
 * file. Stops at the first that needs more than that. */
static int read_window(struct window *window, uint64_t *end, index_log_fn *fn, void *ctx,
		       struct err *err)
{
	const unsigned char *p = (const unsigned char *)window->bytes.data;
	size_t at = (size_t)(*end - window->start), len = window->bytes.len, group_end;
	int ret = 0;

	while (ret == 0 && len - at >= INDEX_RECORD_HEADER_SIZE) {
		struct index_record record;
		uint32_t type = index_bytes_u32(p + at + 4);

		record.size_bytes = index_bytes_offset(p + at);
		if (record.size_bytes < INDEX_RECORD_HEADER_SIZE || record.size_bytes > len - at)
			break;
		record.offset = window->start + at;
		if ((type & INDEX_RECORD_TYPE_MASK) == INDEX_RECORD_BOUNDARY) {
			if (record.size_bytes == INDEX_RECORD_HEADER_SIZE ||
			    record.offset < window->group_end ||
			    !group_in_window(p, at, len, &group_end))
				break;
			window->group_end = window->start + group_end;
		}
		record.data = p + at + INDEX_RECORD_HEADER_SIZE;
		record.data_len = record.size_bytes - INDEX_RECORD_HEADER_SIZE;
		if (index_record_set_type(&record, type, err) < 0)
			return corrupt(record.offset, err);
		ret = fn(ctx, &record, err);
		if (ret >= 0)
			at += record.size_bytes;
		*end = window->start + at;
	}
	return ret;
}

int index_log_read(int fd, uint64_t size_bytes, uint64_t offset, index_log_fn *fn, void *ctx,
		   uint64_t *end_r, struct err *err)
{
	CLEANUP(window_free) struct window window = { .fd = fd, .size_bytes = size_bytes };
	struct index_record record;
	int got = 1, ret = 0;

	*end_r = offset;
	while (ret == 0 && (got = read_record(&window, *end_r, &record, err)) > 0) {
		ret = fn(ctx, &record, err);
		if (ret >= 0)
			*end_r += record.size_bytes;
		if (ret == 0 && *end_r - window.start <= window.bytes.len)
			ret = read_window(&window, end_r, fn, ctx, err);
	}
	return got < 0 || ret < 0 ? -1 : 0;
}
