#include "fscache/fscache_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/expand.h"
#include "base/fsx.h"
#include "base/quote.h"

#define USED S_IXUSR

/* The path itself, checked. */
static int expand_to(const char *pattern, const char *user, struct buf *path, struct err *err)
{
	struct expand_user who = { 0 };

	if (user) {
		if (expand_user_init(&who, user, err) < 0)
			return -1;
		return expand_path(pattern, &who, path, err);
	}
	if (strchr(pattern, '%'))
		return err_set(err, ERR_USAGE, "%s is a path for each user: a user is needed",
			       pattern);
	buf_puts(path, pattern);
	return 0;
}

/* What the operator wrote: links in it are followed, and its last folder may be missing. */
static int open_static(const char *path, struct err *err)
{
	if (mkdir(path, 0700) < 0 && errno == ENOSPC)
		return err_sys(err, errno, "make directory %s", path);
	return fsx_open_root(path, err);
}

int fscache_folder_root(const char *pattern, const char *user, struct buf *path, bool *bad_path_r,
			struct err *err)
{
	autobuf struct buf text = { 0 }, prefix = { 0 };
	autofd int top = -1;
	const char *below;
	int fd;

	*bad_path_r = true;
	buf_puts(&text, pattern);
	while (text.len > 1 && text.data[text.len - 1] == '/')
		buf_truncate(&text, text.len - 1);
	buf_truncate(path, 0);
	if (pattern[0] != '/')
		return err_set(err, ERR_CONFIG, "the path %s is not absolute",
			       quote_str(pattern).s);
	if (expand_to(buf_str(&text), user, path, err) < 0)
		return -1;
	*bad_path_r = false;
	expand_static_prefix(buf_str(&text), &prefix);
	if (prefix.len == 0)
		buf_puts(&prefix, "/");
	top = open_static(buf_str(&prefix), err);
	if (top < 0)
		return -1;
	below = path->data + (prefix.len < path->len ? prefix.len : path->len);
	below += strspn(below, "/");
	if (*below == '\0')
		return steal_fd(&top);
	if (fsx_mkdirs(top, below, 0700, err) < 0)
		return -1;
	fd = fsx_opendir(top, below);
	return fd < 0 ? err_sys(err, errno, "open directory %s", buf_str(path)) : fd;
}

int fscache_folder_make(int dirfd, const char *name, struct err *err)
{
	int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "make the folder %s", name);
		fd = openat(dirfd, name, flags);
	}
	return fd < 0 ? err_sys(err, errno, "open the folder %s", name) : fd;
}

int fscache_folder_hit(int dirfd, const struct fscache_name *name, uint64_t *size_r,
		       struct err *err)
{
	autofd int fd = fsx_openat(dirfd, name->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		return err_sys(err, EISDIR, "name the object");
	/* None is kept empty: this one lost its content in a crash. */
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return -1;
	if (!(st.st_mode & USED))
		(void)fchmod(fd, (st.st_mode | USED) & 0777);
	*size_r = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

/* The mark is taken off whatever file has the name: it can only be one that came since. */
static bool unmark(int folder, const char *file, mode_t mode)
{
	autofd int fd = openat(folder, file, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && fchmod(fd, mode & 0777 & ~(mode_t)USED) == 0;
}

static bool means_absent(int errnum)
{
	return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP;
}

enum fscache_folder_gone fscache_folder_evict(int dirfd, const struct fscache_name *name,
					      uint64_t inode, bool force)
{
	const char *file = fscache_name_file(name);
	autofd int folder = openat(dirfd, fscache_name_folder(name).s,
				   O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (folder < 0 || fstatat(folder, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return means_absent(errno) ? FSCACHE_FOLDER_GONE : FSCACHE_FOLDER_STUCK;
	if (!S_ISREG(st.st_mode) || st.st_ino != inode)
		return FSCACHE_FOLDER_GONE;
	if (!force && (st.st_mode & USED) && unmark(folder, file, st.st_mode))
		return FSCACHE_FOLDER_SPARED;
	if (unlinkat(folder, file, 0) < 0)
		return errno == ENOENT ? FSCACHE_FOLDER_GONE : FSCACHE_FOLDER_STUCK;
	return FSCACHE_FOLDER_REMOVED;
}
