#include "bundle/bundle_make.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "bundle/bundle_file.h"

#define PIECE ((size_t)64 * 1024)

/* O_NONBLOCK: what is no plain file must not make us wait before it is refused. */
static int open_origin(const char *name, int basefd, struct err *err)
{
	autofd int fd = fsx_openat(basefd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
	struct fsx_stat st;

	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_DATA, "the base has no %s", quote_str(name).s);
	if (fd < 0 || fsx_fstat(fd, &st) < 0)
		return err_sys(err, errno, "open %s of the base", quote_str(name).s);
	if (!S_ISREG(st.mode))
		return err_set(err, ERR_DATA, "%s of the base is no file", quote_str(name).s);
	return steal_fd(&fd);
}

int bundle_make_open(struct bundle_make *make, const struct bundle_file *file, int basefd,
		     int dirfd, struct err *err)
{
	*make = (struct bundle_make){
		.file = file,
		.hash = hash_content_new(),
		.fd = -1,
		.from_fd = -1,
	};
	if (file->from && (make->from_fd = open_origin(file->from, basefd, err)) < 0)
		return -1;
	make->fd = bundle_file_create(dirfd, file->name, err);
	return make->fd < 0 ? -1 : 0;
}

void bundle_make_close(struct bundle_make *make)
{
	cleanup_fd(&make->fd);
	cleanup_fd(&make->from_fd);
	hash_content_free(&make->hash);
	free(make->piece);
}

static int put(struct bundle_make *make, const void *data, size_t len, struct err *err)
{
	hash_content_add(make->hash, data, len);
	make->position += len;
	return bundle_file_write(make->fd, make->file->name, data, len, err);
}

/* What the base has, up to the offset `end`. */
static int put_origin(struct bundle_make *make, uint64_t end, struct err *err)
{
	const char *from = make->file->from;

	if (!make->piece)
		make->piece = xmalloc(PIECE);
	while (make->position < end) {
		uint64_t left = end - make->position;
		ssize_t n = pread(make->from_fd, make->piece, left < PIECE ? (size_t)left : PIECE,
				  (off_t)make->position);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read %s of the base", quote_str(from).s);
		if (n == 0)
			return err_set(err, ERR_DATA,
				       "%s goes on with byte %" PRIu64
				       " of %s, which the base does not have",
				       quote_str(make->file->name).s, make->position,
				       quote_str(from).s);
		if (put(make, make->piece, (size_t)n, err) < 0)
			return -1;
	}
	return 0;
}

/* A whole file is one range. */
static bool next_range(const struct bundle_make *make, struct bundle_range *range_r)
{
	const struct bundle_file *file = make->file;

	*range_r = (struct bundle_range){ .len = file->size_bytes };
	if (!file->from)
		return make->position < file->size_bytes;
	if (make->range == file->ranges.count)
		return false;
	*range_r = file->ranges.items[make->range];
	return true;
}

int bundle_make_add(struct bundle_make *make, const void *data, size_t len, struct err *err)
{
	const char *at = data;
	struct bundle_range range;

	while (len > 0) {
		uint64_t room;
		size_t n;

		if (!next_range(make, &range))
			return err_set(err, ERR_DATA, "%s has more bytes than it announces",
				       quote_str(make->file->name).s);
		if (put_origin(make, range.offset, err) < 0)
			return -1;
		room = range.offset + range.len - make->position;
		n = len < room ? len : (size_t)room;
		if (put(make, at, n, err) < 0)
			return -1;
		at += n;
		len -= n;
		if (n == room)
			make->range++;
	}
	return 0;
}

int bundle_make_finish(struct bundle_make *make, struct err *err)
{
	const struct bundle_file *file = make->file;
	unsigned char digest[HASH_CONTENT_SIZE];
	struct bundle_range range;

	if (next_range(make, &range))
		return err_set(err, ERR_DATA, "%s is cut short", quote_str(file->name).s);
	if (put_origin(make, file->size_bytes, err) < 0)
		return -1;
	hash_content_get(make->hash, digest);
	if (memcmp(digest, file->digest, sizeof digest) != 0)
		return err_set(err, ERR_DATA, "%s has a wrong digest", quote_str(file->name).s);
	return bundle_file_finish(file, steal_fd(&make->fd), err);
}
