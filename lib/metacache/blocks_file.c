#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "bundle/bundle_name.h"
#include "metacache/blocks.h"

#define MAGIC "MCBLOCKS"
#define MAGIC_SIZE 8
#define NAME_DEPTH_MAX 16 /* of a file in any unit */

/* ---- writing ---- */

static void put_u16(struct buf *out, size_t value)
{
	uint16_t le = htole16((uint16_t)value);

	buf_append(out, &le, sizeof le);
}

static void put_u32(struct buf *out, uint32_t value)
{
	uint32_t le = htole32(value);

	buf_append(out, &le, sizeof le);
}

static void put_u64(struct buf *out, uint64_t value)
{
	uint64_t le = htole64(value);

	buf_append(out, &le, sizeof le);
}

/* Names of objects and of files have at most 1024 bytes. */
static void put_name(struct buf *out, const char *name)
{
	size_t len = strlen(name);

	put_u16(out, len);
	buf_append(out, name, len);
}

static void put_file(struct buf *out, const struct blocks_file *file)
{
	put_name(out, file->name);
	put_u64(out, file->ino);
	put_u64(out, file->size_bytes);
	put_u64(out, (uint64_t)file->mtime_ns);
	buf_append(out, file->digest, sizeof file->digest);
	put_u32(out, (uint32_t)(file->hashes.len / HASH_CONTENT_SIZE));
	buf_append(out, buf_str(&file->hashes), file->hashes.len);
}

int blocks_write(int unitfd, const struct blocks *blocks, struct err *err)
{
	autobuf struct buf out = { 0 };
	unsigned char digest[HASH_CONTENT_SIZE];

	buf_append(&out, MAGIC, MAGIC_SIZE);
	put_u32(&out, BLOCKS_VERSION);
	put_u32(&out, (uint32_t)blocks->files.count);
	put_u32(&out, blocks->indexid);
	put_u32(&out, blocks->log_file_seq);
	put_u64(&out, blocks->log_offset);
	put_name(&out, blocks->base);
	for (size_t i = 0; i < blocks->files.count; i++)
		put_file(&out, &blocks->files.items[i]);
	hash_content(out.data, out.len, digest);
	buf_append(&out, digest, sizeof digest);
	if (out.len > BLOCKS_BYTES_MAX)
		return err_set(err, ERR_DATA, "%s would be %zu bytes, at most %zu can be",
			       BLOCKS_NAME, out.len, BLOCKS_BYTES_MAX);
	return fsx_replace(unitfd, BLOCKS_NAME, out.data, out.len, 0600, false, NULL, err);
}

/* ---- reading ---- */

struct cursor {
	const unsigned char *at;
	size_t left;
};

/* NULL: so many are not there. */
static const void *take(struct cursor *cursor, size_t len)
{
	const unsigned char *at = cursor->at;

	if (len > cursor->left)
		return NULL;
	cursor->at += len;
	cursor->left -= len;
	return at;
}

static bool take_into(struct cursor *cursor, void *out, size_t len)
{
	const void *at = take(cursor, len);

	if (at)
		memcpy(out, at, len);
	return at != NULL;
}

static bool take_u16(struct cursor *cursor, uint16_t *value_r)
{
	bool ok = take_into(cursor, value_r, sizeof *value_r);

	*value_r = le16toh(*value_r);
	return ok;
}

static bool take_u32(struct cursor *cursor, uint32_t *value_r)
{
	bool ok = take_into(cursor, value_r, sizeof *value_r);

	*value_r = le32toh(*value_r);
	return ok;
}

static bool take_u64(struct cursor *cursor, uint64_t *value_r)
{
	bool ok = take_into(cursor, value_r, sizeof *value_r);

	*value_r = le64toh(*value_r);
	return ok;
}

/* A text without a NUL in it. */
static bool take_name(struct cursor *cursor, char **name_r)
{
	uint16_t len = 0;
	const char *at;

	if (!take_u16(cursor, &len) || !(at = take(cursor, len)) || memchr(at, '\0', len))
		return false;
	*name_r = xstrndup(at, len);
	return true;
}

/* There are all hashes or none. */
static bool take_hashes(struct cursor *cursor, struct blocks_file *file)
{
	uint64_t blocks = file->size_bytes / BUNDLE_BLOCK + (file->size_bytes % BUNDLE_BLOCK > 0);
	uint32_t count = 0;
	const void *at;

	if (!take_u32(cursor, &count) || (count != 0 && count != blocks))
		return false;
	at = take(cursor, (size_t)count * HASH_CONTENT_SIZE);
	if (at && count > 0)
		buf_append(&file->hashes, at, (size_t)count * HASH_CONTENT_SIZE);
	return at != NULL;
}

/* The file is the vector's at once, so that nothing leaks. */
static bool take_file(struct cursor *cursor, struct blocks_file_vec *files)
{
	const char *before = files->count > 0 ? files->items[files->count - 1].name : "";
	struct blocks_file *file;
	uint64_t mtime = 0;
	char *name;

	if (!take_name(cursor, &name))
		return false;
	vec_push(files, ((struct blocks_file){ .name = name }));
	file = &files->items[files->count - 1];
	if (!bundle_name_allowed(name, NAME_DEPTH_MAX) || strcmp(before, name) >= 0 ||
	    !take_u64(cursor, &file->ino) || !take_u64(cursor, &file->size_bytes) ||
	    !take_u64(cursor, &mtime) || !take_into(cursor, file->digest, sizeof file->digest))
		return false;
	file->mtime_ns = (int64_t)mtime;
	return take_hashes(cursor, file);
}

static bool take_base(struct cursor *cursor, struct blocks *blocks)
{
	struct bundle_name parsed;

	return take_u32(cursor, &blocks->indexid) && take_u32(cursor, &blocks->log_file_seq) &&
	       take_u64(cursor, &blocks->log_offset) && take_name(cursor, &blocks->base) &&
	       bundle_name_parse(blocks->base, &parsed) && !parsed.is_diff;
}

/* What the checksum is right for may still be made up. */
static bool take_all(struct cursor *cursor, struct blocks *blocks)
{
	uint64_t total = 0;
	uint32_t count = 0;

	if (!take_u32(cursor, &count) || count > BUNDLE_FILES_MAX || !take_base(cursor, blocks))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (!take_file(cursor, &blocks->files) ||
		    blocks->files.items[i].size_bytes > (uint64_t)INT64_MAX - total)
			return false;
		total += blocks->files.items[i].size_bytes;
	}
	return cursor->left == 0;
}

static int parse(struct cursor *cursor, struct blocks *blocks, struct err *err)
{
	unsigned char digest[HASH_CONTENT_SIZE];
	const void *start = cursor->at;
	const void *magic = take(cursor, MAGIC_SIZE);
	uint32_t version = 0;

	if (!magic || memcmp(magic, MAGIC, MAGIC_SIZE) != 0 || !take_u32(cursor, &version) ||
	    cursor->left < sizeof digest)
		return err_set(err, ERR_DATA, "torn, or no list of blocks");
	if (version != BLOCKS_VERSION)
		return err_set(err, ERR_DATA, "version %u, this program knows %d", version,
			       BLOCKS_VERSION);
	cursor->left -= sizeof digest;
	hash_content(start, MAGIC_SIZE + sizeof version + cursor->left, digest);
	if (memcmp(digest, cursor->at + cursor->left, sizeof digest) != 0 ||
	    !take_all(cursor, blocks))
		return err_set(err, ERR_DATA, "damaged");
	return 0;
}

int blocks_parse(const void *data, size_t len, struct blocks *blocks_r, struct err *err)
{
	struct cursor cursor = { data, len };

	*blocks_r = (struct blocks){ 0 };
	if (parse(&cursor, blocks_r, err) == 0)
		return 0;
	blocks_free(blocks_r);
	return -1;
}

int blocks_read(int unitfd, struct blocks *blocks_r, struct err *err)
{
	autobuf struct buf data = { 0 };
	int found = fsx_read(unitfd, BLOCKS_NAME, BLOCKS_BYTES_MAX, &data, err);

	*blocks_r = (struct blocks){ 0 };
	if (found <= 0)
		return found;
	if (blocks_parse(buf_str(&data), data.len, blocks_r, err) < 0)
		return err_prefix(err, BLOCKS_NAME);
	return 1;
}
