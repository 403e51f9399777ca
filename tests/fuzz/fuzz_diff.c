/* Bytes as a description of a diff over a fixed base: what is applied has to be
 * what a plain model of it says, and is refused where the model says that the base
 * does not have it. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "bundle/bundle.h"
#include "fuzz.h"

#define FILES_MAX 8
#define RANGES_MAX 16
#define BASE_FILES 3

static const char *const base_names[BASE_FILES] = { "a", "b", "empty" };
static const size_t base_sizes[BASE_FILES] = { 10, 70000, 0 };

struct input {
	const unsigned char *data;
	size_t len;
};

/* A number of so many bytes; short at the end of the input. */
static unsigned take(struct input *input, unsigned bytes)
{
	unsigned value = 0;

	for (; bytes > 0 && input->len > 0; bytes--) {
		value = value << 8 | *input->data++;
		input->len--;
	}
	return value;
}

static char base_byte(size_t file, size_t offset)
{
	return (char)(offset * 7 + offset / 256 + file);
}

static int make_base(int top)
{
	int dirfd;

	need(mkdirat(top, "base", 0700) == 0);
	dirfd = openat(top, "base", O_RDONLY | O_DIRECTORY);
	need(dirfd >= 0);
	for (size_t i = 0; i < BASE_FILES; i++) {
		autobuf struct buf content = { 0 };
		int fd = openat(dirfd, base_names[i], O_WRONLY | O_CREAT, 0600);

		for (size_t at = 0; at < base_sizes[i]; at++)
			buf_putc(&content, base_byte(i, at));
		need(write(fd, buf_str(&content), content.len) == (ssize_t)content.len);
		close(fd);
	}
	return dirfd;
}

/* One file as it has to come out, and what of it is in the archive. */
struct model {
	struct buf content, packed;
};

/* false: the base does not have what it takes. */
static bool make_model(const struct bundle_file *file, size_t from, struct input *input,
		       struct model *model)
{
	struct bundle_range range = { .len = file->size_bytes };
	bool ok = !file->from || from < BASE_FILES;
	size_t next = 0;

	for (uint64_t at = 0; at < file->size_bytes; at++) {
		if (file->from && next < file->ranges.count &&
		    at == file->ranges.items[next].offset)
			range = file->ranges.items[next++];
		if ((!file->from || next > 0) && at - range.offset < range.len) {
			char c = (char)take(input, 1);

			buf_putc(&model->content, c);
			buf_putc(&model->packed, c);
		} else if (from < BASE_FILES && at < base_sizes[from]) {
			buf_putc(&model->content, base_byte(from, at));
		} else {
			ok = false;
		}
	}
	return ok;
}

static struct bundle_file take_file(struct input *input, size_t number, size_t *from_r)
{
	struct bundle_file file = { .name = xasprintf("f%zu", number), .mode = 0600 };
	uint64_t end = 0;

	file.size_bytes = take(input, 1) & 1 ? take(input, 3) % 100000 : take(input, 1);
	*from_r = take(input, 1) % (BASE_FILES + 2);
	if (*from_r > BASE_FILES)
		return file;
	file.from = xstrdup(*from_r < BASE_FILES ? base_names[*from_r] : "nowhere");
	for (unsigned i = take(input, 1) % RANGES_MAX; i > 0; i--) {
		uint64_t offset = end + take(input, 2), rest;

		if (offset >= file.size_bytes)
			break;
		rest = file.size_bytes - offset;
		rest = 1 + take(input, 2) % rest;
		vec_push(&file.ranges, ((struct bundle_range){ offset, rest }));
		end = offset + rest;
	}
	return file;
}

static la_ssize_t collect(struct archive *archive, void *ctx, const void *data, size_t len)
{
	(void)archive;
	buf_append(ctx, data, len);
	return (la_ssize_t)len;
}

static void put_entry(struct archive *archive, const char *name, const struct buf *content)
{
	struct archive_entry *entry = archive_entry_new();

	archive_entry_copy_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0600);
	archive_entry_set_size(entry, (la_int64_t)content->len);
	need(archive_write_header(archive, entry) == ARCHIVE_OK);
	if (content->len > 0)
		need(archive_write_data(archive, content->data, content->len) ==
		     (la_ssize_t)content->len);
	archive_entry_free(entry);
}

static void forge(const struct bundle_manifest *manifest, const struct model *models,
		  struct buf *out)
{
	struct archive *archive = archive_write_new();
	autobuf struct buf text = { 0 };

	archive_write_set_format_ustar(archive);
	archive_write_set_bytes_in_last_block(archive, 1);
	need(archive_write_open(archive, out, NULL, collect, NULL) == ARCHIVE_OK);
	bundle_manifest_write(manifest, &text);
	put_entry(archive, BUNDLE_MANIFEST_NAME, &text);
	for (size_t i = 0; i < manifest->files.count; i++)
		if (!manifest->files.items[i].from || manifest->files.items[i].ranges.count > 0)
			put_entry(archive, manifest->files.items[i].name, &models[i].packed);
	need(archive_write_close(archive) == ARCHIVE_OK);
	archive_write_free(archive);
}

static void apply(const struct buf *bundle, int top, int basefd,
		  const struct bundle_manifest *manifest, const struct model *models, bool ok)
{
	automanifest struct bundle_manifest back = { 0 };
	autospool struct spool *spool = spool_from(bundle->data, bundle->len);
	struct err err = { 0 };
	int dest;

	need(mkdirat(top, "dest", 0700) == 0);
	dest = openat(top, "dest", O_RDONLY | O_DIRECTORY);
	need(dest >= 0);
	need((bundle_apply(spool, basefd, dest, NULL, &back, &err) == 0) == ok);
	need(ok || (err.code == ERR_DATA && err.msg[0] != '\0'));
	for (size_t i = 0; ok && i < manifest->files.count; i++) {
		autobuf struct buf content = { 0 };

		need(fsx_read(dest, manifest->files.items[i].name, 1 << 20, &content, &err) == 1);
		need(content.len == models[i].content.len &&
		     memcmp(buf_str(&content), buf_str(&models[i].content), content.len) == 0);
	}
	close(dest);
	need(fsx_remove_tree(top, "dest", NULL) == 0);
}

static void fuzz(struct input *input, int top, int basefd)
{
	automanifest struct bundle_manifest manifest = {
		.type = BUNDLE_DIFF,
		.username = xstrdup("u"),
		.unit = xstrdup(""),
		.unit_id = xstrdup(""),
		.host = xstrdup("h"),
		.base = xstrdup("bundle.6553f100.1e240.00112233445566778899aabbccddeeff"),
	};
	struct model models[FILES_MAX] = { 0 };
	autobuf struct buf bundle = { 0 };
	bool ok = true;

	for (size_t i = take(input, 1) % FILES_MAX, n = 0; n < i; n++) {
		size_t from;

		vec_push(&manifest.files, take_file(input, n, &from));
		ok &= make_model(&manifest.files.items[n], from, input, &models[n]);
		hash_content(buf_str(&models[n].content), models[n].content.len,
			     manifest.files.items[n].digest);
	}
	forge(&manifest, models, &bundle);
	apply(&bundle, top, basefd, &manifest, models, ok);
	for (size_t i = 0; i < FILES_MAX; i++) {
		buf_free(&models[i].content);
		buf_free(&models[i].packed);
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	static int top = -1, basefd;

	if (top < 0) {
		top = scratch();
		basefd = make_base(top);
	}
	fuzz(&(struct input){ data, len }, top, basefd);
	return 0;
}
