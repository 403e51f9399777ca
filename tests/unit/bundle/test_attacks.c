/* Archives in which one thing is not as the manifest says, or not allowed at all. */
#include "archives.h"

static void put_typed(struct forge *forge, const char *name, unsigned type)
{
	struct archive_entry *entry = forge_entry(name, 0);

	archive_entry_set_filetype(entry, type);
	if (type == AE_IFLNK)
		archive_entry_set_symlink(entry, "../escaped");
	if (type == AE_IFCHR || type == AE_IFBLK)
		archive_entry_set_rdev(entry, 0x103);
	forge_put(forge, entry, NULL, 0);
}

static void absolute(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "/tmp/bundle-test-escaped", "x", 1);
}

static void dotdot(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "../escaped", "x", 1);
}

static void dotdot_announced(struct forge *forge, struct bundle_manifest *manifest)
{
	add_file(manifest, "../escaped", "x", 1);
	forge_manifest(forge, manifest);
}

static void absolute_announced(struct forge *forge, struct bundle_manifest *manifest)
{
	add_file(manifest, "/tmp/bundle-test-escaped", "x", 1);
	forge_manifest(forge, manifest);
}

static void symlink_entry(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	put_typed(forge, "a", AE_IFLNK);
}

static void hardlink_entry(struct forge *forge, struct bundle_manifest *manifest)
{
	struct archive_entry *entry = forge_entry("b", 0);

	forge_manifest(forge, manifest);
	forge_a(forge);
	archive_entry_set_hardlink(entry, "a");
	forge_put(forge, entry, NULL, 0);
}

static void char_device(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	put_typed(forge, "a", AE_IFCHR);
}

static void block_device(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	put_typed(forge, "a", AE_IFBLK);
}

static void fifo(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	put_typed(forge, "a", AE_IFIFO);
}

static void directory(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	put_typed(forge, "a", AE_IFDIR);
}

static void sparse(struct forge *forge, struct bundle_manifest *manifest)
{
	struct archive_entry *entry = forge_entry("a", 1 << 20);
	static char zeros[1 << 20];

	free(manifest->files.items[1].name);
	free(manifest->files.items[0].name);
	manifest->files.count = 0;
	add_file(manifest, "a", zeros, sizeof zeros);
	forge_manifest(forge, manifest);
	archive_entry_sparse_add_entry(entry, 0, 4096);
	forge_put(forge, entry, zeros, sizeof zeros);
}

static void twice(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_a(forge);
	forge_a(forge);
}

static void twice_at_the_end(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_good(forge, manifest);
	forge_a(forge);
}

static void unannounced(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_a(forge);
	forge_file(forge, "evil\n\x1b[31m", "x", 1);
}

static void unannounced_at_the_end(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_good(forge, manifest);
	forge_file(forge, "c", "x", 1);
}

static void other_order(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_b(forge);
	forge_a(forge);
}

static void larger(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "a", "content a!", 10);
}

static void smaller(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "a", "content", 7);
}

static void other_content(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_file(forge, "a", "Content a", 9);
}

static void missing(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_a(forge);
}

static void no_manifest(struct forge *forge, struct bundle_manifest *manifest)
{
	(void)forge;
	(void)manifest;
}

static void manifest_second(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_a(forge);
	forge_manifest(forge, manifest);
	forge_b(forge);
}

static void manifest_twice(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_manifest(forge, manifest);
	forge_manifest(forge, manifest);
}

static void manifest_twice_at_the_end(struct forge *forge, struct bundle_manifest *manifest)
{
	forge_good(forge, manifest);
	forge_manifest(forge, manifest);
}

static void manifest_is_a_link(struct forge *forge, struct bundle_manifest *manifest)
{
	(void)manifest;
	put_typed(forge, BUNDLE_MANIFEST_NAME, AE_IFLNK);
}

static void manifest_is_no_json(struct forge *forge, struct bundle_manifest *manifest)
{
	(void)manifest;
	forge_file(forge, BUNDLE_MANIFEST_NAME, "hello", 5);
}

static void manifest_is_empty(struct forge *forge, struct bundle_manifest *manifest)
{
	(void)manifest;
	forge_file(forge, BUNDLE_MANIFEST_NAME, "", 0);
}

static void manifest_too_large(struct forge *forge, struct bundle_manifest *manifest)
{
	size_t len = BUNDLE_MANIFEST_MAX + 1;
	autofree char *spaces = xmalloc(len);

	(void)manifest;
	memset(spaces, ' ', len);
	forge_file(forge, BUNDLE_MANIFEST_NAME, spaces, len);
}

static void diff(struct forge *forge, struct bundle_manifest *manifest)
{
	manifest->type = BUNDLE_DIFF;
	manifest->base = xstrdup("bundle.6553f100.1e240.00112233445566778899aabbccddeeff");
	forge_good(forge, manifest);
}

static void too_deep(struct forge *forge, struct bundle_manifest *manifest)
{
	add_file(manifest, "sub/c", "x", 1);
	forge_good(forge, manifest);
	forge_file(forge, "sub/c", "x", 1);
}

static void over_the_limit(struct forge *forge, struct bundle_manifest *manifest)
{
	add_file(manifest, "c", "x", 1);
	manifest->files.items[2].size_bytes = UINT64_C(65) << 30;
	forge_manifest(forge, manifest);
}

static void long_name(struct forge *forge, struct bundle_manifest *manifest)
{
	autofree char *name = xmalloc(600001);

	memset(name, 'n', 600000);
	name[600000] = '\0';
	forge_manifest(forge, manifest);
	forge_file(forge, name, "x", 1);
}

static void huge_name(struct forge *forge, struct bundle_manifest *manifest)
{
	autofree char *name = xmalloc(3000001);

	memset(name, 'n', 3000000);
	name[3000000] = '\0';
	forge_manifest(forge, manifest);
	forge_file(forge, name, "x", 1);
}

/* "Decompresses to more" is the limit on what comes before anybody sees it. */
static const struct {
	const char *name;
	forge_attack *attack;
	const char *says;
} attacks[] = {
	{ "absolute", absolute, "\"/tmp/bundle-test-escaped\" is not in the manifest" },
	{ "dotdot", dotdot, "\"../escaped\" is not in the manifest" },
	{ "dotdot announced", dotdot_announced, "file name \"../escaped\" is not allowed" },
	{ "absolute announced", absolute_announced,
	  "file name \"/tmp/bundle-test-escaped\" is not allowed" },
	{ "symlink", symlink_entry, "\"a\" is a symbolic link" },
	{ "hard link", hardlink_entry, "\"b\" is a hard link" },
	{ "char device", char_device, "\"a\" is a device" },
	{ "block device", block_device, "\"a\" is a device" },
	{ "fifo", fifo, "\"a\" is a fifo" },
	{ "directory", directory, "\"a/\" is a directory" },
	{ "sparse", sparse, "\"a\" is a sparse file" },
	{ "twice", twice, "\"a\" is there twice" },
	{ "twice, end", twice_at_the_end, "\"a\" is there twice" },
	{ "unannounced", unannounced, "\"evil\\x0a\\x1b[31m\" is not in the manifest" },
	{ "unannounced, end", unannounced_at_the_end, "\"c\" is not in the manifest" },
	{ "other order", other_order, "\"a\" is missing before \"b\"" },
	{ "larger", larger, "\"a\" has 10 bytes, the manifest says 9" },
	{ "smaller", smaller, "\"a\" has 7 bytes, the manifest says 9" },
	{ "other content", other_content, "\"a\" has a wrong digest" },
	{ "missing", missing, "\"b\" is missing" },
	{ "no manifest", no_manifest, "has no manifest" },
	{ "manifest second", manifest_second, "starts with \"a\", not with a manifest" },
	{ "manifest twice", manifest_twice, "has a second manifest" },
	{ "manifest twice, end", manifest_twice_at_the_end, "has a second manifest" },
	{ "manifest a link", manifest_is_a_link, "\".manifest.json\" is a symbolic link" },
	{ "manifest no JSON", manifest_is_no_json, "manifest: " },
	{ "manifest empty", manifest_is_empty, "manifest: " },
	{ "manifest too large", manifest_too_large,
	  "manifest of 16777217 bytes, at most 16777216 can be" },
	{ "diff", diff, "a diff, which is nothing without its base" },
	{ "too deep", too_deep, "name \"sub/c\" is not allowed in this unit" },
	{ "over the limit", over_the_limit, "unpacks to more than the limit of 68719476736 bytes" },
	{ "long name", long_name, "nnn\"... is not in the manifest" },
	{ "huge name", huge_name, "damaged or cut short: " },
};

static void test_attacks(void **state)
{
	struct scratch scratch;

	(void)state;
	scratch_open(&scratch);
	for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
		autoforge struct forge forge;
		struct err err = { 0 };

		forge_ab(&forge, i % 2 ? archive_write_add_filter_zstd : NULL, attacks[i].attack);
		if (forge_unpack(&forge, scratch.dest, NULL, &err) == 0)
			fail_msg("%s: was taken", attacks[i].name);
		if (err.code != ERR_DATA)
			fail_msg("%s: code %d, %s", attacks[i].name, (int)err.code, err.msg);
		if (!strstr(err.msg, attacks[i].says))
			fail_msg("%s: %s", attacks[i].name, err.msg);
		assert_int_not_equal(access("/tmp/bundle-test-escaped", F_OK), 0);
		scratch_again(&scratch);
	}
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
