/*
 * What the cache of mail objects adds to the system calls it cannot do without.
 *
 *     cacheops FOLDER OBJECTS ROUNDS
 *
 * In each round, objects of 8 KiB: added through the cache, and bare written and renamed
 * (for the second line, looked for in vain before, as a cache has to); read through the
 * cache (opened, closed), and opened, fstat()ed and closed bare. Prints the median round of
 * each, in microseconds of processor time an object; nothing here waits for the disk:
 *
 *     add <ours> <bare>
 *     look-add <ours> <bare>
 *     hit <ours> <bare>
 */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "fscache/fscache.h"
#include "fscache/fscache_name.h"

#define SIZE 8192
#define ROUNDS_MAX 99
#define KEY "b5/899/user@example.com/mailboxes/0123456789abcdef0123456789abcdef/%d-%d"

enum { ADD, LOOK_ADD, HIT, KINDS };

static char content[SIZE];
static int objects;
static struct fscache_name *names;
static char (*keys)[128];

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int get(void *ctx, const char *key, struct spool *into, struct err *err)
{
	(void)ctx;
	(void)key;
	return spool_write(into, content, sizeof content, err) < 0 ? -1 : 1;
}

static struct fscache *open_cache(const char *path, uint64_t limit)
{
	struct fscache_options options = { .path = path, .limit_bytes = limit, .get = get };
	struct fscache *cache;
	struct err error;

	if (fscache_new(&options, &cache, &error) < 0)
		errx(1, "%s", error.msg);
	return cache;
}

static double through_cache(struct fscache *cache, enum fscache_outcome expected)
{
	double from = now_us();

	for (int i = 0; i < objects; i++) {
		autoobject struct fscache_object object;
		struct err error;

		if (fscache_open(cache, keys[i], &object, &error) != 1 ||
		    object.outcome != expected)
			errx(1, "%s: not as expected: %s", keys[i], object.trouble.msg);
	}
	return (now_us() - from) / objects;
}

static void name_round(int round)
{
	for (int i = 0; i < objects; i++) {
		snprintf(keys[i], sizeof keys[i], KEY, round, i);
		if (!fscache_name_of_key(keys[i], &names[i]))
			errx(1, "%s: too long", keys[i]);
	}
}

static void make_folders(int dirfd)
{
	char name[8];

	if (mkdirat(dirfd, "tmp", 0700) < 0)
		err(1, "mkdir");
	for (int i = 0; i < FSCACHE_FOLDERS; i++) {
		snprintf(name, sizeof name, "%02x", (unsigned)i);
		if (mkdirat(dirfd, name, 0700) < 0)
			err(1, "mkdir");
	}
}

static double bare_add(int dirfd, bool look)
{
	double from = now_us();
	char temporary[64];

	for (int i = 0; i < objects; i++) {
		int fd;

		if (look && openat(dirfd, names[i].path, O_RDONLY | O_CLOEXEC) >= 0)
			errx(1, "%s is there", names[i].path);
		snprintf(temporary, sizeof temporary, "tmp/%s", names[i].hash);
		fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, content, sizeof content) != sizeof content ||
		    close(fd) < 0 || renameat(dirfd, temporary, dirfd, names[i].path) < 0)
			err(1, "write and rename");
	}
	return (now_us() - from) / objects;
}

static double bare_hit(int dirfd)
{
	double from = now_us();

	for (int i = 0; i < objects; i++) {
		struct stat st;
		int fd = openat(dirfd, names[i].path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fstat(fd, &st) < 0 || close(fd) < 0)
			err(1, "open");
	}
	return (now_us() - from) / objects;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(const char *what, double *ours, double *bare, int rounds)
{
	qsort(ours, (size_t)rounds, sizeof *ours, compare);
	qsort(bare, (size_t)rounds, sizeof *bare, compare);
	printf("%s %.2f %.2f\n", what, ours[rounds / 2], bare[rounds / 2]);
}

int main(int argc, char **argv)
{
	static double ours[KINDS][ROUNDS_MAX], bare[KINDS][ROUNDS_MAX];
	char path[4096];
	int rounds, barefd;

	if (argc != 4 || (objects = atoi(argv[2])) <= 0 || (rounds = atoi(argv[3])) <= 0 ||
	    rounds > ROUNDS_MAX)
		errx(64, "usage: cacheops FOLDER OBJECTS ROUNDS");
	names = xcalloc((size_t)objects, sizeof *names);
	keys = xcalloc((size_t)objects, sizeof *keys);
	snprintf(path, sizeof path, "%s/bare", argv[1]);
	if (mkdir(path, 0700) < 0 || (barefd = open(path, O_RDONLY | O_DIRECTORY)) < 0)
		err(1, "%s", path);
	make_folders(barefd);
	snprintf(path, sizeof path, "%s/cache", argv[1]);
	struct fscache *cache = open_cache(path, UINT64_C(1) << 40);
	name_round(2 * ROUNDS_MAX);
	bare_add(barefd, true);
	through_cache(cache, FSCACHE_MISS);
	for (int i = 0; i < rounds; i++) {
		name_round(ROUNDS_MAX + i);
		bare[LOOK_ADD][i] = bare_add(barefd, true);
		name_round(i);
		bare[ADD][i] = bare_add(barefd, false);
		ours[ADD][i] = through_cache(cache, FSCACHE_MISS);
		through_cache(cache, FSCACHE_HIT);
		bare[HIT][i] = bare_hit(barefd);
		ours[HIT][i] = through_cache(cache, FSCACHE_HIT);
	}
	fscache_free(&cache);
	print("add", ours[ADD], bare[ADD], rounds);
	print("look-add", ours[ADD], bare[LOOK_ADD], rounds);
	print("hit", ours[HIT], bare[HIT], rounds);
	return 0;
}
