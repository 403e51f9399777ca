/* A bundle: one unit's files packed into one object.
 *
 * It is a pax tar with a compression filter around it, so that `tar -xf` opens a
 * base anywhere. The first entry is the manifest (JSON, BUNDLE_MANIFEST_NAME):
 * what the bundle is, what it builds on, and for each file its mode, size,
 * modification time and digest. Everything after it must be just what the
 * manifest announces, in its order, or the bundle is refused whole.
 *
 * A diff names all files that the unit has, too, but brings only what its base
 * does not have: a file is whole, or that of the base with pieces of it written
 * over or appended. A file of the base that a diff doesn't name is gone. Diffs
 * are cumulative: each builds on a base, never on another diff.
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
#include "bundle/bundle_gone.h"

#define BUNDLE_MANIFEST_NAME ".manifest.json"
#define BUNDLE_FORMAT_VERSION 1
#define BUNDLE_MANIFEST_MAX ((size_t)16 * 1024 * 1024) /* bytes; a larger one is refused */
#define BUNDLE_FILES_MAX 100000
#define BUNDLE_RANGES_MAX 65536 /* of one file */

enum bundle_type {
	BUNDLE_BASE, /* the whole unit */
	BUNDLE_DIFF, /* what changed since `base` */
};

struct bundle_range {
	uint64_t offset, len;
};
VEC(bundle_range_vec, struct bundle_range);

/* One file of the unit. `name` is relative to the unit's directory; only an FTS
 * unit has names with slashes. */
struct bundle_file {
	char *name;
	uint64_t size_bytes;
	int64_t mtime_ns;
	unsigned mode; /* permission bits only */
	unsigned char digest[HASH_CONTENT_SIZE];
	/* Only in a diff: which file of the base (this name or another) has the content,
	 * offset by offset, but for `ranges`. These come in the archive, one after the
	 * other. Sorted, apart, none empty or beyond size_bytes; what is outside of them
	 * the base must have. NULL: all of the content is in the archive. */
	char *from;
	struct bundle_range_vec ranges;
};
VEC(bundle_file_vec, struct bundle_file);

/* How much of the file's content is in the archive. */
uint64_t bundle_file_packed_bytes(const struct bundle_file *file);

struct bundle_manifest {
	enum bundle_type type;
	char *username;
	char *unit;         /* path below home: "" is the root unit, "mailboxes/<guid>", ".Foo" */
	char *unit_id;      /* 32 hex of a folder, "" of the root, "fts" or "fts.<directory>" */
	char *host;         /* who wrote it */
	char *base;         /* object name of the base a diff builds on, else NULL */
	int64_t created_ns; /* UNIX time */
	struct str_vec includes;     /* object names that this one supersedes */
	struct bundle_gone_vec gone; /* root unit: folder units that were deleted or renamed */
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

#define BUNDLE_BLOCK ((size_t)4096) /* what `blocks` has hashes of; the last may be shorter */

/* A file to pack: read with pread from `fd`, just `size_bytes` from the start
 * (the file may have grown since), never more. */
struct bundle_source {
	const char *name;
	int fd;
	uint64_t size_bytes;
	int64_t mtime_ns;
	unsigned mode;
	struct buf *blocks; /* if not NULL: gets the hash_content() of each block; only where
			       `from` is NULL */

	/* In a diff, as in bundle_file; all borrowed. With `from` set only the ranges are
	 * read (none: nothing, and `fd` may be -1), and the digests are the caller's: of
	 * the whole content, and of the ranges' bytes one after the other. */
	const char *from;
	const struct bundle_range *ranges;
	size_t range_count;
	unsigned char digest[HASH_CONTENT_SIZE];
	unsigned char ranges_digest[HASH_CONTENT_SIZE];
};

struct bundle_compression {
	const char *name; /* "zstd" (also NULL or ""), "gz", "lz4", "none" */
	int level;        /* 0: 3 for zstd, else the filter's default */
};

/* Pack a base or a diff, as manifest->type says. `manifest` comes with everything
 * but `files`, which this fills in (sizes, digests). The bundle is appended to
 * `out`. A file that got shorter than its size, or whose content changed between
 * hashing and packing, is ERR_BUSY with `again`: the caller takes a new copy. If at
 * most BUNDLE_READ_ONCE bytes go into the archive each is read once, else those of
 * whole files are read twice. */
#define BUNDLE_READ_ONCE ((size_t)4 * 1024 * 1024)
int bundle_pack(struct bundle_manifest *manifest, const struct bundle_source *sources,
		size_t source_count, const struct bundle_compression *compression,
		struct spool *out, struct err *err);

/* ---- unpacking ---- */

struct bundle_limits {
	uint64_t total_bytes_max; /* 0: 64 GiB; sum of the files' final sizes */
	unsigned depth_max;       /* components of a name: 1 for root and folder units */
};

/* Read and check the manifest only. */
int bundle_read_manifest(const struct spool *in, struct bundle_manifest *manifest_r,
			 struct err *err);

/* Unpack into the empty directory `dirfd`: each file is created with O_EXCL and
 * no link followed, with its mode, modification time, and checked against the manifest as it is
 * written. Anything unexpected (another entry type, a name that is not announced
 * or twice, a size or digest that differs, a missing file, data after the end, a
 * truncated or unknown stream, a diff) is ERR_DATA, and says what; the directory's
 * content is then to be thrown away by the caller. Nothing is fsynced: a host that
 * crashes throws its cache away. */
int bundle_unpack(const struct spool *in, int dirfd, const struct bundle_limits *limits,
		  struct bundle_manifest *manifest_r, struct err *err);

/* The same for a diff: into the empty directory `dirfd`, from the diff and the base
 * that was unpacked into `basefd`. That stays as it is: the files made are copies
 * (a reader has to see every byte anyway, for its digest). A base that does not
 * have what the diff takes from it is ERR_DATA, as is one that gives a wrong
 * digest; that manifest_r->base names this base is for the caller to check. */
int bundle_apply(const struct spool *in, int basefd, int dirfd, const struct bundle_limits *limits,
		 struct bundle_manifest *manifest_r, struct err *err);
