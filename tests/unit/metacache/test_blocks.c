/* .state.blocks, and the diffs that are cut with it. */
#include "fixture.h"

#include "metacache/blocks.h"

#define INDEX "dovecot.index"
#define LOG "dovecot.index.log"
#define CACHE "dovecot.index.cache"
#define INDEX_SIZE 10000
#define LOG_SIZE 9000
#define CACHE_SIZE 20480 /* whole blocks */

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

static void put_pattern(int dirfd, const char *name, size_t len, unsigned seed)
{
	autofree char *data = pattern(len, seed);

	put_bytes(dirfd, name, data, len);
}

/* Written in place, as Dovecot does to logs and caches. */
static void write_at(int dirfd, const char *name, off_t offset, const char *text)
{
	autofd int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), offset), (ssize_t)strlen(text));
}

static void cut(int dirfd, const char *name, off_t size)
{
	autofd int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
}

/* Two writes within one tick of the clock can't be told apart by their time. */
static void set_time(int dirfd, const char *name, time_t seconds)
{
	const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

	assert_int_equal(utimensat(dirfd, name, times, 0), 0);
}

/* ---- sources ---- */

struct copy {
	struct bundle_source sources[8];
	char *names[8];
	size_t count;
};

static void copy_free(struct copy *copy)
{
	for (size_t i = 0; i < copy->count; i++) {
		close(copy->sources[i].fd);
		free(copy->names[i]);
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Everything in the directory, opened with `flags`. */
static void copy_take(int dirfd, int flags, struct copy *copy)
{
	autodir struct fsx_dir dir;
	struct fsx_entry entry;

	copy->count = 0;
	fsx_dir_open(&dir, fsx_opendir(dirfd, ""));
	while (fsx_dir_next(&dir, &entry) > 0)
		if (entry.type == DT_REG && entry.name[0] != '.')
			copy->names[copy->count++] = xstrdup(entry.name);
	qsort(copy->names, copy->count, sizeof *copy->names, by_text);
	for (size_t i = 0; i < copy->count; i++) {
		int fd = openat(dirfd, copy->names[i], flags | O_CLOEXEC);
		struct fsx_stat st;

		assert_true(fd >= 0);
		assert_int_equal(fsx_fstat(fd, &st), 0);
		copy->sources[i] = (struct bundle_source){
			.name = copy->names[i],
			.fd = fd,
			.size_bytes = st.size_bytes,
			.mtime_ns = st.mtime_ns,
			.mode = 0600,
		};
	}
}

static struct bundle_manifest manifest_of(const char *base)
{
	return (struct bundle_manifest){
		.type = base ? BUNDLE_DIFF : BUNDLE_BASE,
		.username = xstrdup("u@d"),
		.unit = xstrdup(""),
		.unit_id = xstrdup(""),
		.host = xstrdup("b1"),
		.base = base ? xstrdup(base) : NULL,
		.created_ns = 1,
	};
}

/* A base of what is in the directory, and its blocks. */
static struct spool *pack_base(int dirfd, struct blocks *blocks_r)
{
	automanifest struct bundle_manifest manifest = manifest_of(NULL);
	struct spool *spool = spool_new("/tmp", 1 << 20);
	CLEANUP(copy_free) struct copy copy;
	struct err err = { 0 };

	copy_take(dirfd, O_RDONLY, &copy);
	if (blocks_start(blocks_r, copy.sources, copy.count, &err) < 0 ||
	    bundle_pack(&manifest, copy.sources, copy.count, NULL, spool, &err) < 0)
		fail_msg("%s", err.msg);
	blocks_finish(blocks_r, BASE_1, &manifest);
	return spool;
}

static void make_unit(int dirfd)
{
	put_pattern(dirfd, INDEX, INDEX_SIZE, 1);
	put_pattern(dirfd, CACHE, CACHE_SIZE, 2);
	put_pattern(dirfd, LOG, LOG_SIZE, 3);
	set_time(dirfd, INDEX, 1000);
	set_time(dirfd, CACHE, 1000);
	set_time(dirfd, LOG, 1000);
}

/* ---- the plan of one source, as text ---- */

static void describe(const struct copy *copy, struct buf *out)
{
	for (size_t i = 0; i < copy->count; i++) {
		const struct bundle_source *source = &copy->sources[i];

		buf_printf(out, "%s%s", i ? " " : "", source->name);
		if (!source->from) {
			buf_puts(out, " whole");
			continue;
		}
		if (strcmp(source->from, source->name) != 0)
			buf_printf(out, "<%s", source->from);
		for (size_t j = 0; j < source->range_count; j++)
			buf_printf(out, "[%llu+%llu]", (unsigned long long)source->ranges[j].offset,
				   (unsigned long long)source->ranges[j].len);
	}
}

static void plan(const struct blocks *blocks, struct copy *copy, struct blocks_plan *plan_r)
{
	struct err err = { 0 };

	if (blocks_plan(blocks, copy->sources, copy->count, plan_r, &err) < 0)
		fail_msg("%s", err.msg);
}

static void assert_same_tree(int a, int b)
{
	CLEANUP(copy_free) struct copy copy;
	CLEANUP(copy_free) struct copy other;

	copy_take(a, O_RDONLY, &copy);
	copy_take(b, O_RDONLY, &other);
	assert_int_equal(copy.count, other.count);
	for (size_t i = 0; i < copy.count; i++) {
		autobuf struct buf x = { 0 }, y = { 0 };

		assert_string_equal(copy.names[i], other.names[i]);
		assert_int_equal(fsx_read(a, copy.names[i], 1 << 26, &x, NULL), 1);
		assert_int_equal(fsx_read(b, copy.names[i], 1 << 26, &y, NULL), 1);
		assert_int_equal(x.len, y.len);
		assert_memory_equal(buf_str(&x), buf_str(&y), x.len);
	}
}

static int make_dir(const struct scratch *scratch, const char *name)
{
	put_dir(scratch->fd, name);
	return open_dir(scratch->fd, name);
}

/* Unpack the base in one directory, the diff of today's sources in another, and see
 * today's unit there. */
static void apply(const struct scratch *scratch, const struct spool *base, struct copy *copy,
		  int todayfd)
{
	automanifest struct bundle_manifest manifest = manifest_of(BASE_1);
	automanifest struct bundle_manifest of_base = { 0 }, of_diff = { 0 };
	autospool struct spool *spool = spool_new("/tmp", 1 << 20);
	int basefd = make_dir(scratch, "base"), finalfd = make_dir(scratch, "final");
	struct err err = { 0 };

	if (bundle_pack(&manifest, copy->sources, copy->count, NULL, spool, &err) < 0 ||
	    bundle_unpack(base, basefd, NULL, &of_base, &err) < 0 ||
	    bundle_apply(spool, basefd, finalfd, NULL, &of_diff, &err) < 0)
		fail_msg("%s", err.msg);
	assert_same_tree(todayfd, finalfd);
	close(basefd);
	close(finalfd);
	assert_int_equal(fsx_remove_tree(scratch->fd, "base", NULL), 0);
	assert_int_equal(fsx_remove_tree(scratch->fd, "final", NULL), 0);
}

/* ---- what happens to a unit ---- */

typedef void change(int dirfd);

static void nothing(int dirfd)
{
	(void)dirfd;
}

static void append_log(int dirfd)
{
	write_at(dirfd, LOG, LOG_SIZE, "flags");
}

static void append_cache(int dirfd)
{
	write_at(dirfd, CACHE, 5, "header");
	write_at(dirfd, CACHE, CACHE_SIZE, "more");
}

static void touch(int dirfd)
{
	set_time(dirfd, CACHE, 2000);
}

static void change_in_place(int dirfd)
{
	write_at(dirfd, CACHE, 4096, "x");
	write_at(dirfd, CACHE, 8191, "yz");
	write_at(dirfd, CACHE, CACHE_SIZE - 1, "e");
	set_time(dirfd, CACHE, 2000);
}

static void change_last_of_log(int dirfd)
{
	write_at(dirfd, LOG, LOG_SIZE - 1, "zz");
}

static void shorten(int dirfd)
{
	cut(dirfd, CACHE, 5000);
	set_time(dirfd, CACHE, 2000);
}

static void empty(int dirfd)
{
	cut(dirfd, CACHE, 0);
}

static void rewrite_index(int dirfd)
{
	put_pattern(dirfd, "new", 500, 77);
	assert_int_equal(renameat(dirfd, "new", dirfd, INDEX), 0);
}

static void rewrite_same(int dirfd)
{
	put_pattern(dirfd, "new", INDEX_SIZE, 1);
	assert_int_equal(renameat(dirfd, "new", dirfd, INDEX), 0);
}

static void rotate(int dirfd)
{
	write_at(dirfd, LOG, LOG_SIZE, "last");
	assert_int_equal(renameat(dirfd, LOG, dirfd, LOG ".2"), 0);
	put_pattern(dirfd, LOG, 100, 9);
}

/* The same by way of a copy: another inode. */
static void rotate_copied(int dirfd)
{
	put_pattern(dirfd, LOG ".2", LOG_SIZE, 3);
	write_at(dirfd, LOG ".2", LOG_SIZE, "last");
	put_pattern(dirfd, "new", 100, 9);
	assert_int_equal(renameat(dirfd, "new", dirfd, LOG), 0);
}

static void rename_cache(int dirfd)
{
	assert_int_equal(renameat(dirfd, CACHE, dirfd, "other"), 0);
}

static void rename_and_append(int dirfd)
{
	rename_cache(dirfd);
	write_at(dirfd, "other", CACHE_SIZE, "more");
}

/* A clock that stands still. */
static void append_log_at_once(int dirfd)
{
	append_log(dirfd);
	set_time(dirfd, LOG, 1000);
}

static void add_and_remove(int dirfd)
{
	put(dirfd, "new", "new");
	assert_int_equal(unlinkat(dirfd, CACHE, 0), 0);
}

static const struct {
	const char *name;
	change *change;
	const char *plan;
	uint64_t travel_bytes; /* without what ranges cost */
} changes[] = {
	{ "nothing", nothing, INDEX " " CACHE " " LOG, 0 },
	{ "append", append_log, INDEX " " CACHE " " LOG "[9000+5]", 5 },
	{ "cache", append_cache, INDEX " " CACHE "[0+4096][20480+4] " LOG, 4100 },
	{ "touch", touch, INDEX " " CACHE " " LOG, 0 },
	{ "in place", change_in_place, INDEX " " CACHE "[4096+8192][16384+4096] " LOG, 12288 },
	{ "last byte", change_last_of_log, INDEX " " CACHE " " LOG "[8192+809]", 809 },
	{ "shorter", shorten, INDEX " " CACHE "[4096+904] " LOG, 904 },
	{ "empty", empty, INDEX " " CACHE " " LOG, 0 },
	{ "rewritten", rewrite_index, INDEX " whole " CACHE " " LOG, 500 },
	{ "rewritten, same", rewrite_same, INDEX " " CACHE " " LOG, 0 },
	{ "rotated", rotate, INDEX " " CACHE " " LOG " whole " LOG ".2<" LOG "[9000+4]", 104 },
	{ "rotated, copied", rotate_copied,
	  INDEX " " CACHE " " LOG " whole " LOG ".2<" LOG "[9000+4]", 104 },
	{ "renamed", rename_cache, INDEX " " LOG " other<" CACHE, 0 },
	{ "renamed, more", rename_and_append, INDEX " " LOG " other<" CACHE "[20480+4]", 4 },
	{ "append at once", append_log_at_once, INDEX " " CACHE " " LOG "[9000+5]", 5 },
	{ "new and gone", add_and_remove, INDEX " " LOG " new whole", 3 },
};

static void test_changes(void **state)
{
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(changes); i++) {
		int dirfd = make_dir(scratch, "unit");
		autoblocks struct blocks blocks = { 0 };
		autoplan struct blocks_plan planned = { 0 };
		autospool struct spool *base = NULL;
		CLEANUP(copy_free) struct copy copy;
		autobuf struct buf text = { 0 };
		uint64_t ranges = 0;

		make_unit(dirfd);
		base = pack_base(dirfd, &blocks);
		changes[i].change(dirfd);
		copy_take(dirfd, O_RDONLY, &copy);
		plan(&blocks, &copy, &planned);
		describe(&copy, &text);
		if (strcmp(buf_str(&text), changes[i].plan) != 0)
			fail_msg("%s: %s", changes[i].name, buf_str(&text));
		for (size_t j = 0; j < copy.count; j++)
			ranges += copy.sources[j].range_count;
		assert_int_equal(planned.travel_bytes, changes[i].travel_bytes + ranges * 24);
		assert_int_equal(planned.base_bytes, INDEX_SIZE + LOG_SIZE + CACHE_SIZE);
		apply(scratch, base, &copy, dirfd);
		close(dirfd);
		assert_int_equal(fsx_remove_tree(scratch->fd, "unit", NULL), 0);
	}
}

/* Untouched files are recognised without a look into them: O_PATH can't be read. */
static void test_not_read(void **state)
{
	const struct scratch *scratch = *state;
	autoblocks struct blocks blocks = { 0 };
	autoplan struct blocks_plan planned = { 0 };
	autospool struct spool *base = NULL;
	CLEANUP(copy_free) struct copy copy;
	struct err err = { 0 };

	make_unit(scratch->fd);
	base = pack_base(scratch->fd, &blocks);
	rewrite_index(scratch->fd);
	copy_take(scratch->fd, O_PATH, &copy);
	assert_int_equal(blocks_plan(&blocks, copy.sources, copy.count, &planned, &err), -1);
	assert_message(&err, "read \"" INDEX "\"");
	assert_null(planned.ranges);
	/* What is kept isn't read either. */
	copy.sources[0].from = NULL;
	blocks_keep(blocks_find(&blocks, INDEX), &copy.sources[0]);
	plan(&blocks, &copy, &planned);
	assert_int_equal(planned.travel_bytes, 0);
	assert_int_equal(copy.sources[0].size_bytes, INDEX_SIZE);
	assert_int_equal(copy.sources[0].mtime_ns, INT64_C(1000) * 1000000000);
	assert_null(blocks_find(&blocks, "nothing"));
}

/* Files without hashes are unchanged or whole; none is compared. */
static void test_no_hashes(void **state)
{
	const struct scratch *scratch = *state;
	autoblocks struct blocks blocks = { 0 };
	autoplan struct blocks_plan planned = { 0 };
	autospool struct spool *base = NULL;
	CLEANUP(copy_free) struct copy copy;
	autobuf struct buf text = { 0 };

	make_unit(scratch->fd);
	base = pack_base(scratch->fd, &blocks);
	for (size_t i = 0; i < blocks.files.count; i++)
		buf_free(&blocks.files.items[i].hashes);
	append_log(scratch->fd);
	copy_take(scratch->fd, O_RDONLY, &copy);
	plan(&blocks, &copy, &planned);
	describe(&copy, &text);
	assert_string_equal(buf_str(&text), INDEX " " CACHE " " LOG " whole");
	assert_int_equal(planned.travel_bytes, LOG_SIZE + 5);
}

static void test_too_large_for_hashes(void **state)
{
	const struct scratch *scratch = *state;
	autoblocks struct blocks blocks = { 0 };
	CLEANUP(copy_free) struct copy copy;
	struct err err = { 0 };

	make_unit(scratch->fd);
	copy_take(scratch->fd, O_RDONLY, &copy);
	copy.sources[0].size_bytes = BLOCKS_HASHED_MAX - CACHE_SIZE;
	assert_int_equal(blocks_start(&blocks, copy.sources, copy.count, &err), 0);
	assert_non_null(copy.sources[0].blocks);
	assert_non_null(copy.sources[1].blocks);
	assert_null(copy.sources[2].blocks);
}

static void test_got_shorter(void **state)
{
	const struct scratch *scratch = *state;
	autoblocks struct blocks blocks = { 0 };
	autoplan struct blocks_plan planned = { 0 };
	autospool struct spool *base = NULL;
	CLEANUP(copy_free) struct copy copy;
	struct err err = { 0 };

	make_unit(scratch->fd);
	base = pack_base(scratch->fd, &blocks);
	append_log(scratch->fd);
	copy_take(scratch->fd, O_RDONLY, &copy);
	cut(scratch->fd, LOG, 10);
	assert_int_equal(blocks_plan(&blocks, copy.sources, copy.count, &planned, &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	assert_true(err.again);
}

/* A tree that was downloaded: base, diff, and then a change here. */
static void test_downloaded(void **state)
{
	const struct scratch *scratch = *state;
	int there = make_dir(scratch, "there"), basefd = make_dir(scratch, "base"),
	    here = make_dir(scratch, "here");
	automanifest struct bundle_manifest manifest = manifest_of(BASE_1);
	automanifest struct bundle_manifest of_base = { 0 }, of_diff = { 0 };
	autoblocks struct blocks packed = { 0 }, blocks = { 0 };
	autoplan struct blocks_plan planned = { 0 }, again = { 0 };
	autospool struct spool *base = NULL, *diff = spool_new(NULL, 1 << 20);
	CLEANUP(copy_free) struct copy copy;
	CLEANUP(copy_free) struct copy copy_here;
	autobuf struct buf text = { 0 };
	struct err err = { 0 };

	make_unit(there);
	base = pack_base(there, &packed);
	rotate(there);
	copy_take(there, O_RDONLY, &copy);
	plan(&packed, &copy, &planned);
	if (bundle_pack(&manifest, copy.sources, copy.count, NULL, diff, &err) < 0 ||
	    bundle_unpack(base, basefd, NULL, &of_base, &err) < 0 ||
	    blocks_from_dir(BASE_1, basefd, &of_base, &blocks, &err) < 0 ||
	    bundle_apply(diff, basefd, here, NULL, &of_diff, &err) < 0 ||
	    blocks_identify(&blocks, here, &of_diff, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(blocks.base, BASE_1);
	for (size_t i = 0; i < blocks.files.count; i++) {
		struct blocks_file *a = &blocks.files.items[i], *b = &packed.files.items[i];

		assert_string_equal(a->name, b->name);
		assert_memory_equal(a->digest, b->digest, sizeof a->digest);
		assert_int_equal(a->hashes.len, b->hashes.len);
		assert_memory_equal(a->hashes.data, b->hashes.data, a->hashes.len);
	}
	assert_int_equal(blocks.files.items[2].ino, 0); /* the log as it was is not here */
	write_at(here, CACHE, 0, "x");
	set_time(here, CACHE, 3000);
	copy_take(here, O_RDONLY, &copy_here);
	/* The index is known by its inode alone. */
	close(copy_here.sources[0].fd);
	copy_here.sources[0].fd = openat(here, INDEX, O_PATH);
	plan(&blocks, &copy_here, &again);
	describe(&copy_here, &text);
	assert_string_equal(buf_str(&text),
			    INDEX " " CACHE "[0+4096] " LOG " whole " LOG ".2<" LOG "[9000+4]");
	close(there);
	close(basefd);
	close(here);
}

static void test_unpacked_changed(void **state)
{
	const struct scratch *scratch = *state;
	automanifest struct bundle_manifest manifest = { 0 };
	autoblocks struct blocks packed = { 0 }, blocks = { 0 };
	autospool struct spool *base = NULL;
	int basefd = make_dir(scratch, "base");
	struct err err = { 0 };

	make_unit(scratch->fd);
	base = pack_base(scratch->fd, &packed);
	assert_int_equal(bundle_unpack(base, basefd, NULL, &manifest, &err), 0);
	write_at(basefd, CACHE, 0, "x");
	assert_int_equal(blocks_from_dir(BASE_1, basefd, &manifest, &blocks, &err), -1);
	assert_int_equal(err.code, ERR_DATA);
	assert_message(&err, "\"" CACHE "\" is not what was unpacked");
	assert_null(blocks.base);
	assert_int_equal(unlinkat(basefd, CACHE, 0), 0);
	assert_int_equal(blocks_from_dir(BASE_1, basefd, &manifest, &blocks, &err), -1);
	assert_message(&err, "open \"" CACHE "\"");
	close(basefd);
}

/* Whatever happens to files of whatever size, the diff leads there. */
static void test_random(void **state)
{
	const struct scratch *scratch = *state;
	uint64_t x = 12345;

	for (unsigned round = 0; round < 150; round++) {
		static const char *const names[] = { INDEX, LOG, LOG ".2", CACHE };
		int dirfd = make_dir(scratch, "unit");
		autoblocks struct blocks blocks = { 0 };
		autoplan struct blocks_plan planned = { 0 };
		autospool struct spool *base = NULL;
		CLEANUP(copy_free) struct copy copy;

#define RANDOM(max) ((x = x * UINT64_C(6364136223846793005) + 1442695040888963407) >> 33) % (max)
		for (size_t i = 0; i < 4; i++)
			if (RANDOM(4))
				put_pattern(dirfd, names[i], RANDOM(30000),
					    round * 4 + (unsigned)i);
		base = pack_base(dirfd, &blocks);
		for (size_t i = RANDOM(6); i > 0; i--) {
			const char *name = names[RANDOM(4)];

			if (!has(dirfd, name))
				put_pattern(dirfd, name, RANDOM(20000), (unsigned)i);
			else if (RANDOM(3))
				write_at(dirfd, name, (off_t)RANDOM(35000), "changed");
			else if (RANDOM(2))
				assert_int_equal(renameat(dirfd, name, dirfd, names[RANDOM(4)]), 0);
			else
				cut(dirfd, name, (off_t)RANDOM(30000));
			if (has(dirfd, name))
				set_time(dirfd, name, (time_t)(5000 + i));
		}
		copy_take(dirfd, O_RDONLY, &copy);
		plan(&blocks, &copy, &planned);
		apply(scratch, base, &copy, dirfd);
		close(dirfd);
		assert_int_equal(fsx_remove_tree(scratch->fd, "unit", NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_changes),          scratch_test(test_not_read),
		scratch_test(test_no_hashes),        scratch_test(test_too_large_for_hashes),
		scratch_test(test_got_shorter),      scratch_test(test_downloaded),
		scratch_test(test_unpacked_changed), scratch_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
