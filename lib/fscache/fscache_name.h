/* Where an object is in a cache directory: a key and its file, both ways.
 *
 *   key    b5/899/user@example.com/mailboxes/0011/abc
 *   file   d3/b5%2F899%2Fuser@example.com%2Fmailboxes%2F0011%2Fabc
 *
 * The folder is the first two hex digits of the key's XXH3-128. The name is the
 * key with every byte but A-Z a-z 0-9 - _ . ~ @ + = , : written as %XX (upper-case
 * hex), and a dot at its beginning too: one component, never hidden, without
 * blanks, and only one name for a key. Pure. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

#define FSCACHE_NAME_MAX 255
#define FSCACHE_FOLDERS 256

struct fscache_name {
	char hash[33];                       /* of the key, lower-case hex: its temporary in tmp/ */
	char path[3 + FSCACHE_NAME_MAX + 1]; /* folder/name */
};

/* The two components of its path. */
static inline const char *fscache_name_file(const struct fscache_name *name)
{
	return name->path + 3;
}

struct fscache_folder {
	char s[3];
};
static inline struct fscache_folder fscache_name_folder(const struct fscache_name *name)
{
	return (struct fscache_folder){ { name->path[0], name->path[1], '\0' } };
}

/* Of a key that store_key_check() has accepted. false: its name would be too long
 * for a file, so it cannot be cached. */
bool fscache_name_of_key(const char *key, struct fscache_name *name_r);

/* Of a file's name alone (without its folder), as it is in a log or a directory:
 * false where no valid key has that name. `key` (may be NULL) is replaced by the key. */
bool fscache_name_of_file(const char *file, struct fscache_name *name_r, struct buf *key);

/* The number of the folder alone, fast, for who has a million of them: the same as above,
 * -1 for false. `len` is that of the name. */
int fscache_name_folder_of_file(const char *file, size_t len);
