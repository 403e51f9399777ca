/* The hashes that formats here are made of. This file's .c is the only one that
 * knows libcrypto and xxHash. Thread-safe; nothing here can fail. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* MD5, for names only: Dovecot's %M and %N, object names, ETags. */
void hash_md5(const void *data, size_t len, unsigned char out[16]);

/* SHA-256, for signed S3 payloads. */
void hash_sha256(const void *data, size_t len, unsigned char out[32]);

/* SHA-256 of data that comes in pieces. */
struct hash_sha256_stream;
struct hash_sha256_stream *hash_sha256_new(void);
void hash_sha256_add(struct hash_sha256_stream *stream, const void *data, size_t len);
void hash_sha256_end(struct hash_sha256_stream **stream, unsigned char out[32]);

/* XXH3, 128 bits, in its canonical (big-endian) form: digests of file contents.
 * It finds damage; it is no defence against somebody who can write the store. */
#define HASH_CONTENT_SIZE 16
#define HASH_CONTENT_HEX (2 * HASH_CONTENT_SIZE)
void hash_content(const void *data, size_t len, unsigned char out[HASH_CONTENT_SIZE]);

struct hash_content_stream;
struct hash_content_stream *hash_content_new(void);
void hash_content_add(struct hash_content_stream *stream, const void *data, size_t len);
/* The digest so far; more may be added. */
void hash_content_get(const struct hash_content_stream *stream,
		      unsigned char out[HASH_CONTENT_SIZE]);
void hash_content_free(struct hash_content_stream **stream);
#define autohash CLEANUP(hash_content_free)

/* XXH3, 64 bits: fingerprints and hash tables, never stored in another format. */
uint64_t hash_64(const void *data, size_t len, uint64_t seed);
