/* A scratch directory, a bundle made by bundle_pack(), and archives made by hand
 * with libarchive, for the tests of lib/bundle. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "bundle/bundle.h"

#define BASE_TIME_NS INT64_C(1700000000123456789)
#define FOLDER_ID "0123456789abcdef0123456789abcdef"

struct scratch {
	char path[64];
	int top; /* holds "dest" and, once an attack worked, more */
	int dest;
};

static inline void scratch_open(struct scratch *scratch)
{
	strcpy(scratch->path, "/tmp/bundle-test-XXXXXX");
	assert_non_null(mkdtemp(scratch->path));
	scratch->top = open(scratch->path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(scratch->top, "dest", 0700), 0);
	scratch->dest = openat(scratch->top, "dest", O_RDONLY | O_DIRECTORY);
	assert_true(scratch->dest >= 0);
}

static inline size_t entries_of(int dirfd)
{
	autodir struct fsx_dir dir;
	struct fsx_entry entry;
	size_t count = 0;

	fsx_dir_open(&dir, openat(dirfd, ".", O_RDONLY | O_DIRECTORY));
	while (fsx_dir_next(&dir, &entry) > 0)
		count++;
	return count;
}

/* Nothing but "dest" may have come into being beside it. */
static inline void scratch_close(struct scratch *scratch)
{
	const char *name = strrchr(scratch->path, '/') + 1;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	assert_int_equal(entries_of(scratch->top), 1);
	close(scratch->dest);
	close(scratch->top);
	assert_int_equal(fsx_remove_tree(tmp, name, NULL), 0);
	close(tmp);
}

/* Ready for the next one: nothing is in "dest" any more. */
static inline void scratch_empty(struct scratch *scratch)
{
	autodir struct fsx_dir dir;
	struct fsx_entry entry;

	fsx_dir_open(&dir, openat(scratch->dest, ".", O_RDONLY | O_DIRECTORY));
	while (fsx_dir_next(&dir, &entry) > 0)
		assert_int_equal(fsx_remove_tree(scratch->dest, entry.name, NULL), 0);
	assert_int_equal(entries_of(scratch->top), 1);
}

static inline void scratch_again(struct scratch *scratch)
{
	scratch_close(scratch);
	scratch_open(scratch);
}

/* A source whose content is in an unnamed file. */
static inline struct bundle_source source_of(const char *name, const void *data, size_t len)
{
	struct bundle_source source = { .name = name, .mode = 0600, .size_bytes = len };

	source.mtime_ns = BASE_TIME_NS + 1;
	source.fd = memfd_create("source", MFD_CLOEXEC);
	assert_true(source.fd >= 0);
	assert_int_equal(pwrite(source.fd, data, len, 0), (ssize_t)len);
	return source;
}

static inline struct bundle_manifest manifest_of(const char *unit, const char *unit_id)
{
	return (struct bundle_manifest){
		.type = BUNDLE_BASE,
		.username = xstrdup("user@example.com"),
		.unit = xstrdup(unit),
		.unit_id = xstrdup(unit_id),
		.host = xstrdup("backend-1"),
		.created_ns = BASE_TIME_NS,
	};
}

static inline void add_file(struct bundle_manifest *manifest, const char *name, const void *data,
			    size_t len)
{
	struct bundle_file file = { .name = xstrdup(name), .size_bytes = len, .mode = 0600 };

	file.mtime_ns = BASE_TIME_NS;
	hash_content(data, len, file.digest);
	vec_push(&manifest->files, file);
}

/* The content of a file in dirfd, as text. */
static inline void assert_content(int dirfd, const char *name, const void *data, size_t len)
{
	autobuf struct buf content = { 0 };
	struct err err = { 0 };

	if (fsx_read(dirfd, name, 64 * 1024 * 1024, &content, &err) != 1)
		fail_msg("%s: %s", name, err.msg);
	assert_int_equal(content.len, len);
	if (len > 0)
		assert_memory_equal(content.data, data, len);
}

static inline void assert_message(const struct err *err, const char *part)
{
	if (!strstr(err->msg, part))
		fail_msg("\"%s\" does not say \"%s\"", err->msg, part);
}
