#include "fscache/fscache_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fsx.h"
#include "base/mem.h"
#include "base/quote.h"
#include "base/workers.h"
#include "fscache/fscache_log.h"
#include "fscache/fscache_name.h"
#include "fscache/fscache_temp.h"

/* Measured: a walk of a cold disk waits, so more threads than processors keep it
 * busy; on a warm one they cost nothing. To go by inode numbers, and larger blocks, gained
 * nothing on a cold disk and took more of the processor. */
#define THREADS 16
#define BLOCK_BYTES (32 * 1024)
_Static_assert(FSCACHE_SCAN_FILES >= BLOCK_BYTES / 24, "24 is the shortest struct dirent64");

struct job {
	const struct fscache_scan *scan;
	dev_t dev;
	atomic_uint next_folder;
	atomic_bool failed;
	pthread_mutex_t lock; /* of err */
	struct err *err;
};

/* What one thread works with. */
struct walker {
	struct job *job;
	unsigned folder;
	int fd;
	char *block;
	struct fscache_scan_file *files; /* of the block */
	size_t count;
};

static void fail(struct job *job, int errnum, const char *folder, const char *name)
{
	pthread_mutex_lock(&job->lock);
	if (!atomic_exchange(&job->failed, true))
		err_sys(job->err, errnum, "cannot look at %s%s%s", folder, name ? "/" : "",
			name ? quote_str(name).s : "");
	pthread_mutex_unlock(&job->lock);
}

struct folder_name {
	char s[3];
};

static struct folder_name folder_name(unsigned folder)
{
	struct folder_name name;

	snprintf(name.s, sizeof name.s, "%02x", folder & 0xff);
	return name;
}

static const char *what_is(mode_t type)
{
	switch (type) {
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a link";
	case S_IFREG:
		return "a file";
	default:
		return "neither file nor directory";
	}
}

static void say_foreign(const struct walker *walker, const char *name, mode_t type)
{
	autofree char *path = xasprintf("%02x/%s", walker->folder, name);

	walker->job->scan->foreign(walker->job->scan->ctx, path, what_is(type));
}

static void look_at(struct walker *walker, const char *name)
{
	struct stat st;

	if (fstatat(walker->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			fail(walker->job, errno, folder_name(walker->folder).s, name);
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		say_foreign(walker, name, st.st_mode & S_IFMT);
		return;
	}
	walker->files[walker->count++] = (struct fscache_scan_file){
		.folder = walker->folder,
		.folder_fd = walker->fd,
		.name = name,
		.ino = st.st_ino,
		.bytes = (uint64_t)st.st_blocks * 512,
		.mtime_s = st.st_mtime,
	};
}

/* What is found is told at once for a block: between calls of the kernel nothing stays in
 * the processor's cache. */
static void look_at_block(struct walker *walker, size_t used)
{
	const struct fscache_scan *scan = walker->job->scan;
	walker->count = 0;
	for (size_t at = 0; at < used && !atomic_load(&walker->job->failed);) {
		const struct dirent64 *dirent = (const void *)(walker->block + at);

		at += dirent->d_reclen;
		if (strcmp(dirent->d_name, ".") == 0 || strcmp(dirent->d_name, "..") == 0)
			continue;
		if (dirent->d_type == DT_REG || dirent->d_type == DT_UNKNOWN)
			look_at(walker, dirent->d_name);
		else
			say_foreign(walker, dirent->d_name, DTTOIF(dirent->d_type));
	}
	if (walker->count > 0)
		scan->files(scan->ctx, walker->files, walker->count);
}

/* 1 it is open, 0 there is none to enter, -1 with errno. */
static int open_folder(struct walker *walker)
{
	const struct fscache_scan *scan = walker->job->scan;
	const struct folder_name name = folder_name(walker->folder);
	struct stat st;

	walker->fd = openat(scan->dirfd, name.s, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (walker->fd < 0) {
		if (errno == ENOTDIR || errno == ELOOP)
			scan->foreign(scan->ctx, name.s, "not a directory");
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
	}
	if (fstat(walker->fd, &st) < 0)
		return -1;
	if (st.st_dev == walker->job->dev)
		return 1;
	scan->foreign(scan->ctx, name.s, "another filesystem");
	return 0;
}

static void walk_folder(struct walker *walker)
{
	int ret = open_folder(walker);
	long used = 0;

	while (ret > 0 && !atomic_load(&walker->job->failed)) {
		used = syscall(SYS_getdents64, walker->fd, walker->block, BLOCK_BYTES);
		if (used <= 0)
			break;
		look_at_block(walker, (size_t)used);
	}
	if (ret < 0 || used < 0)
		fail(walker->job, errno, folder_name(walker->folder).s, NULL);
	cleanup_fd(&walker->fd);
}

static void walk(void *arg)
{
	struct walker walker = { .job = arg };

	walker.block = xmalloc(BLOCK_BYTES);
	walker.files = xcalloc(FSCACHE_SCAN_FILES, sizeof *walker.files);
	while ((walker.folder = atomic_fetch_add(&walker.job->next_folder, 1)) < FSCACHE_FOLDERS &&
	       !atomic_load(&walker.job->failed))
		walk_folder(&walker);
	free(walker.block);
	free(walker.files);
}

static bool is_ours(const struct fsx_entry *entry)
{
	static const char hex[] = "0123456789abcdef";
	const char *name = entry->name;

	if (strspn(name, hex) == 2 && name[2] == '\0')
		return true; /* what it is shows when it is opened */
	if (entry->type == DT_DIR)
		return strcmp(name, FSCACHE_TEMP_DIR) == 0 || strcmp(name, "lost+found") == 0;
	return entry->type == DT_REG &&
	       (strcmp(name, FSCACHE_LOG_FILE) == 0 || strcmp(name, FSCACHE_LOG_NEW) == 0);
}

static int look_at_top(const struct fscache_scan *scan, struct err *err)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	int fd = fsx_opendir(scan->dirfd, ".");
	int ret = -1;

	if (fd >= 0) {
		fsx_dir_open(&dir, fd);
		while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
			if (!is_ours(&entry))
				scan->foreign(scan->ctx, entry.name,
					      what_is((mode_t)DTTOIF(entry.type)));
		}
	}
	return ret < 0 ? err_sys(err, errno, "cannot read the directory") : 0;
}

static void run(struct job *job)
{
	unsigned threads = job->scan->threads > 0 ? job->scan->threads : THREADS;
	autoworkers struct workers *workers = workers_new(threads, threads);
	autogroup struct workers_group *group = workers_group_new(workers);

	for (unsigned i = 0; i < threads; i++)
		workers_submit(group, walk, job);
}

int fscache_scan(const struct fscache_scan *scan, struct err *err)
{
	struct job job = { .scan = scan, .lock = PTHREAD_MUTEX_INITIALIZER, .err = err };
	struct stat st;

	if (fstat(scan->dirfd, &st) < 0)
		return err_sys(err, errno, "cannot look at the directory");
	job.dev = st.st_dev;
	if (look_at_top(scan, err) < 0)
		return -1;
	run(&job);
	return job.failed ? -1 : 0;
}
