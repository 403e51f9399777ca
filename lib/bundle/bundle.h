/* A bundle: one unit's files packed into one object.
 *
 * It is a pax tar with a compression filter around it, so that `tar -xf` opens a
 * base anywhere. The first entry is the manifest (JSON, BUNDLE_MANIFEST_NAME):
 * what the bundle is, what it builds on, and for each file its mode, size,
 * modification time and digest. Everything after it must be just what the
 * manifest announces, in its order, or the bundle is refused whole.
 *
 * The names of objects follow Dovecot's obox layout ("bundle.<secs>.<usecs>.<unique>",
 * diffs "<base>-<unique>"); see bundle_name.h. Bytes never come from or go to a
 * store here: a bundle is packed into and unpacked from a spool. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/spool.h"
#include "base/vec.h"

#define BUNDLE_MANIFEST_NAME ".manifest.json"
#define BUNDLE_FORMAT_VERSION 1
#define BUNDLE_MANIFEST_MAX ((size_t)16 * 1024 * 1024) /* bytes; a larger one is refused */
#define BUNDLE_FILES_MAX 100000

enum bundle_type {
	BUNDLE_BASE, /* the whole unit */
	BUNDLE_DIFF, /* what changed since `base`; reserved: reading one says "a diff" (ERR_DATA) */
};

/* One file of the unit. `name` is relative to the unit's directory; only an FTS
 * unit has names with slashes. */
struct bundle_file {
	char *name;
	uint64_t size_bytes;
	int64_t mtime_ns;
	unsigned mode; /* permission bits only */
	unsigned char digest[HASH_CONTENT_SIZE];
};
VEC(bundle_file_vec, struct bundle_file);

struct bundle_manifest {
	enum bundle_type type;
	char *username;
	char *unit;         /* path below home: "" is the root unit, "mailboxes/<guid>", ".Foo" */
	char *unit_id;      /* 32 hex of a folder, "" of the root, "fts" of the FTS unit */
	char *host;         /* who wrote it */
	char *base;         /* object name of the base a diff builds on, else NULL */
	int64_t created_ns; /* UNIX time */
	struct str_vec includes; /* object names that this one supersedes */
	struct str_vec gone;     /* root unit: ids of folder units that were deleted or renamed */
	struct bundle_file_vec files;
};
void bundle_manifest_free(struct bundle_manifest *manifest);
#define automanifest CLEANUP(bundle_manifest_free)

/* Whether a name may be in a bundle at all: relative, no empty, "." or ".."
 * component, UTF-8 without control characters, at most 1024 bytes (255 a component)
 * and `depth_max` components, none of which is a name of our own (.state,
 * .state.blocks, the manifest). */
bool bundle_name_allowed(const char *name, unsigned depth_max);

/* Manifest as text and back. Reading checks every member: type, range, names,
 * duplicates, number of files; -1 ERR_DATA says which member. Unknown members
 * are passed over: fields are only ever added; a higher `version` is refused.
 * Writing takes one that was checked (bundle_pack() does). After -1, here and
 * below, the manifest is empty. */
void bundle_manifest_write(const struct bundle_manifest *manifest, struct buf *out);
int bundle_manifest_read(const char *text, size_t len, struct bundle_manifest *manifest_r,
			 struct err *err);

/* ---- packing ---- */

/* A file to pack: read with pread from `fd`, just `size_bytes` from the start
 * (the file may have grown since), never more. */
struct bundle_source {
	const char *name;
	int fd;
	uint64_t size_bytes;
	int64_t mtime_ns;
	unsigned mode;
};

struct bundle_compression {
	const char *name; /* "zstd" (also NULL or ""), "gz", "lz4", "none" */
	int level;        /* 0: 3 for zstd, else the filter's default */
};

/* Pack a base. `manifest` comes with everything but `files`, which this fills in
 * (sizes, digests). The bundle is appended to `out`. A file that got shorter than
 * its size, or whose content changed between hashing and packing, is ERR_BUSY
 * with `again`: the caller takes a new copy. Sources of at most
 * BUNDLE_READ_ONCE bytes in all are read once, larger ones twice. */
#define BUNDLE_READ_ONCE ((size_t)4 * 1024 * 1024)
int bundle_pack(struct bundle_manifest *manifest, const struct bundle_source *sources,
		size_t source_count, const struct bundle_compression *compression,
		struct spool *out, struct err *err);

/* ---- unpacking ---- */

struct bundle_limits {
	uint64_t total_bytes_max; /* 0: 64 GiB; sum of the files' sizes */
	unsigned depth_max;       /* components of a name: 1 for root and folder units */
};

/* Read and check the manifest only. */
int bundle_read_manifest(const struct spool *in, struct bundle_manifest *manifest_r,
			 struct err *err);

/* Unpack into the empty directory `dirfd`: each file is created with O_EXCL and
 * no link followed, with its mode, modification time, and checked against the manifest as it is
 * written. Anything unexpected (another entry type, a name that is not announced
 * or twice, a size or digest that differs, a missing file, data after the end, a
 * truncated or unknown stream) is ERR_DATA, and says what; the directory's content is
 * then to be thrown away by the caller. Nothing is fsynced: a host that crashes
 * throws its cache away. */
int bundle_unpack(const struct spool *in, int dirfd, const struct bundle_limits *limits,
		  struct bundle_manifest *manifest_r, struct err *err);
