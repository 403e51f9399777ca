/*
 * barewalk: getdents64 and statx over a tree and nothing else, the limit for any
 * program that has to look at every file.
 *
 *     barewalk ROOT [THREADS]
 *
 * prints files, folders, bytes and seconds. Threads take folders from one stack.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define MAX_THREADS 64

struct folder {
	struct folder *below;
	char path[]; /* below the root */
};

static struct walk {
	int root;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct folder *stack;
	unsigned busy; /* threads that may still push */
} walk = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

struct totals {
	unsigned long long files, folders, bytes;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "barewalk: %s: %s\n", what, strerror(errno));
	exit(74);
}

static void push(const char *parent, const char *name)
{
	size_t size = strlen(parent) + strlen(name) + 2;
	struct folder *f = malloc(sizeof(*f) + size);
	if (f == NULL)
		die("memory");
	snprintf(f->path, size, "%s%s%s", parent, *parent != '\0' ? "/" : "", name);
	pthread_mutex_lock(&walk.lock);
	f->below = walk.stack;
	walk.stack = f;
	pthread_cond_signal(&walk.changed);
	pthread_mutex_unlock(&walk.lock);
}

/* NULL: nothing is left, and nobody is left to add to it. */
static struct folder *pop(void)
{
	pthread_mutex_lock(&walk.lock);
	walk.busy--;
	while (walk.stack == NULL && walk.busy > 0)
		pthread_cond_wait(&walk.changed, &walk.lock);
	struct folder *f = walk.stack;
	if (f != NULL) {
		walk.stack = f->below;
		walk.busy++;
	} else {
		pthread_cond_broadcast(&walk.changed);
	}
	pthread_mutex_unlock(&walk.lock);
	return f;
}

static void entry(int fd, const struct folder *f, const struct dirent64 *d, struct totals *totals)
{
	struct statx st;
	if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
		return;
	if (d->d_type == DT_DIR) {
		push(f->path, d->d_name);
		return;
	}
	if (statx(fd, d->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) < 0)
		die(d->d_name);
	if (S_ISDIR(st.stx_mode)) { /* a filesystem without types in its entries */
		push(f->path, d->d_name);
		return;
	}
	totals->files++;
	totals->bytes += st.stx_size;
}

static void *work(void *ptr)
{
	struct totals *totals = ptr;
	_Alignas(struct dirent64) char buffer[BUFFER_BYTES];
	struct folder *f;
	while ((f = pop()) != NULL) {
		const char *path = f->path[0] != '\0' ? f->path : ".";
		int fd = openat(walk.root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			die(path);
		long len;
		while ((len = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
			for (long at = 0; at < len;) {
				const struct dirent64 *d = (const void *)(buffer + at);
				entry(fd, f, d, totals);
				at += d->d_reclen;
			}
		}
		if (len < 0)
			die(path);
		close(fd);
		free(f);
		totals->folders++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc == 3 ? atoi(argv[2]) : 1;
	if (argc < 2 || argc > 3 || threads < 1 || threads > MAX_THREADS) {
		fputs("usage: barewalk ROOT [THREADS]\n", stderr);
		return 64;
	}
	walk.root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (walk.root < 0)
		die(argv[1]);
	struct timespec start, end;
	clock_gettime(CLOCK_MONOTONIC, &start);
	struct totals totals[MAX_THREADS] = { 0 };
	pthread_t ids[MAX_THREADS];
	walk.busy = (unsigned)threads;
	push("", "");
	for (int i = 1; i < threads; i++) {
		if ((errno = pthread_create(&ids[i], NULL, work, &totals[i])) != 0)
			die("thread");
	}
	work(&totals[0]);
	for (int i = 1; i < threads; i++) {
		pthread_join(ids[i], NULL);
		totals[0].files += totals[i].files;
		totals[0].folders += totals[i].folders;
		totals[0].bytes += totals[i].bytes;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%llu files %llu folders %llu bytes %.3f seconds\n", totals[0].files,
	       totals[0].folders, totals[0].bytes,
	       (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
	return fflush(stdout) == 0 ? 0 : 74;
}
