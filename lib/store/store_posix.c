#include "store/store_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"

#define BLOCK (256 * 1024)

void store_posix_enter(struct store_posix *posix)
{
	pthread_mutex_lock(&posix->mutex);
	while (posix->slots == 0)
		pthread_cond_wait(&posix->freed, &posix->mutex);
	posix->slots--;
	pthread_mutex_unlock(&posix->mutex);
}

void store_posix_leave(struct store_posix *posix)
{
	pthread_mutex_lock(&posix->mutex);
	posix->slots++;
	pthread_cond_signal(&posix->freed);
	pthread_mutex_unlock(&posix->mutex);
}

int store_posix_check_root(const struct store_posix *posix, struct err *err)
{
	struct stat st;

	if (fstat(posix->root, &st) < 0)
		return err_sys(err, errno, "the store's directory");
	if (st.st_nlink == 0) {
		err_set(err, ERR_UNAVAILABLE, "the store's directory was removed");
		return err_hint(err, "is it mounted?");
	}
	return 0;
}

bool store_posix_is_tmp(const char *name)
{
	return strncmp(name, STORE_POSIX_TMP, strlen(STORE_POSIX_TMP)) == 0;
}

/* A regular file, open for reading: 1, 0 there is none, -1. */
static int open_object(struct store_posix *posix, const char *key, int *fd_r,
		       struct fsx_stat *stat_r, struct err *err)
{
	autofd int fd = fsx_openat(posix->root, key, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return store_posix_check_root(posix, err);
	if (fd < 0 && (errno == ELOOP || errno == EXDEV))
		return err_set(err, ERR_DATA, "there is a symbolic link in the way");
	if (fd < 0)
		return err_sys(err, errno, "open");
	if (fsx_fstat(fd, stat_r) < 0)
		return err_sys(err, errno, "stat");
	if (S_ISDIR(stat_r->mode))
		return 0;
	if (!S_ISREG(stat_r->mode))
		return err_set(err, ERR_DATA, "this is no regular file");
	*fd_r = steal_fd(&fd);
	return 1;
}

static int copy_object(int fd, uint64_t size_bytes, struct spool *into, struct err *err)
{
	autofree char *block = xmalloc(BLOCK);
	ssize_t n;

	for (;;) {
		n = read(fd, block, BLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (spool_write(into, block, (size_t)n, err) < 0)
			return -1;
	}
	if (n < 0)
		return err_sys(err, errno, "read");
	if (spool_size(into) != size_bytes)
		return err_set(err, ERR_DATA, "%llu bytes were read where %llu are announced",
			       (unsigned long long)spool_size(into),
			       (unsigned long long)size_bytes);
	return 1;
}

static int posix_get(struct store_driver *driver, const char *key, struct spool *into,
		     struct err *err)
{
	struct store_posix *posix = store_posix_of(driver);
	struct fsx_stat st = { 0 };
	autofd int fd = -1;
	int ret;

	store_posix_enter(posix);
	spool_reset(into);
	ret = open_object(posix, key, &fd, &st, err);
	if (ret > 0)
		ret = copy_object(fd, st.size_bytes, into, err);
	store_count(posix->stats, STORE_GET, ret > 0 ? st.size_bytes : 0);
	store_posix_leave(posix);
	return ret;
}

static int posix_head(struct store_driver *driver, const char *key, struct store_head *head_r,
		      struct err *err)
{
	struct store_posix *posix = store_posix_of(driver);
	struct fsx_stat st = { 0 };
	autofd int fd = -1;
	int ret;

	store_posix_enter(posix);
	ret = open_object(posix, key, &fd, &st, err);
	head_r->size_bytes = st.size_bytes;
	store_count(posix->stats, STORE_HEAD, 0);
	store_posix_leave(posix);
	return ret;
}

/* Directories that this leaves empty go too. rmdir fails where a put has begun in
 * one, and a put that finds its directory gone makes it anew. */
static void prune_dirs(struct store_posix *posix, const char *key)
{
	autofree char *path = xstrdup(key);
	char *slash;

	while ((slash = strrchr(path, '/')) != NULL) {
		char *name;
		autofd int above = -1;

		*slash = '\0';
		name = strrchr(path, '/');
		if (name) {
			*name = '\0';
			above = fsx_opendir(posix->root, path);
			*name++ = '/';
		}
		if (name && above < 0)
			return;
		if (unlinkat(name ? above : posix->root, name ? name : path, AT_REMOVEDIR) < 0)
			return;
		store_posix_forget_dir(posix, path, strlen(path));
	}
}

/* A directory kept open over the keys that follow each other in it. */
struct parent {
	int fd;     /* -1: none */
	bool dirty; /* something was unlinked since it was opened */
	size_t len;
	const char *key; /* whose first `len` bytes are its path */
};

static int parent_close(struct parent *parent, struct err *err)
{
	int ret = 0;

	if (parent->fd >= 0 && parent->dirty && fsync(parent->fd) < 0)
		ret = err_sys(err, errno, "fsync the directory of %s", quote_str(parent->key).s);
	cleanup_fd(&parent->fd);
	parent->fd = -1;
	return ret;
}

/* 1 open, 0 there is no such directory, -1. */
static int parent_open(struct store_posix *posix, struct parent *parent, const char *key,
		       struct err *err)
{
	const char *slash = strrchr(key, '/');
	size_t len = slash ? (size_t)(slash - key) : 0;
	autofree char *dir = NULL;

	if (parent->fd >= 0 && parent->len == len && memcmp(parent->key, key, len) == 0)
		return 1;
	if (parent_close(parent, err) < 0)
		return -1;
	dir = xstrndup(key, len);
	*parent = (struct parent){ fsx_opendir(posix->root, dir), false, len, key };
	if (parent->fd >= 0)
		return 1;
	if (errno == ENOENT || errno == ENOTDIR)
		return store_posix_check_root(posix, err);
	return err_sys(err, errno, "%s", quote_str(key).s);
}

static int remove_one(struct store_posix *posix, struct parent *parent, const char *key,
		      struct err *err)
{
	const char *slash = strrchr(key, '/');
	int ret = parent_open(posix, parent, key, err);

	if (ret <= 0)
		return ret;
	if (unlinkat(parent->fd, slash ? slash + 1 : key, 0) == 0)
		parent->dirty = true;
	else if (errno != ENOENT && errno != EISDIR)
		return err_sys(err, errno, "%s", quote_str(key).s);
	return 0;
}

static int posix_remove(struct store_driver *driver, const char *const *keys, size_t count,
			bool *deleted_r, struct err *err)
{
	struct store_posix *posix = store_posix_of(driver);
	struct parent parent = { .fd = -1 };
	struct err first = { 0 };
	int ret = 0;

	store_posix_enter(posix);
	for (size_t i = 0; i < count; i++) {
		deleted_r[i] = remove_one(posix, &parent, keys[i], ret == 0 ? &first : NULL) == 0;
		if (!deleted_r[i])
			ret = -1;
		if (i % STORE_LIST_PAGE == 0)
			store_count(posix->stats, STORE_DELETE, 0);
	}
	if (parent_close(&parent, ret == 0 ? &first : NULL) < 0)
		ret = -1;
	for (size_t i = 0; i < count; i++) {
		if (deleted_r[i])
			prune_dirs(posix, keys[i]);
	}
	store_posix_leave(posix);
	if (ret < 0 && err)
		*err = first;
	return ret;
}

static void posix_close(struct store_driver *driver)
{
	struct store_posix *posix = store_posix_of(driver);

	cleanup_fd(&posix->root);
	pthread_mutex_destroy(&posix->mutex);
	pthread_cond_destroy(&posix->freed);
	free(driver->name);
	free(posix);
}

int store_posix_open(const struct store_driver_args *args, struct store_driver **driver_r,
		     struct err *err)
{
	static const struct store_driver_ops ops = {
		.put = store_posix_put,
		.get = posix_get,
		.head = posix_head,
		.list = store_posix_list,
		.remove = posix_remove,
		.close = posix_close,
	};
	struct store_posix *posix;
	autofd int root = fsx_open_root(args->url->posix_dir, err);

	if (root < 0) {
		/* No store is not the same as no object. */
		if (err && err->code == ERR_NOTFOUND)
			err->code = ERR_UNAVAILABLE;
		err_hint(err, "make the directory, or mount what belongs there");
		return err_prefix(err, "posix %s", args->url->posix_dir);
	}
	posix = xcalloc(1, sizeof *posix);
	posix->driver.ops = &ops;
	posix->driver.name = store_url_name(args->url);
	posix->stats = args->stats;
	posix->root = steal_fd(&root);
	posix->slots =
		args->options->max_parallel ? args->options->max_parallel : STORE_PARALLEL_DEFAULT;
	pthread_mutex_init(&posix->mutex, NULL);
	pthread_cond_init(&posix->freed, NULL);
	*driver_r = &posix->driver;
	return 0;
}
