#include "../scratch.h"

#include "base/buf.h"
#include "base/hash.h"

enum kind { MD5, SHA256, CONTENT };

static void assert_hex(const unsigned char *digest, size_t len, const char *expected)
{
	autobuf struct buf hex = { 0 };

	buf_hex(&hex, digest, len);
	assert_string_equal(buf_str(&hex), expected);
}

/* RFC 1321, FIPS 180-2, and what xxhsum says. */
static void test_vectors(void **state)
{
	static const struct {
		enum kind kind;
		const char *text, *hex;
	} rows[] = {
		{ MD5, "", "d41d8cd98f00b204e9800998ecf8427e" },
		{ MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
		{ MD5, "user@example.com", "b58996c504c5638798eb6b511e6f49af" },
		{ SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ SHA256, "abc",
		  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ CONTENT, "", "99aa06d3014798d86001c324468d497f" },
		{ CONTENT, "abc", "06b05ab6733a618578af5f94892f3950" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		size_t len = strlen(rows[i].text);
		unsigned char out[32];

		if (rows[i].kind == MD5)
			hash_md5(rows[i].text, len, out);
		else if (rows[i].kind == SHA256)
			hash_sha256(rows[i].text, len, out);
		else
			hash_content(rows[i].text, len, out);
		assert_hex(out, rows[i].kind == SHA256 ? 32 : 16, rows[i].hex);
	}
	assert_true(hash_64("", 0, 0) == UINT64_C(0x2d06800538d394c2));
	assert_true(hash_64("a", 1, 0) != hash_64("a", 1, 1));
}

/* However the data is cut, the digest is that of the whole. */
static void test_streams(void **state)
{
	static const size_t lens[] = { 0, 1, 64, 240, 241, 1024, 1025, 100000 };
	static const size_t pieces[] = { 1, 3, 64, 255, 1024, 99999, 1000000 };
	static char data[100000];

	(void)state;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * i >> 3);
	for (size_t i = 0; i < ROWS(lens); i++) {
		unsigned char content[HASH_CONTENT_SIZE], sha[32], out[32];

		hash_content(data, lens[i], content);
		hash_sha256(data, lens[i], sha);
		for (size_t k = 0; k < ROWS(pieces); k++) {
			struct hash_sha256_stream *whole = hash_sha256_new();
			autohash struct hash_content_stream *stream = hash_content_new();

			for (size_t at = 0; at < lens[i]; at += pieces[k]) {
				size_t left = lens[i] - at;
				size_t n = left < pieces[k] ? left : pieces[k];

				hash_content_add(stream, data + at, n);
				hash_content_get(stream, out); /* more may be added */
				hash_sha256_add(whole, data + at, n);
			}
			hash_content_get(stream, out);
			assert_memory_equal(out, content, sizeof content);
			hash_sha256_end(&whole, out);
			assert_null(whole);
			assert_memory_equal(out, sha, sizeof sha);
		}
	}
}

static void test_every_bit_counts(void **state)
{
	unsigned char data[300] = { 0 }, before[16], after[16];

	(void)state;
	hash_content(data, sizeof data, before);
	for (size_t bit = 0; bit < sizeof data * 8; bit++) {
		data[bit / 8] ^= (unsigned char)(1 << bit % 8);
		hash_content(data, sizeof data, after);
		assert_memory_not_equal(before, after, sizeof after);
		data[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	hash_content(data, sizeof data - 1, after);
	assert_memory_not_equal(before, after, sizeof after);
}

static void test_free_null(void **state)
{
	struct hash_content_stream *stream = NULL;

	(void)state;
	hash_content_free(&stream);
	assert_null(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_free_null),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
