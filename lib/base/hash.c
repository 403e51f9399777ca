#include "base/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <xxhash.h>

struct hash_sha256_stream {
	EVP_MD_CTX *ctx;
};

struct hash_content_stream {
	XXH3_state_t *state;
};

/* libcrypto fails here only when it has no memory or no such digest at all;
 * both leave nothing to go on with. */
static void must(int ok)
{
	if (!ok)
		abort();
}

void hash_md5(const void *data, size_t len, unsigned char out[16])
{
	must(EVP_Digest(data, len, out, NULL, EVP_md5(), NULL));
}

void hash_sha256(const void *data, size_t len, unsigned char out[32])
{
	must(EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL));
}

struct hash_sha256_stream *hash_sha256_new(void)
{
	struct hash_sha256_stream *stream = malloc(sizeof *stream);

	must(stream != NULL);
	stream->ctx = EVP_MD_CTX_new();
	must(stream->ctx != NULL);
	must(EVP_DigestInit_ex(stream->ctx, EVP_sha256(), NULL));
	return stream;
}

void hash_sha256_add(struct hash_sha256_stream *stream, const void *data, size_t len)
{
	must(EVP_DigestUpdate(stream->ctx, data, len));
}

void hash_sha256_end(struct hash_sha256_stream **stream, unsigned char out[32])
{
	must(EVP_DigestFinal_ex((*stream)->ctx, out, NULL));
	EVP_MD_CTX_free((*stream)->ctx);
	free(*stream);
	*stream = NULL;
}

static void put_canonical(XXH128_hash_t hash, unsigned char out[HASH_CONTENT_SIZE])
{
	XXH128_canonicalFromHash((XXH128_canonical_t *)out, hash);
}

void hash_content(const void *data, size_t len, unsigned char out[HASH_CONTENT_SIZE])
{
	put_canonical(XXH3_128bits(data, len), out);
}

struct hash_content_stream *hash_content_new(void)
{
	struct hash_content_stream *stream = malloc(sizeof *stream);

	must(stream != NULL);
	stream->state = XXH3_createState();
	must(stream->state != NULL);
	XXH3_128bits_reset(stream->state);
	return stream;
}

void hash_content_add(struct hash_content_stream *stream, const void *data, size_t len)
{
	XXH3_128bits_update(stream->state, data, len);
}

void hash_content_get(const struct hash_content_stream *stream,
		      unsigned char out[HASH_CONTENT_SIZE])
{
	put_canonical(XXH3_128bits_digest(stream->state), out);
}

void hash_content_free(struct hash_content_stream **stream)
{
	if (!*stream)
		return;
	XXH3_freeState((*stream)->state);
	free(*stream);
	*stream = NULL;
}

uint64_t hash_64(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}
