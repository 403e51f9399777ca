#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fsx.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/quote.h"
#include "store/store_posix.h"

#define BLOCK (256 * 1024)
#define TRIES 100 /* how often a directory may vanish under a put */

static atomic_uint_fast64_t *synced_slot(struct store_posix *posix, const char *path, size_t len,
					 uint64_t *hash_r)
{
	*hash_r = hash_64(path, len, 0) | 1;
	return &posix->synced[(*hash_r >> 1) % STORE_POSIX_SYNCED];
}

static bool is_synced(struct store_posix *posix, const char *path, size_t len)
{
	uint64_t hash;

	return atomic_load(synced_slot(posix, path, len, &hash)) == hash;
}

static void remember_synced(struct store_posix *posix, const char *path, size_t len)
{
	uint64_t hash;
	atomic_uint_fast64_t *slot = synced_slot(posix, path, len, &hash);

	atomic_store(slot, hash);
}

void store_posix_forget_dir(struct store_posix *posix, const char *path, size_t len)
{
	uint64_t hash;
	atomic_uint_fast64_t *slot = synced_slot(posix, path, len, &hash);
	uint_fast64_t expected = hash;

	atomic_compare_exchange_strong(slot, &expected, 0);
}

/* Go one component down from `above`, making it where it is missing. The entry
 * is durable on return: who finds it there may have been faster than the fsync
 * of whoever made it. The handle, or -1 with errno. */
static int step_down(struct store_posix *posix, int above, const char *path, size_t start,
		     size_t end)
{
	autofree char *name = xstrndup(path + start, end - start);
	bool made = mkdirat(above, name, 0777) == 0;
	int fd;

	if (!made && errno != EEXIST)
		return -1;
	if (made || !is_synced(posix, path, end)) {
		if (fsync(above) < 0)
			return -1;
		remember_synced(posix, path, end);
	}
	fd = fsx_opendir(above, name);
	return fd;
}

/* The directory of a key, made as needed. The handle, or -1 with errno. */
static int open_dir(struct store_posix *posix, const char *path)
{
	size_t len = strlen(path), end = 0;
	autofd int at = -1;

	if (len == 0 || is_synced(posix, path, len)) {
		at = fsx_opendir(posix->root, path);
		if (at >= 0 || errno != ENOENT)
			return steal_fd(&at);
	}
	at = fsx_opendir(posix->root, "");
	while (at >= 0 && end < len) {
		size_t start = end == 0 ? 0 : end + 1;
		int below;

		end = start + strcspn(path + start, "/");
		below = step_down(posix, at, path, start, end);
		cleanup_fd(&at);
		at = below;
	}
	return steal_fd(&at);
}

static int make_tmp(int dir, char name[48])
{
	unsigned char random[16];
	autobuf struct buf hex = { 0 };

	clock_random(random, sizeof random);
	buf_hex(&hex, random, sizeof random);
	snprintf(name, 48, STORE_POSIX_TMP "%s", buf_str(&hex));
	return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
}

static int write_block(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_content(int fd, const struct spool *content, struct err *err)
{
	autofree char *block = NULL;
	const char *memory = spool_memory(content);
	uint64_t offset = 0;
	ssize_t n = 0;

	if (memory) {
		if (write_block(fd, memory, (size_t)spool_size(content)) < 0)
			return err_sys(err, errno, "write");
	} else {
		block = xmalloc(BLOCK);
		while ((n = spool_read(content, offset, block, BLOCK, err)) > 0) {
			if (write_block(fd, block, (size_t)n) < 0)
				return err_sys(err, errno, "write");
			offset += (uint64_t)n;
		}
	}
	if (n < 0)
		return -1;
	if (fsync(fd) < 0)
		return err_sys(err, errno, "fsync");
	return 0;
}

/* Give the temporary its name, which must be free. 0 or -1 with errno. */
static int install(int dir, const char *tmp, const char *name)
{
	if (renameat2(dir, tmp, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* NFS knows no RENAME_NOREPLACE; a hard link does not replace either. */
	if (linkat(dir, tmp, dir, name, 0) < 0)
		return -1;
	return unlinkat(dir, tmp, 0);
}

static int install_durably(int dir, const char *tmp, const char *name, struct err *err)
{
	if (install(dir, tmp, name) < 0) {
		int errnum = errno;

		unlinkat(dir, tmp, 0);
		if (errnum == EEXIST)
			return err_set(err, ERR_CONFLICT, "there is one with this name already");
		return err_sys(err, errnum, "rename");
	}
	if (fsync(dir) < 0)
		return err_sys(err, errno, "fsync the directory");
	return 0;
}

/* The directory and a new temporary in it. */
static int begin(struct store_posix *posix, const char *path, int *dir_r, char tmp[48],
		 struct err *err)
{
	int fd = -1;

	for (int i = 0; i < TRIES; i++) {
		autofd int dir = open_dir(posix, path);

		if (dir >= 0)
			fd = make_tmp(dir, tmp);
		if (fd >= 0) {
			*dir_r = steal_fd(&dir);
			return fd;
		}
		/* ENOENT: a delete emptied and removed it meanwhile. */
		if (errno != ENOENT || store_posix_check_root(posix, err) < 0)
			break;
	}
	if (errno == ELOOP || errno == EXDEV)
		return err_set(err, ERR_DATA, "there is a symbolic link in the way");
	return err && err->code != ERR_NONE ? -1 : err_sys(err, errno, "make a file");
}

static int put(struct store_posix *posix, const struct store_put_args *args, struct err *err)
{
	const char *slash = strrchr(args->key, '/');
	autofree char *path = xstrndup(args->key, slash ? (size_t)(slash - args->key) : 0);
	char tmp[48];
	autofd int dir = -1;
	autofd int fd = -1;

	if (store_posix_is_tmp(slash ? slash + 1 : args->key))
		return err_set(err, ERR_USAGE,
			       "names that begin with " STORE_POSIX_TMP " are for temporaries");
	fd = begin(posix, path, &dir, tmp, err);
	if (fd < 0)
		return -1;
	if (write_content(fd, args->content, err) < 0) {
		unlinkat(dir, tmp, 0);
		return -1;
	}
	return install_durably(dir, tmp, slash ? slash + 1 : args->key, err);
}

int store_posix_put(struct store_driver *driver, const struct store_put_args *args, struct err *err)
{
	struct store_posix *posix = store_posix_of(driver);
	struct err own = { 0 };
	int ret;

	store_posix_enter(posix);
	ret = put(posix, args, &own);
	store_count(posix->stats, STORE_PUT, spool_size(args->content));
	store_posix_leave(posix);
	if (ret < 0 && err)
		*err = own;
	return ret;
}
