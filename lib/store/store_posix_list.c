#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "base/vec.h"
#include "store/store_key.h"
#include "store/store_posix.h"

#define TMP_STALE_NS (24 * 3600 * INT64_C(1000000000))

/* Names of one directory; a directory's ends in '/', so that plain comparison
 * gives the order of whole keys. */
VEC(name_vec, char *);

struct listing {
	struct store_posix *posix;
	const struct store_list_args *args;
	uint64_t seen;
	bool stopped;
	bool cut; /* there would have been more pages than asked for */
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_free(struct name_vec *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	vec_free(names);
}

static int64_t age_ns(const struct fsx_stat *st)
{
	return clock_now_ns() - st->mtime_ns;
}

/* A temporary that nobody has written to for a day belongs to a killed put. */
static void sweep_tmp(int dir, const char *name)
{
	struct fsx_stat st;

	if (fsx_stat(dir, name, &st) > 0 && S_ISREG(st.mode) && age_ns(&st) > TMP_STALE_NS)
		unlinkat(dir, name, 0);
}

/* An object or a directory of them? 1, 0 to be passed over, -1. */
static int judge(int dir, const struct fsx_entry *entry, struct err *err)
{
	if (store_posix_is_tmp(entry->name)) {
		sweep_tmp(dir, entry->name);
		return 0;
	}
	if (entry->type != DT_REG && entry->type != DT_DIR)
		return err_set(err, ERR_DATA, "%s is neither a file nor a directory",
			       quote_str(entry->name).s);
	return 1;
}

static int read_names(const struct store_posix *posix, int dir, const char *start,
		      struct name_vec *names, struct err *err)
{
	struct fsx_entry entry;
	autodir struct fsx_dir reader;
	int ret;

	fsx_dir_open(&reader, dir);
	while ((ret = fsx_dir_next(&reader, &entry)) > 0) {
		const char *slash = entry.type == DT_DIR ? "/" : "";

		ret = judge(dir, &entry, err);
		if (ret < 0)
			return -1;
		if (ret > 0 && strncmp(entry.name, start, strlen(start)) == 0)
			vec_push(names, xasprintf("%s%s", entry.name, slash));
	}
	if (ret < 0)
		return err_sys(err, errno, "read a directory");
	/* Empty, or removed since it was opened: perhaps the whole store. */
	if (names->count == 0)
		return store_posix_check_root(posix, err);
	if (names->count > 1)
		qsort(names->items, names->count, sizeof *names->items, compare_names);
	return 0;
}

/* The sorted names below `path` that begin with `start`. 1, 0 no such directory, -1. */
static int load(struct store_posix *posix, const char *path, const char *start,
		struct name_vec *names, struct err *err)
{
	int dir, ret = 1;

	store_posix_enter(posix);
	dir = fsx_opendir(posix->root, path);
	if (dir >= 0)
		ret = read_names(posix, dir, start, names, err) < 0 ? -1 : 1;
	else if (errno == ENOENT || errno == ENOTDIR)
		ret = store_posix_check_root(posix, err);
	else
		ret = err_sys(err, errno, "open directory %s", quote_str(path).s);
	store_posix_leave(posix);
	return ret;
}

static bool is_dir_name(const char *name)
{
	return name[strlen(name) - 1] == '/';
}

/* Whether there is any object below: an empty directory is not one's sign. 1, 0, -1. */
static int has_object(struct store_posix *posix, const char *path, struct err *err)
{
	struct name_vec names CLEANUP(names_free) = { 0 };
	int ret = load(posix, path, "", &names, err);

	if (ret <= 0)
		return ret;
	for (size_t i = 0; i < names.count; i++) {
		if (!is_dir_name(names.items[i]))
			return 1;
	}
	for (size_t i = 0; i < names.count; i++) {
		autofree char *below =
			xasprintf("%s/%.*s", path, (int)strlen(names.items[i]) - 1, names.items[i]);

		ret = has_object(posix, below, err);
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* The listing is cut into pages as S3 cuts it, so that counts compare. */
static int emit(struct listing *listing, const struct store_object *object)
{
	if (listing->seen % STORE_LIST_PAGE == 0 && listing->seen > 0) {
		if (listing->seen / STORE_LIST_PAGE == listing->args->max_pages) {
			listing->cut = listing->stopped = true;
			return 0;
		}
		store_count(listing->posix->stats, STORE_LIST, 0);
	}
	listing->seen++;
	listing->stopped = listing->args->fn(listing->args->ctx, object) != 0;
	return 0;
}

static int emit_file(struct listing *listing, const char *key, struct err *err)
{
	struct store_object object = { .key = key };
	autofd int fd = fsx_openat(listing->posix->root, key, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	struct fsx_stat st;

	/* Deleted since its directory was read: not there is then the truth. */
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return store_posix_check_root(listing->posix, err);
	if (fd < 0 || fsx_fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", quote_str(key).s);
	object.size_bytes = st.size_bytes;
	object.modified = st.mtime_ns / 1000000000;
	return emit(listing, &object);
}

static int emit_prefix(struct listing *listing, const char *key, const char *path, struct err *err)
{
	struct store_object object = { .key = key, .is_prefix = true };
	int ret = has_object(listing->posix, path, err);

	return ret <= 0 ? ret : emit(listing, &object);
}

static int walk(struct listing *listing, const char *path, const char *start, struct err *err)
{
	struct name_vec names CLEANUP(names_free) = { 0 };
	int ret = load(listing->posix, path, start, &names, err);

	for (size_t i = 0; ret >= 0 && i < names.count && !listing->stopped; i++) {
		autofree char *key = xasprintf("%s%s%s", path, path[0] ? "/" : "", names.items[i]);
		size_t len = strlen(key);
		autofree char *below = NULL;

		if (len > STORE_KEY_MAX)
			return err_set(err, ERR_DATA, "%s is too long a name", quote_str(key).s);
		if (!is_dir_name(key)) {
			ret = emit_file(listing, key, err);
			continue;
		}
		below = xstrndup(key, len - 1);
		ret = listing->args->delimiter ? emit_prefix(listing, key, below, err)
					       : walk(listing, below, "", err);
	}
	return ret < 0 ? -1 : 0;
}

int store_posix_list(struct store_driver *driver, const struct store_list_args *args,
		     struct err *err)
{
	struct listing listing = { .posix = store_posix_of(driver), .args = args };
	const char *slash = strrchr(args->prefix, '/');
	autofree char *path = xstrndup(args->prefix, slash ? (size_t)(slash - args->prefix) : 0);

	store_count(listing.posix->stats, STORE_LIST, 0);
	if (walk(&listing, path, slash ? slash + 1 : args->prefix, err) < 0)
		return -1;
	return listing.cut ? 1 : 0;
}
