/* .state.blocks as a file: written, read, and refused. */
#include "fixture.h"

#include "metacache/blocks.h"

/* Two files: "e" is empty, "file" has 5000 bytes and the hashes of its 2 blocks. */
static void make_blocks(struct blocks *blocks)
{
	struct blocks_file e = { .name = xstrdup("e"), .ino = UINT64_MAX, .mtime_ns = -1 };
	struct blocks_file f = { .name = xstrdup("file"), .ino = 7, .size_bytes = 5000 };

	f.mtime_ns = INT64_MAX;
	memset(f.digest, 0xd1, sizeof f.digest);
	buf_append(&f.hashes, "0123456789abcdef0123456789ABCDEF", 32);
	*blocks = (struct blocks){ .base = xstrdup(BASE_1) };
	vec_push(&blocks->files, e);
	vec_push(&blocks->files, f);
}

static void test_round_trip(void **state)
{
	const struct scratch *scratch = *state;
	autoblocks struct blocks blocks = { 0 }, back = { 0 };
	struct err err = { 0 };
	struct fsx_stat st;

	assert_int_equal(blocks_read(scratch->fd, &back, &err), 0);
	make_blocks(&blocks);
	blocks.indexid = 0x12345678;
	blocks.log_file_seq = UINT32_MAX;
	blocks.log_offset = UINT64_MAX;
	assert_int_equal(blocks_write(scratch->fd, &blocks, &err), 0);
	assert_int_equal(fsx_stat(scratch->fd, BLOCKS_NAME, &st), 1);
	assert_int_equal(st.mode & 07777, 0600);
	assert_int_equal(count_entries(scratch->fd, "."), 1);
	if (blocks_read(scratch->fd, &back, &err) != 1)
		fail_msg("%s", err.msg);
	assert_string_equal(back.base, BASE_1);
	assert_int_equal(back.indexid, 0x12345678);
	assert_int_equal(back.log_file_seq, UINT32_MAX);
	assert_true(back.log_offset == UINT64_MAX);
	assert_int_equal(back.files.count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct blocks_file *a = &blocks.files.items[i], *b = &back.files.items[i];

		assert_string_equal(a->name, b->name);
		assert_true(a->ino == b->ino);
		assert_int_equal(a->size_bytes, b->size_bytes);
		assert_true(a->mtime_ns == b->mtime_ns);
		assert_memory_equal(a->digest, b->digest, sizeof a->digest);
		assert_string_equal(buf_str(&a->hashes), buf_str(&b->hashes));
	}
}

/* It is no file of the unit, and its temporary isn't either. */
static void test_no_file_of_the_unit(void **state)
{
	const struct scratch *scratch = *state;
	autoblocks struct blocks blocks = { 0 };
	autounit struct unit unit = { 0 };
	struct err err = { 0 };

	make_blocks(&blocks);
	put(scratch->fd, "dovecot.index.log", "log");
	assert_int_equal(blocks_write(scratch->fd, &blocks, &err), 0);
	put(scratch->fd, "." BLOCKS_NAME ".tmp", "torn");
	assert_int_equal(unit_rescan(scratch->fd, "a", test_rules(), &unit, &err), 0);
	assert_files(&unit.files, "dovecot.index.log");
	assert_false(bundle_name_allowed(BLOCKS_NAME, 1));
}

static void sign(struct buf *data)
{
	unsigned char digest[HASH_CONTENT_SIZE];

	hash_content(data->data, data->len, digest);
	buf_append(data, digest, sizeof digest);
}

static void write_small(const struct scratch *scratch, struct buf *data)
{
	autoblocks struct blocks blocks = { 0 };
	struct err err = { 0 };

	make_blocks(&blocks);
	assert_int_equal(blocks_write(scratch->fd, &blocks, &err), 0);
	assert_int_equal(fsx_read(scratch->fd, BLOCKS_NAME, 4096, data, &err), 1);
}

static void test_torn(void **state)
{
	autobuf struct buf data = { 0 };
	autoblocks struct blocks blocks = { 0 };
	struct err err = { 0 };

	write_small(*state, &data);
	assert_int_equal(blocks_parse(data.data, data.len, &blocks, &err), 0);
	blocks_free(&blocks);
	for (size_t len = 0; len < data.len; len++) {
		assert_int_equal(blocks_parse(data.data, len, &blocks, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
	}
	for (size_t i = 0; i < data.len; i++) {
		data.data[i] ^= 4;
		assert_int_equal(blocks_parse(data.data, data.len, &blocks, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		data.data[i] ^= 4;
	}
	/* Signed, but too short: nothing behind its end is read. */
	for (size_t len = 0; len < data.len - HASH_CONTENT_SIZE; len++) {
		autobuf struct buf cut = { 0 };

		buf_append(&cut, data.data, len);
		sign(&cut);
		assert_int_equal(blocks_parse(cut.data, cut.len, &blocks, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
	}
	assert_int_equal(blocks_parse(data.data, data.len, &blocks, &err), 0);
}

/* Where things are in the small one. */
#define AT_VERSION 8
#define AT_COUNT 12
#define AT_BASE_LEN 32
#define AT_BASE 34
#define AT_FIRST (AT_BASE + sizeof BASE_1 - 1)
#define AT_FILE (AT_FIRST + 2 + 1 + 8 + 8 + 8 + 16 + 4)
#define AT_NAME (AT_FILE + 2)
#define AT_SIZE (AT_NAME + 4 + 8)
#define AT_HASHES (AT_SIZE + 8 + 8 + 16)

static const struct {
	size_t at;
	const char *bytes;
	size_t len;
} hostile[] = {
	{ 0, "X", 1 },                       /* no magic */
	{ AT_VERSION, "\2", 1 },             /* a later version */
	{ AT_COUNT, "\3", 1 },               /* a file more than there are */
	{ AT_COUNT, "\0", 1 },               /* one less */
	{ AT_COUNT, "\xff\xff\xff\xff", 4 }, /* very many */
	{ AT_BASE_LEN, "\xff\xff", 2 },      /* longer than all of it */
	{ AT_BASE_LEN, "\0\0", 2 },          /* no base */
	{ AT_BASE, "x", 1 },                 /* no name of a bundle */
	{ AT_BASE, "\0", 1 },                /* a NUL in it */
	{ AT_FILE, "\0\0", 2 },              /* a file without a name */
	{ AT_FILE, "\xff\xff", 2 },          /* a name longer than all of it */
	{ AT_NAME, "f/..", 4 },              /* a name that leads out */
	{ AT_NAME, "f//x", 4 },
	{ AT_NAME, "f\nxx", 4 }, /* a control character */
	{ AT_NAME, "f\0xx", 4 },
	{ AT_NAME, "data", 4 },                       /* not in order */
	{ AT_SIZE, "\0\0\0\0\0\0\0\xff", 8 },         /* larger than a file can be */
	{ AT_SIZE, "\0\x10\0\0\0\0\0\0", 8 },         /* of one block, with two hashes */
	{ AT_SIZE, "\xff\xff\xff\xff\xff\0\0\0", 8 }, /* of more blocks than there are hashes */
	{ AT_HASHES, "\1", 1 },                       /* not all of them */
	{ AT_HASHES, "\3", 1 },                       /* too many */
	{ AT_HASHES, "\xff\xff\xff\xff", 4 },         /* very many */
	{ AT_HASHES, "\0", 1 },                       /* none, and yet they are there */
};

static void test_hostile(void **state)
{
	autobuf struct buf data = { 0 };

	write_small(*state, &data);
	assert_memory_equal(data.data + AT_BASE, BASE_1, sizeof BASE_1 - 1);
	assert_int_equal(data.data[AT_NAME + 3], 'e');
	assert_int_equal(data.data[AT_HASHES], 2);
	buf_truncate(&data, data.len - HASH_CONTENT_SIZE);
	for (size_t i = 0; i < ROWS(hostile); i++) {
		autoblocks struct blocks blocks = { 0 };
		autobuf struct buf bad = { 0 };
		struct err err = { 0 };

		buf_append(&bad, data.data, data.len);
		memcpy(bad.data + hostile[i].at, hostile[i].bytes, hostile[i].len);
		sign(&bad);
		if (blocks_parse(bad.data, bad.len, &blocks, &err) == 0)
			fail_msg("case %zu was taken", i);
		assert_int_equal(err.code, ERR_DATA);
		assert_int_equal(blocks.files.count, 0);
	}
}

/* Names twice or not in order; sizes whose sum is too large. */
static void test_hostile_lists(void **state)
{
	static const struct {
		const char *base, *a, *b;
		uint64_t size;
		int result;
	} cases[] = {
		{ BASE_1, "a", "b", 1, 1 },
		{ BASE_1, "a", "a", 1, -1 },
		{ BASE_1, "b", "a", 1, -1 },
		{ BASE_1, "a", "b", INT64_MAX / 2, 1 },
		{ BASE_1, "a", "b", INT64_MAX, -1 },
		{ BASE_1 "-" UNIQUE_2, "a", "b", 1, -1 }, /* a diff is no base */
	};
	const struct scratch *scratch = *state;

	for (size_t i = 0; i < ROWS(cases); i++) {
		autoblocks struct blocks blocks = { .base = xstrdup(cases[i].base) }, back = { 0 };
		struct blocks_file a = { .name = xstrdup(cases[i].a), .size_bytes = cases[i].size };
		struct blocks_file b = { .name = xstrdup(cases[i].b), .size_bytes = cases[i].size };
		struct err err = { 0 };

		vec_push(&blocks.files, a);
		vec_push(&blocks.files, b);
		assert_int_equal(blocks_write(scratch->fd, &blocks, &err), 0);
		if (blocks_read(scratch->fd, &back, &err) != cases[i].result)
			fail_msg("case %zu: %s", i, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_round_trip),    scratch_test(test_no_file_of_the_unit),
		scratch_test(test_torn),          scratch_test(test_hostile),
		scratch_test(test_hostile_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
