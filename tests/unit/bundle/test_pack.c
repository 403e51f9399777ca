#include "fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/buf.h"

static char *pattern(size_t len, unsigned seed)
{
	char *data = xmalloc(len + 1);
	uint64_t x = seed * UINT64_C(2654435761) + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		data[i] = (i / 1000) % 2 ? (char)(x >> 56) : (char)seed;
	}
	return data;
}

struct packed {
	struct bundle_source sources[4];
	char *data[4];
	size_t lens[4];
	size_t count;
};

static const char *const names[] = { "dovecot.index", "dovecot.index.log", "empty",
				     "dovecot.index.cache" };

static void sources_make(struct packed *packed, size_t large)
{
	const size_t lens[] = { 1000, 70000, 0, large };

	packed->count = 4;
	for (size_t i = 0; i < 4; i++) {
		packed->lens[i] = lens[i];
		packed->data[i] = pattern(lens[i], (unsigned)i + 1);
		packed->sources[i] = source_of(names[i], packed->data[i], lens[i]);
	}
	packed->sources[1].mode = 0640;
	packed->sources[1].mtime_ns = -1; /* a file from before 1970 */
}

static void sources_free(struct packed *packed)
{
	for (size_t i = 0; i < packed->count; i++) {
		close(packed->sources[i].fd);
		free(packed->data[i]);
	}
}

static struct spool *pack(struct packed *packed, const struct bundle_compression *compression)
{
	automanifest struct bundle_manifest manifest =
		manifest_of("mailboxes/" FOLDER_ID, FOLDER_ID);
	struct spool *spool = spool_new("/tmp", 1024 * 1024);
	struct err err = { 0 };

	if (bundle_pack(&manifest, packed->sources, packed->count, compression, spool, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(manifest.files.count, packed->count);
	return spool;
}

static void check_unpacked(struct packed *packed, int dirfd)
{
	struct stat st;

	for (size_t i = 0; i < packed->count; i++) {
		assert_content(dirfd, names[i], packed->data[i], packed->lens[i]);
		assert_int_equal(fstatat(dirfd, names[i], &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, packed->sources[i].mode);
		assert_int_equal(st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
				 packed->sources[i].mtime_ns);
	}
	assert_int_equal(entries_of(dirfd), packed->count);
}

static void round_trip(const struct bundle_compression *compression, size_t large)
{
	automanifest struct bundle_manifest manifest = { 0 };
	automanifest struct bundle_manifest alone = { 0 };
	autospool struct spool *spool = NULL;
	struct packed packed;
	struct scratch scratch;
	struct err err = { 0 };

	sources_make(&packed, large);
	scratch_open(&scratch);
	spool = pack(&packed, compression);
	if (bundle_unpack(spool, scratch.dest, NULL, &manifest, &err) < 0)
		fail_msg("%s: %s", compression ? compression->name : "default", err.msg);
	check_unpacked(&packed, scratch.dest);
	assert_string_equal(manifest.username, "user@example.com");
	assert_string_equal(manifest.unit_id, FOLDER_ID);
	assert_int_equal(manifest.created_ns, BASE_TIME_NS);
	assert_int_equal(bundle_read_manifest(spool, &alone, &err), 0);
	assert_int_equal(alone.files.count, packed.count);
	scratch_close(&scratch);
	sources_free(&packed);
}

static void test_round_trip(void **state)
{
	static const struct bundle_compression table[] = {
		{ NULL, 0 }, { "", 0 },   { "zstd", 0 }, { "zstd", 9 },
		{ "gz", 0 }, { "gz", 1 }, { "lz4", 0 },  { "none", 0 },
	};

	(void)state;
	round_trip(NULL, 5000);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		round_trip(&table[i], 5000);
		round_trip(&table[i], BUNDLE_READ_ONCE + 12345); /* streamed, and on disk */
	}
}

static void test_deterministic(void **state)
{
	autospool struct spool *a = NULL, *b = NULL;
	struct packed packed;

	(void)state;
	sources_make(&packed, 5000);
	a = pack(&packed, NULL);
	b = pack(&packed, NULL);
	assert_int_equal(spool_size(a), spool_size(b));
	assert_memory_equal(spool_memory(a), spool_memory(b), spool_size(a));
	sources_free(&packed);
}

/* No padding: manifest, its header and two blocks at the end are all there is. */
static void test_no_padding(void **state)
{
	static const struct bundle_compression none = { "none", 0 };
	autospool struct spool *spool = NULL;
	struct packed packed = { .count = 0 };

	(void)state;
	spool = pack(&packed, &none);
	assert_int_equal(spool_size(spool), 512 + 512 + 1024);
}

static void test_bad_compression(void **state)
{
	static const struct {
		struct bundle_compression compression;
		const char *says;
	} table[] = {
		{ { "bzip2", 0 }, "unknown compression \"bzip2\" (there are zstd, gz, lz4, none)" },
		{ { "zstd", 99 }, "zstd has no compression level 99" },
		{ { "gz", 10 }, "gz has no compression level 10" },
	};
	struct packed packed;

	(void)state;
	sources_make(&packed, 10);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		automanifest struct bundle_manifest manifest = manifest_of("", "");
		autospool struct spool *spool = spool_new(NULL, 1 << 20);
		struct err err = { 0 };

		assert_int_equal(bundle_pack(&manifest, packed.sources, packed.count,
					     &table[i].compression, spool, &err),
				 -1);
		assert_int_equal(err.code, ERR_CONFIG);
		assert_string_equal(err.msg, table[i].says);
	}
	sources_free(&packed);
}

static void refuse_pack(const struct bundle_source *sources, size_t count, struct spool *spool,
			enum err_code code, const char *says)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");
	struct err err = { 0 };

	assert_int_equal(bundle_pack(&manifest, sources, count, NULL, spool, &err), -1);
	assert_int_equal(err.code, code);
	assert_message(&err, says);
	assert_int_equal(err.again, code == ERR_BUSY);
}

static void test_source_shrinks(void **state)
{
	autospool struct spool *spool = spool_new("/tmp", 1 << 20);
	struct packed packed;

	(void)state;
	sources_make(&packed, 1000);
	packed.sources[1].size_bytes++;
	refuse_pack(packed.sources, packed.count, spool, ERR_BUSY,
		    "\"dovecot.index.log\" became shorter while it was packed");
	sources_free(&packed);
	sources_make(&packed, BUNDLE_READ_ONCE + 1);
	packed.sources[3].size_bytes++;
	refuse_pack(packed.sources, packed.count, spool, ERR_BUSY,
		    "\"dovecot.index.cache\" became shorter while it was packed");
	sources_free(&packed);
}

/* A file that grows is packed as it was. */
static void test_source_grows(void **state)
{
	automanifest struct bundle_manifest manifest = { 0 };
	autospool struct spool *spool = NULL;
	struct packed packed;
	struct scratch scratch;

	(void)state;
	sources_make(&packed, 1000);
	scratch_open(&scratch);
	assert_int_equal(pwrite(packed.sources[0].fd, "more", 4, 1000), 4);
	spool = pack(&packed, NULL);
	assert_int_equal(bundle_unpack(spool, scratch.dest, NULL, &manifest, NULL), 0);
	check_unpacked(&packed, scratch.dest);
	scratch_close(&scratch);
	sources_free(&packed);
}

static void test_refused_sources(void **state)
{
	static const struct {
		const char *name[2];
		const char *says;
	} table[] = {
		{ { "../x", "b" }, "file name \"../x\" is not allowed" },
		{ { "/x", "b" }, "file name \"/x\" is not allowed" },
		{ { ".state", "b" }, "file name \".state\" is not allowed" },
		{ { "b\xff", "b" }, "is not allowed" },
		{ { "b", "b" }, "file \"b\" is there twice" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		autospool struct spool *spool = spool_new(NULL, 1 << 20);
		struct bundle_source sources[] = { source_of(table[i].name[0], "x", 1),
						   source_of(table[i].name[1], "y", 1) };

		refuse_pack(sources, 2, spool, ERR_DATA, table[i].says);
		assert_int_equal(spool_size(spool), 0);
		close(sources[0].fd);
		close(sources[1].fd);
	}
}

/* The spool's own reason comes through, and libarchive's end writes nothing more. */
static void test_spool_full(void **state)
{
	autospool struct spool *spool = spool_new(NULL, 64 * 1024);
	struct packed packed;

	(void)state;
	sources_make(&packed, 3000000);
	refuse_pack(packed.sources, packed.count, spool, ERR_DATA, "more than 65536 bytes");
	sources_free(&packed);
}

/* Content that changes between hashing and packing: the descriptor is read twice,
 * and the spool's growth tells when the second pass has begun. */
static void test_source_changes(void **state)
{
	autospool struct spool *spool = spool_new("/tmp", 1 << 20);
	struct packed packed;
	char path[64];
	int status;
	pid_t child;

	(void)state;
	sources_make(&packed, BUNDLE_READ_ONCE + 1);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), packed.sources[3].fd);
	child = fork();
	if (child == 0) {
		/* Never the same content for long, until the parent is done with it. */
		for (unsigned char c = 0; getppid() != 1; c++)
			if (pwrite(packed.sources[3].fd, &c, 1, 5000) != 1)
				_exit(1);
		_exit(0);
	}
	assert_true(child > 0);
	for (int tries = 0; tries < 200; tries++) {
		automanifest struct bundle_manifest manifest = manifest_of("", "");
		struct err err = { 0 };

		spool_reset(spool);
		if (bundle_pack(&manifest, packed.sources, packed.count, NULL, spool, &err) == 0)
			continue;
		assert_int_equal(err.code, ERR_BUSY);
		assert_true(err.again);
		assert_string_equal(err.msg, "\"dovecot.index.cache\" changed while it was packed");
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		sources_free(&packed);
		return;
	}
	kill(child, SIGKILL);
	fail_msg("no change was seen");
}

static bool have(const char *program)
{
	autofree char *command = xasprintf("command -v %s >/dev/null 2>&1", program);

	return system(command) == 0;
}

static void test_opens_with_tar(void **state)
{
	static const struct {
		struct bundle_compression compression;
		const char *program;
	} table[] = { { { "zstd", 0 }, "zstd" },
		      { { "gz", 0 }, "gzip" },
		      { { "lz4", 0 }, "lz4" },
		      { { "none", 0 }, "tar" } };
	struct packed packed;

	(void)state;
	if (!have("tar"))
		skip();
	sources_make(&packed, 100000);
	packed.sources[1].mtime_ns = BASE_TIME_NS; /* tar has a word to say on 1969 */
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		autospool struct spool *spool = NULL;
		autofree char *command = NULL;
		struct scratch scratch;
		int fd;

		if (!have(table[i].program))
			continue;
		scratch_open(&scratch);
		spool = pack(&packed, &table[i].compression);
		fd = openat(scratch.dest, "bundle", O_WRONLY | O_CREAT, 0600);
		assert_int_equal(write(fd, spool_memory(spool), spool_size(spool)),
				 (ssize_t)spool_size(spool));
		close(fd);
		command = xasprintf("cd %s/dest && %s tar %s -xf bundle 2>&1 | { ! grep .; }",
				    scratch.path, "LC_ALL=C",
				    strcmp(table[i].program, "lz4") == 0 ? "-I lz4" : "");
		assert_int_equal(system(command), 0);
		for (size_t j = 0; j < packed.count; j++)
			assert_content(scratch.dest, names[j], packed.data[j], packed.lens[j]);
		scratch_close(&scratch);
	}
	sources_free(&packed);
}

static long peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* In a process of its own, whose peak is not that of the tests before it. */
static int pack_sparse(uint64_t size, int dest)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");
	automanifest struct bundle_manifest back = { 0 };
	autospool struct spool *spool = spool_new("/var/tmp", 1 << 20);
	struct bundle_source source = { .name = "large", .mode = 0600, .size_bytes = size };
	char path[] = "/var/tmp/bundle-large-XXXXXX";
	long before = peak_kib();

	source.fd = mkstemp(path);
	unlink(path);
	if (ftruncate(source.fd, (off_t)size) < 0 ||
	    bundle_pack(&manifest, &source, 1, NULL, spool, NULL) < 0 ||
	    bundle_unpack(spool, dest, NULL, &back, NULL) < 0)
		return 1;
	return peak_kib() - before < 16 * 1024 ? 0 : 2;
}

static void test_memory_of_a_large_unit(void **state)
{
	struct scratch scratch;
	int status;
	pid_t child;

	(void)state;
	scratch_open(&scratch);
	child = fork();
	if (child == 0)
		_exit(pack_sparse(UINT64_C(200) << 20, scratch.dest));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	scratch_close(&scratch);
}

/* Names that no locale of this process can show. */
static void test_utf8_names(void **state)
{
	static const char *const utf8[] = { "k\xc3\xb6nig/\xe6\x97\xa5\xe6\x9c\xac", "fts/a" };
	struct bundle_limits limits = { .depth_max = 2 };
	automanifest struct bundle_manifest manifest = manifest_of("", "fts");
	automanifest struct bundle_manifest back = { 0 };
	autospool struct spool *spool = spool_new(NULL, 1 << 20);
	struct bundle_source sources[] = { source_of(utf8[0], "x", 1), source_of(utf8[1], "y", 1) };
	struct scratch scratch;
	struct err err = { 0 };

	(void)state;
	scratch_open(&scratch);
	if (bundle_pack(&manifest, sources, 2, NULL, spool, &err) < 0 ||
	    bundle_unpack(spool, scratch.dest, &limits, &back, &err) < 0)
		fail_msg("%s", err.msg);
	assert_content(scratch.dest, utf8[0], "x", 1);
	assert_content(scratch.dest, utf8[1], "y", 1);
	scratch_close(&scratch);
	close(sources[0].fd);
	close(sources[1].fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_of_a_large_unit),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_no_padding),
		cmocka_unit_test(test_bad_compression),
		cmocka_unit_test(test_source_shrinks),
		cmocka_unit_test(test_source_grows),
		cmocka_unit_test(test_source_changes),
		cmocka_unit_test(test_refused_sources),
		cmocka_unit_test(test_spool_full),
		cmocka_unit_test(test_opens_with_tar),
		cmocka_unit_test(test_utf8_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
