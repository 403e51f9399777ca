#include "archives.h"

static forge_filter *const filters[] = { NULL, archive_write_add_filter_zstd,
					 archive_write_add_filter_gzip,
					 archive_write_add_filter_lz4 };
#define FILTERS (sizeof filters / sizeof *filters)

static void test_good(void **state)
{
	struct scratch scratch;

	(void)state;
	scratch_open(&scratch);
	for (size_t i = 0; i < FILTERS; i++) {
		autoforge struct forge forge;
		struct err err = { 0 };

		forge_ab(&forge, filters[i], forge_good);
		if (forge_unpack(&forge, scratch.dest, NULL, &err) < 0)
			fail_msg("%zu: %s", i, err.msg);
		assert_content(scratch.dest, "a", "content a", 9);
		assert_content(scratch.dest, "b", "content b", 9);
		scratch_again(&scratch);
	}
	scratch_close(&scratch);
}

/* ---- the stream ---- */

/* Whatever is missing at the end, it is noticed. */
static void test_truncation(void **state)
{
	struct scratch scratch;

	(void)state;
	scratch_open(&scratch);
	for (size_t i = 0; i < FILTERS; i++) {
		autoforge struct forge forge;

		forge_ab(&forge, filters[i], forge_good);
		forge_close(&forge);
		for (size_t len = 0; len < forge.out.len; len++) {
			automanifest struct bundle_manifest manifest = { 0 };
			autospool struct spool *cut = spool_from(forge.out.data, len);
			struct err err = { 0 };

			if (bundle_unpack(cut, scratch.dest, NULL, &manifest, &err) == 0)
				fail_msg("filter %zu: %zu of %zu bytes were taken", i, len,
					 forge.out.len);
			assert_int_equal(err.code, ERR_DATA);
			assert_true(err.msg[0] != '\0');
			scratch_empty(&scratch);
		}
	}
	scratch_close(&scratch);
}

/* A byte that is other than it was is noticed, or makes no difference. */
static void test_damage(void **state)
{
	struct scratch scratch;

	(void)state;
	scratch_open(&scratch);
	for (size_t i = 0; i < FILTERS; i++) {
		autoforge struct forge forge;

		forge_ab(&forge, filters[i], forge_good);
		forge_close(&forge);
		for (size_t at = 0; at < forge.out.len; at++) {
			automanifest struct bundle_manifest manifest = { 0 };
			autospool struct spool *spool = NULL;
			struct err err = { 0 };

			forge.out.data[at] ^= (char)(1 << at % 8);
			spool = spool_from(forge.out.data, forge.out.len);
			if (bundle_unpack(spool, scratch.dest, NULL, &manifest, &err) == 0) {
				assert_content(scratch.dest, manifest.files.items[0].name,
					       "content a", 9);
				assert_content(scratch.dest, manifest.files.items[1].name,
					       "content b", 9);
			} else {
				assert_int_equal(err.code, ERR_DATA);
			}
			forge.out.data[at] ^= (char)(1 << at % 8);
			scratch_empty(&scratch);
		}
	}
	scratch_close(&scratch);
}

static void refuse(struct forge *forge, const char *what, const char *says)
{
	struct scratch scratch;
	struct err err = { 0 };

	scratch_open(&scratch);
	if (forge_unpack(forge, scratch.dest, NULL, &err) == 0)
		fail_msg("%s: was taken", what);
	assert_int_equal(err.code, ERR_DATA);
	if (!strstr(err.msg, says))
		fail_msg("%s: %s", what, err.msg);
	scratch_close(&scratch);
}

static void test_trailing(void **state)
{
	static const struct {
		const char *what, *data;
		size_t len;
	} tails[] = { { "byte", "x", 1 }, { "zero", "", 1 }, { "text", "trailing garbage", 16 } };

	(void)state;
	for (size_t i = 0; i < FILTERS; i++)
		for (size_t j = 0; j < 3; j++) {
			autoforge struct forge forge;

			forge_ab(&forge, filters[i], forge_good);
			forge_close(&forge);
			buf_append(&forge.out, tails[j].data, tails[j].len);
			/* zstd finds its own word for it */
			refuse(&forge, tails[j].what, i == 1 ? "damaged" : "data after the end");
		}
}

/* Inside the compression: the archive ends, the stream does not. */
static void wrap_with_tail(struct forge *forge, forge_filter *filter, size_t tail)
{
	autofree char *zeros = xcalloc(1, tail);

	forge_ab(forge, NULL, forge_good);
	forge_close(forge);
	buf_append(&forge->out, zeros, tail);
	forge_wrap(forge, filter);
}

static void test_endless(void **state)
{
	static const size_t tails[] = { 1, 512, 100 * 1024, 64 * 1024 * 1024 };

	(void)state;
	for (size_t i = 1; i < FILTERS; i++)
		for (size_t j = 0; j < sizeof tails / sizeof *tails; j++) {
			autoforge struct forge forge;

			wrap_with_tail(&forge, filters[i], tails[j]);
			/* One piece of lz4 can be 4 MiB, which is over the limit by itself. */
			refuse(&forge, "tail",
			       i == 3 && j == 3 ? "decompresses to more than the manifest announces"
						: "data after the end of the archive");
		}
}

/* An archive within another of the same kind, joined to it. */
static void test_concatenated(void **state)
{
	(void)state;
	for (size_t i = 0; i < FILTERS; i++) {
		autoforge struct forge forge, second;

		forge_ab(&forge, filters[i], forge_good);
		forge_close(&forge);
		forge_ab(&second, filters[i], forge_good);
		forge_close(&second);
		buf_append(&forge.out, second.out.data, second.out.len);
		refuse(&forge, "two bundles", "data after the end");
	}
}

/* What comes before the manifest is limited, whatever it is. */
static void test_bomb_before_manifest(void **state)
{
	autoforge struct forge forge;
	size_t len = 64 * 1024 * 1024;
	autofree char *zeros = xcalloc(1, len);

	(void)state;
	forge_open(&forge, archive_write_add_filter_zstd);
	forge_file(&forge, "bomb", zeros, len);
	refuse(&forge, "bomb", "starts with \"bomb\", not with a manifest");
}

/* A header that says less than what comes: the rest is taken for a header. */
static void test_size_lies(void **state)
{
	automanifest struct bundle_manifest manifest = manifest_of("", "");
	autoforge struct forge forge;
	char content[4096];

	(void)state;
	memset(content, 'x', sizeof content);
	add_file(&manifest, "a", content, 100);
	forge_open(&forge, NULL);
	forge_manifest(&forge, &manifest);
	forge_file(&forge, "a", content, 100);
	forge_close(&forge);
	/* Zeros of the end are overwritten by what no manifest announces. */
	buf_truncate(&forge.out, forge.out.len - 1024);
	buf_append(&forge.out, content, sizeof content);
	refuse(&forge, "more than announced", "damaged or cut short");
}

static void test_filter_in_filter(void **state)
{
	static const char *const says[] = { "compressed more than once (zstd in gzip)",
					    "compressed more than once (gzip in zstd)",
					    "compressed more than once (gzip in gzip)" };
	forge_filter *inner[] = { archive_write_add_filter_zstd, archive_write_add_filter_gzip,
				  archive_write_add_filter_gzip };
	forge_filter *outer[] = { archive_write_add_filter_gzip, archive_write_add_filter_zstd,
				  archive_write_add_filter_gzip };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		autoforge struct forge forge;

		forge_ab(&forge, inner[i], forge_good);
		forge_wrap(&forge, outer[i]);
		refuse(&forge, "twice compressed", says[i]);
	}
}

static void test_no_bundle(void **state)
{
	static const char *const texts[] = { "",
					     "x",
					     "hello, world",
					     "\x28\xb5\x2f\xfd",
					     "\x1f\x8b\x08",
					     "PK\x03\x04",
					     "BZh91AY&SY",
					     "\xfd"
					     "7zXZ" };

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		automanifest struct bundle_manifest manifest = { 0 };
		autospool struct spool *spool = spool_from(texts[i], strlen(texts[i]));
		struct err err = { 0 };

		assert_int_equal(bundle_read_manifest(spool, &manifest, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		assert_message(&err, i == 0 ? "empty" : "damaged or cut short");
	}
}

/* Other formats that libarchive knows are none of ours. */
static void test_other_format(void **state)
{
	autoforge struct forge forge = { .archive = archive_write_new() };

	(void)state;
	archive_write_set_format_cpio_newc(forge.archive);
	archive_write_set_bytes_in_last_block(forge.archive, 1);
	archive_write_open(forge.archive, &forge.out, NULL, forge_write, NULL);
	forge_file(&forge, "a", "x", 1);
	refuse(&forge, "cpio", "damaged or cut short");
}

/* ---- the destination ---- */

static void fts_bundle(struct forge *forge, const char *const *names, size_t count)
{
	automanifest struct bundle_manifest manifest = manifest_of("fts", "fts");

	for (size_t i = 0; i < count; i++)
		add_file(&manifest, names[i], "content", 7);
	forge_open(forge, archive_write_add_filter_zstd);
	forge_manifest(forge, &manifest);
	for (size_t i = 0; i < count; i++)
		forge_file(forge, names[i], "content", 7);
}

static void test_fts(void **state)
{
	static const char *const names[] = { "fts-flatcurve/index.1/termlist.glass",
					     "fts-flatcurve/index.1/postlist.glass",
					     "fts-flatcurve/index.2/termlist.glass", "top" };
	struct bundle_limits limits = { .depth_max = 3 };
	autoforge struct forge forge;
	struct scratch scratch;
	struct err err = { 0 };

	(void)state;
	scratch_open(&scratch);
	fts_bundle(&forge, names, 4);
	if (forge_unpack(&forge, scratch.dest, &limits, &err) < 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < 4; i++)
		assert_content(scratch.dest, names[i], "content", 7);
	assert_int_equal(forge_unpack(&forge, scratch.dest, &limits, &err), -1);
	assert_message(&err, "create \"fts-flatcurve/index.1/termlist.glass\": File exists");
	limits.depth_max = 2;
	assert_int_equal(forge_unpack(&forge, scratch.dest, &limits, &err), -1);
	assert_message(&err, "is not allowed in this unit");
	scratch_close(&scratch);
}

/* A name that is a file and a directory at once. */
static void test_file_as_directory(void **state)
{
	static const char *const names[][2] = { { "a", "a/b" }, { "a/b", "a" } };
	struct bundle_limits limits = { .depth_max = 3 };
	struct scratch scratch;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		autoforge struct forge forge;
		struct err err = { 0 };

		scratch_open(&scratch);
		fts_bundle(&forge, names[i], 2);
		assert_int_equal(forge_unpack(&forge, scratch.dest, &limits, &err), -1);
		assert_int_equal(err.code, ERR_DATA);
		assert_string_equal(err.msg,
				    "manifest: file \"a\" is there twice, once as a directory");
		scratch_close(&scratch);
	}
}

/* Links that somebody has put there are not followed. */
static void test_links_in_destination(void **state)
{
	static const char *const names[] = { "sub/a" };
	struct bundle_limits limits = { .depth_max = 3 };
	autoforge struct forge flat, deep;
	struct scratch scratch;
	struct err err = { 0 };

	(void)state;
	scratch_open(&scratch);
	forge_ab(&flat, NULL, forge_good);
	fts_bundle(&deep, names, 1);
	assert_int_equal(symlinkat("../escaped", scratch.dest, "a"), 0);
	assert_int_equal(symlinkat("..", scratch.dest, "sub"), 0);
	assert_int_equal(forge_unpack(&flat, scratch.dest, NULL, &err), -1);
	assert_message(&err, "create \"a\": ");
	assert_int_equal(forge_unpack(&deep, scratch.dest, &limits, &err), -1);
	assert_message(&err, "sub");
	scratch_close(&scratch);
}

static void test_limit(void **state)
{
	struct bundle_limits limits = { .total_bytes_max = 17 };
	autoforge struct forge forge;
	struct scratch scratch;
	struct err err = { 0 };

	(void)state;
	scratch_open(&scratch);
	forge_ab(&forge, NULL, forge_good);
	assert_int_equal(forge_unpack(&forge, scratch.dest, &limits, &err), -1);
	assert_string_equal(err.msg, "unpacks to more than the limit of 17 bytes");
	assert_int_equal(entries_of(scratch.dest), 0);
	limits.total_bytes_max = 18;
	assert_int_equal(forge_unpack(&forge, scratch.dest, &limits, &err), 0);
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_trailing),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_concatenated),
		cmocka_unit_test(test_bomb_before_manifest),
		cmocka_unit_test(test_size_lies),
		cmocka_unit_test(test_filter_in_filter),
		cmocka_unit_test(test_no_bundle),
		cmocka_unit_test(test_other_format),
		cmocka_unit_test(test_fts),
		cmocka_unit_test(test_file_as_directory),
		cmocka_unit_test(test_links_in_destination),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
