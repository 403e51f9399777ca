/* Diffs: packed and applied, and refused when anything is not as announced. */
#include "archives.h"

#define BASE_NAME "bundle.6553f100.1e240.00112233445566778899aabbccddeeff"

/* Two directories: one with the base, one that a diff is applied in. */
struct world {
	struct scratch base, final;
};

static void world_open(struct world *world)
{
	scratch_open(&world->base);
	scratch_open(&world->final);
}

static void world_close(struct world *world)
{
	scratch_close(&world->base);
	scratch_close(&world->final);
}

static void put(int dirfd, const char *name, const void *data, size_t len)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static char *pattern(size_t len, unsigned seed)
{
	char *data = xmalloc(len + 1);
	uint64_t x = seed * UINT64_C(2654435761) + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		data[i] = (char)(x >> 56);
	}
	return data;
}

/* `now` as a source of a diff, with digests as the caller has to give them. */
static struct bundle_source from_base(const char *name, const char *from, const char *now,
				      size_t len, const struct bundle_range *ranges, size_t count)
{
	struct bundle_source source = source_of(name, now, len);
	autohash struct hash_content_stream *hash = hash_content_new();

	source.from = from;
	source.ranges = ranges;
	source.range_count = count;
	for (size_t i = 0; i < count; i++)
		hash_content_add(hash, now + ranges[i].offset, (size_t)ranges[i].len);
	hash_content_get(hash, source.ranges_digest);
	hash_content(now, len, source.digest);
	return source;
}

static struct bundle_manifest diff_manifest(void)
{
	struct bundle_manifest manifest = manifest_of("", "");

	manifest.type = BUNDLE_DIFF;
	manifest.base = xstrdup(BASE_NAME);
	return manifest;
}

/* ---- what comes back is what was ---- */

#define LOG ((size_t)5000)
#define CACHE ((size_t)20000)

/* `scale`: how much larger than that files and ranges are, so that they are streamed. */
static void round_trip(size_t scale, const char *compression)
{
	size_t log = LOG * scale, cache = CACHE * scale;
	struct bundle_range tail[] = { { log, 360 } };
	struct bundle_range blocks[] = { { 0, 100 * scale },
					 { 4096 * scale, 4096 * scale },
					 { cache - 1, 1 } };
	struct bundle_compression filter = { .name = compression };
	automanifest struct bundle_manifest manifest = diff_manifest(), back = { 0 };
	autospool struct spool *spool = spool_new("/tmp", 1 << 20);
	autofree char *base_log = pattern(log, 1), *base_cache = pattern(cache, 2);
	autofree char *now_log = pattern(log + 360, 3), *now_cache = pattern(cache, 4);
	autofree char *index = pattern(cache, 5);
	struct bundle_source sources[7];
	struct world world;
	struct err err = { 0 };
	struct stat st;

	world_open(&world);
	put(world.base.dest, "index", index, cache);
	put(world.base.dest, "log", base_log, log);
	put(world.base.dest, "cache", base_cache, cache);
	put(world.base.dest, "gone", "x", 1);
	memcpy(now_log, base_log, log);
	for (size_t i = 0, at = 0; i <= 3; i++) {
		size_t end = i < 3 ? blocks[i].offset : cache;

		memcpy(now_cache + at, base_cache + at, end - at);
		at = i < 3 ? blocks[i].offset + blocks[i].len : cache;
	}
	sources[0] = from_base("index", "index", index, cache, NULL, 0);
	close(sources[0].fd);
	sources[0].fd = -1; /* nothing of it is read */
	sources[1] = from_base("log.2", "log", now_log, log + 360, tail, 1);
	sources[2] = source_of("log", "a new log", 9);
	sources[3] = from_base("cache", "cache", now_cache, cache, blocks, 3);
	sources[4] = source_of("empty", "", 0);
	sources[5] = from_base("shorter", "log", base_log, 17, NULL, 0);
	sources[6] = from_base("other", "log", base_log, log, NULL, 0);
	sources[1].mode = 0640;
	sources[1].mtime_ns = -1;
	if (bundle_pack(&manifest, sources, 7, &filter, spool, &err) < 0 ||
	    bundle_apply(spool, world.base.dest, world.final.dest, NULL, &back, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(entries_of(world.final.dest), 7);
	assert_content(world.final.dest, "index", index, cache);
	assert_content(world.final.dest, "log.2", now_log, log + 360);
	assert_content(world.final.dest, "log", "a new log", 9);
	assert_content(world.final.dest, "cache", now_cache, cache);
	assert_content(world.final.dest, "empty", "", 0);
	assert_content(world.final.dest, "shorter", base_log, 17);
	assert_content(world.final.dest, "other", base_log, log);
	assert_int_equal(fstatat(world.final.dest, "log.2", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_mtim.tv_sec, -1);
	assert_int_equal(st.st_nlink, 1);
	/* The base is as it was, for another diff. */
	assert_int_equal(entries_of(world.base.dest), 4);
	assert_content(world.base.dest, "log", base_log, log);
	assert_int_equal(back.type, BUNDLE_DIFF);
	assert_string_equal(back.base, BASE_NAME);
	assert_string_equal(back.files.items[1].from, "log");
	assert_int_equal(back.files.items[3].ranges.count, 3);
	assert_null(back.files.items[2].from);
	world_close(&world);
	for (size_t i = 1; i < 7; i++)
		close(sources[i].fd);
}

static void test_round_trip(void **state)
{
	(void)state;
	round_trip(1, "none");
	round_trip(1, "zstd");
	round_trip(1200, "zstd"); /* more than is read at once */
}

static void test_nothing_left(void **state)
{
	automanifest struct bundle_manifest manifest = diff_manifest(), back = { 0 };
	autospool struct spool *spool = spool_new(NULL, 1 << 20);
	struct world world;
	struct err err = { 0 };

	(void)state;
	world_open(&world);
	put(world.base.dest, "gone", "x", 1);
	if (bundle_pack(&manifest, NULL, 0, NULL, spool, &err) < 0 ||
	    bundle_apply(spool, world.base.dest, world.final.dest, NULL, &back, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(entries_of(world.final.dest), 0);
	world_close(&world);
}

/* What the caller saw when it chose the ranges is not there any more. */
static void test_source_changes(void **state)
{
	static const size_t sizes[] = { 1000, BUNDLE_READ_ONCE + 1000 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		automanifest struct bundle_manifest manifest = diff_manifest();
		autospool struct spool *spool = spool_new("/tmp", 1 << 20);
		autofree char *data = pattern(sizes[i], 1);
		struct bundle_range range = { 10, sizes[i] - 10 };
		struct bundle_source source = from_base("a", "a", data, sizes[i], &range, 1);
		struct err err = { 0 };

		assert_int_equal(pwrite(source.fd, "X", 1, (off_t)sizes[i] - 1), 1);
		assert_int_equal(bundle_pack(&manifest, &source, 1, NULL, spool, &err), -1);
		assert_int_equal(err.code, ERR_BUSY);
		assert_true(err.again);
		assert_message(&err, "\"a\" changed while it was packed");
		assert_int_equal(ftruncate(source.fd, 11), 0);
		assert_int_equal(bundle_pack(&manifest, &source, 1, NULL, spool, &err), -1);
		assert_message(&err, "\"a\" became shorter");
		close(source.fd);
	}
}

static void test_blocks_of_sources(void **state)
{
	static const size_t sizes[] = { 0, 1, BUNDLE_BLOCK, 10000, BUNDLE_READ_ONCE, 300000 + 1 };

	(void)state;
	for (size_t count = 1; count <= 6; count++) { /* 5 and 6 are streamed */
		automanifest struct bundle_manifest manifest = manifest_of("", "");
		autospool struct spool *spool = spool_new("/tmp", 1 << 20);
		struct bundle_source sources[6];
		struct buf blocks[6] = { 0 };
		char *data[6], name[2] = "a";
		struct err err = { 0 };

		for (size_t i = 0; i < count; i++, name[0]++) {
			data[i] = pattern(sizes[i], (unsigned)i);
			sources[i] = source_of(xstrdup(name), data[i], sizes[i]);
			sources[i].blocks = &blocks[i];
		}
		if (bundle_pack(&manifest, sources, count, NULL, spool, &err) < 0)
			fail_msg("%s", err.msg);
		for (size_t i = 0; i < count; i++) {
			size_t n = (sizes[i] + BUNDLE_BLOCK - 1) / BUNDLE_BLOCK;
			unsigned char digest[HASH_CONTENT_SIZE];

			assert_int_equal(blocks[i].len, n * sizeof digest);
			for (size_t j = 0; j < n; j++) {
				size_t left = sizes[i] - j * BUNDLE_BLOCK;

				hash_content(data[i] + j * BUNDLE_BLOCK,
					     left < BUNDLE_BLOCK ? left : BUNDLE_BLOCK, digest);
				assert_memory_equal(blocks[i].data + j * sizeof digest, digest,
						    sizeof digest);
			}
			free((char *)(uintptr_t)sources[i].name);
			close(sources[i].fd);
			free(data[i]);
			buf_free(&blocks[i]);
		}
	}
}

/* ---- hostile ---- */

#define BASE_A "content a"
#define BASE_B "0123456789"
#define NOW_B "01XX456789end"
#define PACKED_B "XXend"

static void push_range(struct bundle_manifest *manifest, size_t file, uint64_t offset, uint64_t len)
{
	vec_push(&manifest->files.items[file].ranges, ((struct bundle_range){ offset, len }));
}

/* "a" is as in the base, "b" was changed and grew, "c" is new. */
static struct bundle_manifest abc_manifest(void)
{
	struct bundle_manifest manifest = diff_manifest();

	add_file(&manifest, "a", BASE_A, strlen(BASE_A));
	add_file(&manifest, "b", NOW_B, strlen(NOW_B));
	add_file(&manifest, "c", "new", 3);
	manifest.files.items[0].from = xstrdup("a");
	manifest.files.items[1].from = xstrdup("b");
	push_range(&manifest, 1, 2, 2);
	push_range(&manifest, 1, 10, 3);
	return manifest;
}

static void forge_abc(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "b", PACKED_B, strlen(PACKED_B));
	forge_file(forge, "c", "new", 3);
}

static void unchanged_is_there(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_a(forge);
}

static void unchanged_is_there_last(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_abc(forge, manifest);
	forge_a(forge);
}

static void ranges_too_long(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "b", PACKED_B "!", strlen(PACKED_B) + 1);
}

static void ranges_too_short(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "b", "XX", 2);
}

static void ranges_as_long_as_the_file(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "b", NOW_B, strlen(NOW_B));
}

static void ranges_changed(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "b", "XYend", 5);
}

static void ranges_missing(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "c", "new", 3);
}

static void ranges_twice(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_abc(forge, manifest);
	forge_file(forge, "b", PACKED_B, strlen(PACKED_B));
}

static void cut_short(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "b", PACKED_B, strlen(PACKED_B));
}

static void not_announced(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_abc(forge, manifest);
	forge_file(forge, "d", "x", 1);
}

static void empty_entry(struct forge *forge, struct bundle_manifest *manifest)
{
	manifest->files.items[1].ranges.count = 0;
	forge_manifest(forge, manifest);
	forge_file(forge, "b", "", 0);
}

static void link_in_archive(struct forge *forge, struct bundle_manifest *manifest)
{
	struct archive_entry *entry = forge_entry("b", 0);

	forge_manifest(forge, manifest);
	archive_entry_set_filetype(entry, AE_IFLNK);
	archive_entry_set_symlink(entry, "../../base/a");
	forge_put(forge, entry, NULL, 0);
}

static void wrong_digest_of_unchanged(struct forge *forge, struct bundle_manifest *manifest)
{
	manifest->files.items[0].digest[3] ^= 1;
	forge_abc(forge, manifest);
}

static void set_from(struct bundle_manifest *manifest, const char *from)
{
	free(manifest->files.items[0].from);
	manifest->files.items[0].from = xstrdup(from);
}

static void from_nowhere(struct forge *forge, struct bundle_manifest *manifest)
{
	set_from(manifest, "not there");
	forge_abc(forge, manifest);
}

static void from_outside(struct forge *forge, struct bundle_manifest *manifest)
{
	set_from(manifest, "../dest/a");
	forge_abc(forge, manifest);
}

static void from_root(struct forge *forge, struct bundle_manifest *manifest)
{
	set_from(manifest, "/etc/passwd");
	forge_abc(forge, manifest);
}

static void from_below(struct forge *forge, struct bundle_manifest *manifest)
{
	set_from(manifest, "sub/a");
	forge_abc(forge, manifest);
}

static void from_ours(struct forge *forge, struct bundle_manifest *manifest)
{
	set_from(manifest, ".state");
	forge_abc(forge, manifest);
}

static void from_link(struct forge *forge, struct bundle_manifest *manifest)
{
	set_from(manifest, "link");
	forge_abc(forge, manifest);
}

static void from_fifo(struct forge *forge, struct bundle_manifest *manifest)
{
	set_from(manifest, "fifo");
	forge_abc(forge, manifest);
}

static void from_directory(struct forge *forge, struct bundle_manifest *manifest)
{
	set_from(manifest, "directory");
	forge_abc(forge, manifest);
}

static void more_than_the_base_has(struct forge *forge, struct bundle_manifest *manifest)
{
	manifest->files.items[0].size_bytes++;
	forge_abc(forge, manifest);
}

static void hole_behind_the_base(struct forge *forge, struct bundle_manifest *manifest)
{
	manifest->files.items[1].ranges.items[1].offset = 12;
	manifest->files.items[1].size_bytes = 15;
	forge_abc(forge, manifest);
}

static void huge_behind_the_base(struct forge *forge, struct bundle_manifest *manifest)
{
	manifest->files.items[1].size_bytes = UINT64_C(63) << 30;
	forge_abc(forge, manifest);
}

static void over_the_limit(struct forge *forge, struct bundle_manifest *manifest)
{
	manifest->files.items[0].size_bytes = UINT64_C(65) << 30;
	forge_abc(forge, manifest);
}

static void a_base(struct forge *forge, struct bundle_manifest *manifest)
{
	automanifest struct bundle_manifest base = manifest_of("", "");

	(void)manifest;
	forge_manifest(forge, &base);
}

static void from_in_a_base(struct forge *forge, struct bundle_manifest *manifest)
{
	manifest->type = BUNDLE_BASE;
	free(manifest->base);
	manifest->base = NULL;
	forge_abc(forge, manifest);
}

static void on_a_diff(struct forge *forge, struct bundle_manifest *manifest)
{
	free(manifest->base);
	manifest->base = xstrdup(BASE_NAME "-00112233445566778899aabbccddeeff");
	forge_abc(forge, manifest);
}

static const struct {
	const char *name;
	forge_attack *attack;
	const char *says;
} attacks[] = {
	{ "unchanged, there", unchanged_is_there, "\"a\" is there, the manifest says that it is" },
	{ "unchanged, last", unchanged_is_there_last, "\"a\" is there, the manifest says" },
	{ "too long", ranges_too_long, "\"b\" has 6 bytes, the manifest says 5" },
	{ "too short", ranges_too_short, "\"b\" has 2 bytes, the manifest says 5" },
	{ "all", ranges_as_long_as_the_file, "\"b\" has 13 bytes, the manifest says 5" },
	{ "changed", ranges_changed, "\"b\" has a wrong digest" },
	{ "missing", ranges_missing, "\"b\" is missing before \"c\"" },
	{ "twice", ranges_twice, "\"b\" is there twice" },
	{ "cut short", cut_short, "\"c\" is missing" },
	{ "not announced", not_announced, "\"d\" is not in the manifest" },
	{ "empty entry", empty_entry, "\"b\" " },
	{ "link", link_in_archive, "\"b\" is a symbolic link" },
	{ "digest", wrong_digest_of_unchanged, "\"a\" has a wrong digest" },
	{ "from nowhere", from_nowhere, "the base has no \"not there\"" },
	{ "from outside", from_outside, "\"from\" \"../dest/a\" of \"a\" is not allowed" },
	{ "from root", from_root, "\"from\" \"/etc/passwd\" of \"a\" is not allowed" },
	{ "from below", from_below, "\"from\" \"sub/a\" is not allowed in this unit" },
	{ "from ours", from_ours, "\"from\" \".state\" of \"a\" is not allowed" },
	{ "from link", from_link, "open \"link\" of the base: " },
	{ "from fifo", from_fifo, "\"fifo\" of the base is no file" },
	{ "from directory", from_directory, "\"directory\" of the base is no file" },
	{ "more than base", more_than_the_base_has,
	  "\"a\" goes on with byte 9 of \"a\", which the base does not have" },
	{ "hole", hole_behind_the_base,
	  "\"b\" goes on with byte 10 of \"b\", which the base does not have" },
	{ "huge", huge_behind_the_base,
	  "\"b\" goes on with byte 13 of \"b\", which the base does not have" },
	{ "limit", over_the_limit, "unpacks to more than the limit of 68719476736 bytes" },
	{ "a base", a_base, "a base, where a diff is expected" },
	{ "from in a base", from_in_a_base, "\"a\" has a \"from\", but this is no diff" },
	{ "on a diff", on_a_diff, "\"base\" can't be " },
};

static int forge_apply(struct forge *forge, const struct world *world, struct err *err)
{
	automanifest struct bundle_manifest manifest = { 0 };
	autospool struct spool *spool = NULL;
	int ret;

	forge_close(forge);
	spool = spool_from(forge->out.data, forge->out.len);
	ret = bundle_apply(spool, world->base.dest, world->final.dest, NULL, &manifest, err);
	if (ret < 0)
		assert_null(manifest.username);
	return ret;
}

static void world_open_ab(struct world *world)
{
	world_open(world);
	put(world->base.dest, "a", BASE_A, strlen(BASE_A));
	put(world->base.dest, "b", BASE_B, strlen(BASE_B));
	put(world->base.dest, ".state", BASE_A, strlen(BASE_A));
	assert_int_equal(symlinkat("a", world->base.dest, "link"), 0);
	assert_int_equal(mkfifoat(world->base.dest, "fifo", 0600), 0);
	assert_int_equal(mkdirat(world->base.dest, "directory", 0700), 0);
}

/* What the attacks are made of is taken without them. */
static void test_good(void **state)
{
	automanifest struct bundle_manifest manifest = abc_manifest();
	autoforge struct forge forge;
	struct world world;
	struct err err = { 0 };

	(void)state;
	world_open_ab(&world);
	forge_open(&forge, NULL);
	forge_abc(&forge, &manifest);
	if (forge_apply(&forge, &world, &err) < 0)
		fail_msg("%s", err.msg);
	assert_content(world.final.dest, "b", NOW_B, strlen(NOW_B));
	world_close(&world);
}

static void test_attacks(void **state)
{
	struct world world;

	(void)state;
	world_open_ab(&world);
	for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
		automanifest struct bundle_manifest manifest = abc_manifest();
		autoforge struct forge forge;
		struct err err = { 0 };

		forge_open(&forge, i % 2 ? archive_write_add_filter_zstd : NULL);
		attacks[i].attack(&forge, &manifest);
		if (forge_apply(&forge, &world, &err) == 0)
			fail_msg("%s: was taken", attacks[i].name);
		/* The base's link is refused as the disk's fault, not the bundle's. */
		if (err.code != ERR_DATA && attacks[i].attack != from_link)
			fail_msg("%s: code %d, %s", attacks[i].name, (int)err.code, err.msg);
		if (!strstr(err.msg, attacks[i].says))
			fail_msg("%s: %s", attacks[i].name, err.msg);
		scratch_again(&world.final);
	}
	assert_content(world.base.dest, "b", BASE_B, strlen(BASE_B));
	world_close(&world);
}

/* Not the base that it was made on. */
static void test_other_base(void **state)
{
	static const struct {
		const char *a, *b, *says;
	} bases[] = {
		{ "Content a", BASE_B, "\"a\" has a wrong digest" },
		{ BASE_A, "0123456780", "\"b\" has a wrong digest" },
		{ BASE_A, "012345678", "\"b\" goes on with byte 9 of \"b\"" },
		{ NULL, BASE_B, "the base has no \"a\"" },
		{ BASE_A, "01??456789 longer", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
		automanifest struct bundle_manifest manifest = abc_manifest();
		autoforge struct forge forge;
		struct world world;
		struct err err = { 0 };

		world_open(&world);
		if (bases[i].a)
			put(world.base.dest, "a", bases[i].a, strlen(bases[i].a));
		put(world.base.dest, "b", bases[i].b, strlen(bases[i].b));
		forge_open(&forge, NULL);
		forge_abc(&forge, &manifest);
		assert_int_equal(forge_apply(&forge, &world, &err), bases[i].says ? -1 : 0);
		if (bases[i].says) {
			assert_int_equal(err.code, ERR_DATA);
			assert_message(&err, bases[i].says);
		}
		world_close(&world);
	}
}

/* A damaged diff is refused at every length, and with every bit flipped. */
static void test_damaged(void **state)
{
	automanifest struct bundle_manifest manifest = abc_manifest();
	autoforge struct forge forge;
	struct world world;

	(void)state;
	world_open_ab(&world);
	forge_open(&forge, archive_write_add_filter_zstd);
	forge_abc(&forge, &manifest);
	forge_close(&forge);
	for (size_t len = 0; len < forge.out.len; len++) {
		automanifest struct bundle_manifest back = { 0 };
		autospool struct spool *spool = spool_from(forge.out.data, len);
		struct err err = { 0 };

		assert_int_equal(
			bundle_apply(spool, world.base.dest, world.final.dest, NULL, &back, &err),
			-1);
		assert_int_equal(err.code, ERR_DATA);
		scratch_empty(&world.final);
	}
	world_close(&world);
}

/* ---- how small it is ---- */

/* Ten flags in a folder of 3,000 mails: the log grew by 360 bytes, dovecot.index
 * was rewritten but the log leads there from the base's, the cache is untouched. */
static void test_flag_flip(void **state)
{
	enum { INDEX = 60000, BASE_LOG = 24000, TAIL = 360, CACHE_SIZE = 1700000 };
	struct bundle_range tail = { BASE_LOG, TAIL };
	automanifest struct bundle_manifest manifest = diff_manifest(), back = { 0 };
	autospool struct spool *spool = spool_new(NULL, 1 << 20);
	autofree char *index = pattern(INDEX, 1), *log = pattern(BASE_LOG + TAIL, 2);
	autofree char *cache = pattern(CACHE_SIZE, 3), *old = pattern(30000, 4);
	struct bundle_source sources[4];
	struct world world;
	struct err err = { 0 };

	(void)state;
	world_open(&world);
	put(world.base.dest, "dovecot.index", index, INDEX);
	put(world.base.dest, "dovecot.index.cache", cache, CACHE_SIZE);
	put(world.base.dest, "dovecot.index.log", log, BASE_LOG);
	put(world.base.dest, "dovecot.index.log.2", old, 30000);
	free(manifest.unit);
	free(manifest.unit_id);
	manifest.unit = xstrdup("mailboxes/" FOLDER_ID);
	manifest.unit_id = xstrdup(FOLDER_ID);
	for (int i = 0; i < 3; i++)
		vec_push(&manifest.includes,
			 xstrdup(BASE_NAME "-fedcba98765432100123456789abcdef"));
	sources[0] = from_base("dovecot.index", "dovecot.index", index, INDEX, NULL, 0);
	sources[1] =
		from_base("dovecot.index.cache", "dovecot.index.cache", cache, CACHE_SIZE, NULL, 0);
	sources[2] =
		from_base("dovecot.index.log", "dovecot.index.log", log, BASE_LOG + TAIL, &tail, 1);
	sources[3] = from_base("dovecot.index.log.2", "dovecot.index.log.2", old, 30000, NULL, 0);
	if (bundle_pack(&manifest, sources, 4, NULL, spool, &err) < 0 ||
	    bundle_apply(spool, world.base.dest, world.final.dest, NULL, &back, &err) < 0)
		fail_msg("%s", err.msg);
	assert_content(world.final.dest, "dovecot.index", index, INDEX);
	assert_content(world.final.dest, "dovecot.index.log", log, BASE_LOG + TAIL);
	if (spool_size(spool) > 1536)
		fail_msg("%llu bytes", (unsigned long long)spool_size(spool));
	world_close(&world);
	for (size_t i = 0; i < 4; i++)
		close(sources[i].fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_source_changes), cmocka_unit_test(test_blocks_of_sources),
		cmocka_unit_test(test_good),           cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_other_base),     cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_flag_flip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
