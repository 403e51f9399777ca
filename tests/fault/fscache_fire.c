/*
 * The cache of mail objects under fire: writers that read through it, with a limit
 * that evicts all the time, and remove files behind its back, temporaries too, while
 * somebody watches the disk.
 *
 *     fscache_fire [-k] FOLDER SECONDS [-- COMMAND…]
 *
 * FOLDER becomes the cache. Each read is compared with what the object is. Under the
 * log's lock, when nobody adds or evicts, the watcher sees that the objects fit into the
 * limit, that the log does not say less than there is, and that with the temporaries it is
 * no more than the limit and the largest object for each writer. Where FOLDER is an empty
 * filesystem of its own, it also sees, whoever has the lock, that this never holds much more.
 *
 * With -k a writer is killed now and then, and another one takes its place; each leaves
 * at most one temporary, which nobody has locked then. COMMAND (a rescan) runs back to back
 * meanwhile, and once more afterwards, when all is quiet: then the log is exact. The
 * run fails if it does. Prints what was done; exits 1 at the first thing wrong.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsx.h"
#include "base/hash.h"
#include "fscache/fscache.h"
#include "fscache/fscache_log.h"
#include "fscache/fscache_name.h"
#include "fscache_temporaries.h"

#define WRITERS 4
#define LIMIT (UINT64_C(64) << 20)
#define KEYS 16000
#define SMALL_MAX 20480
#define LARGE_MAX ((size_t)1 << 20)
#define LARGE_EVERY 200
#define WATCH_MS 100
#define KILL_MS 50
#define DISK_MS 2
#define LOG_ROOM (UINT64_C(8) << 20) /* also of its rewriting, and of old ones still open */
#define SLOW_EVERY 32
#define SLOW_MS 2
#define TOGETHER_MS 4 /* so long all want the same object */

extern char **environ;

static struct {
	_Atomic uint64_t reads, hits, misses, passed, evictions, removed, temporaries;
} * done; /* shared by all processes */

static const char *folder;
static int folderfd;
static bool kills;
static unsigned killed;
static bool own_disk;
static uint64_t disk_before;

struct key {
	char text[64];
	size_t size;
	uint64_t seed;
};

static struct key key_of(unsigned number)
{
	struct key key;

	snprintf(key.text, sizeof key.text, "ab/user@example.com/mailboxes/%u", number);
	key.seed = hash_64(key.text, strlen(key.text), 1);
	key.size = 1 + key.seed % (number % LARGE_EVERY ? SMALL_MAX : LARGE_MAX);
	return key;
}

static void fill(const struct key *key, unsigned char *out)
{
	uint64_t x = key->seed;

	for (size_t i = 0; i < key->size; i++) {
		if (i % 8 == 0)
			x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		out[i] = (unsigned char)(x >> (i % 8 * 8));
	}
}

/* ctx is the key. */
static int get(void *ctx, const char *text, struct spool *into, struct err *err)
{
	static unsigned char content[LARGE_MAX];
	const struct key *key = *(struct key **)ctx;

	(void)text;
	if (key->seed % SLOW_EVERY == 0)
		clock_sleep_ms(SLOW_MS);
	fill(key, content);
	return spool_write(into, content, key->size, err) < 0 ? -1 : 1;
}

static void check(const struct fscache_object *object, const struct key *key)
{
	static unsigned char expected[LARGE_MAX], content[LARGE_MAX + 1];
	size_t at = 0;
	ssize_t n;

	fill(key, expected);
	while ((n = fscache_object_read(object, at, content + at, sizeof content - at, NULL)) > 0)
		at += (size_t)n;
	if (n < 0 || at != key->size || memcmp(content, expected, at) != 0)
		errx(1, "%s: %zu bytes of another content, of %zu", key->text, at, key->size);
}

static void read_one(struct fscache *cache, const struct key *key)
{
	autoobject struct fscache_object object;
	struct err error = { 0 };

	if (fscache_open(cache, key->text, &object, &error) != 1)
		errx(1, "%s: %s", key->text, error.msg);
	/* ERR_TEMP: somebody removed its temporary. */
	if (object.trouble.code != ERR_NONE && object.trouble.code != ERR_BUSY &&
	    object.trouble.code != ERR_TEMP)
		errx(1, "%s: %s", key->text, object.trouble.msg);
	check(&object, key);
	done->reads++;
}

static void remove_one(const struct key *key)
{
	struct fscache_name name;

	if (!fscache_name_of_key(key->text, &name))
		errx(1, "%s has no name", key->text);
	if (unlinkat(folderfd, name.path, 0) == 0)
		done->removed++;
}

static struct fscache *open_cache(struct key **current)
{
	struct fscache_options options = {
		.path = folder, .limit_bytes = LIMIT, .get = get, .get_ctx = current
	};
	struct fscache *cache;
	struct err error;

	if (fscache_new(&options, &cache, &error) < 0)
		errx(1, "%s", error.msg);
	return cache;
}

static void close_cache(struct fscache **cache)
{
	struct fscache_counters counters;

	fscache_counters(*cache, &counters);
	done->hits += counters.hits;
	done->misses += counters.misses;
	done->passed += counters.passed;
	done->evictions += counters.evictions;
	fscache_free(cache);
}

/* Half of all reads are of a tenth of the objects, some of what all read now. */
static unsigned pick(unsigned *random)
{
	unsigned n = (unsigned)rand_r(random);

	if (n % 8 == 0)
		return (unsigned)(clock_mono_ms() / TOGETHER_MS * 7919 % KEYS);
	return (unsigned)rand_r(random) % (n % 2 ? KEYS : KEYS / 10);
}

static void write_until(int64_t until, unsigned seed)
{
	struct key key, *current = &key;
	struct fscache *cache = open_cache(&current);

	while (clock_mono_ms() < until) {
		unsigned what = (unsigned)rand_r(&seed) % 1000;

		key = key_of(pick(&seed));
		if (what < 50) {
			remove_one(&key);
		} else if (what < 54) {
			done->temporaries += remove_temporaries(folderfd);
		} else if (what < 56) {
			close_cache(&cache);
			cache = open_cache(&current);
		} else {
			read_one(cache, &key);
		}
	}
	close_cache(&cache);
}

static pid_t start_writer(int64_t until)
{
	unsigned seed;
	pid_t pid;

	clock_random(&seed, sizeof seed);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid > 0)
		return pid;
	/* No longer than who watches. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	write_until(until, seed);
	_exit(0);
}

/* Blocks in use of the files in a folder. */
static uint64_t add_folder(const char *name)
{
	struct fsx_dir dir;
	struct fsx_entry entry;
	uint64_t bytes = 0;
	int fd = openat(folderfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	fsx_dir_open(&dir, fd);
	while (fsx_dir_next(&dir, &entry) > 0) {
		struct stat st;

		if (fstatat(dir.fd, entry.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	}
	fsx_dir_close(&dir);
	return bytes;
}

static uint64_t add_objects(void)
{
	uint64_t bytes = 0;
	char name[8];

	for (unsigned i = 0; i < FSCACHE_FOLDERS; i++) {
		snprintf(name, sizeof name, "%02x", i);
		bytes += add_folder(name);
	}
	return bytes;
}

/* While the log is locked no temporary becomes an object: each writer has one, or two in our
 * eyes, since one that was removed is followed by the next. Who was killed left one more. */
static void check_temporaries(const struct temporaries *sum)
{
	if (sum->locked > 2 * WRITERS)
		errx(1, "%u temporaries of %d writers", sum->locked, WRITERS);
	if (sum->files > 2 * WRITERS + killed)
		errx(1, "%u temporaries, with %u writers killed", sum->files, killed);
}

static uint64_t disk_used(void)
{
	struct statfs fs;

	if (fstatfs(folderfd, &fs) < 0)
		err(1, "%s", folder);
	return (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_frsize;
}

/* At any moment: the limit, and for each writer its temporary and what he still reads of an
 * object that is evicted. */
static uint64_t watch_disk(void)
{
	const uint64_t most = LIMIT + 2 * WRITERS * (uint64_t)LARGE_MAX + LOG_ROOM;
	uint64_t used = own_disk ? disk_used() - disk_before : 0;

	if (used > most)
		errx(1, "%" PRIu64 " bytes on the disk, of %" PRIu64, used, most);
	return used;
}

/* The log cannot be locked while a rescan works on it for long: then not this time. */
static uint64_t watch(struct fscache_log *log, bool is_exact)
{
	const uint64_t largest = LARGE_MAX;
	struct temporaries temporaries;
	struct err error;
	uint64_t objects;
	int ret = fscache_log_lock(log, 1000, &error);

	if (ret < 0)
		errx(1, "%s", error.msg);
	if (ret == 0)
		return 0;
	objects = add_objects();
	temporaries = add_temporaries(folderfd);
	check_temporaries(&temporaries);
	if (objects > LIMIT)
		errx(1, "%" PRIu64 " bytes of objects", objects);
	if (objects + temporaries.locked_bytes > LIMIT + WRITERS * largest)
		errx(1, "%" PRIu64 " bytes of objects, %" PRIu64 " of temporaries", objects,
		     temporaries.locked_bytes);
	/* Removing files makes it less. */
	if (log->totals.bytes < objects || (is_exact && log->totals.bytes != objects))
		errx(1, "the log says %" PRIu64 " bytes, there are %" PRIu64, log->totals.bytes,
		     objects);
	fscache_log_unlock(log);
	return objects + temporaries.locked_bytes;
}

static pid_t start_command(char **command)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, command[0], &actions, NULL, command, environ) != 0)
		errx(1, "%s: cannot be run", command[0]);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static bool has_ended(pid_t pid, bool may_be_killed, int flags)
{
	int status;
	pid_t ended = waitpid(pid, &status, flags);

	if (ended < 0)
		err(1, "wait");
	if (ended == 0)
		return false;
	if (may_be_killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		errx(1, "a process ended with status %#x", (unsigned)status);
	return true;
}

/* Whoever ends by himself is not replaced. */
static void kill_one(pid_t *writers, int64_t until)
{
	unsigned which;

	clock_random(&which, sizeof which);
	which %= WRITERS;
	killed++;
	kill(writers[which], SIGKILL);
	has_ended(writers[which], true, 0);
	writers[which] = start_writer(until);
}

struct seen {
	uint64_t most, samples, runs, disk;
};

static void watch_for(int64_t ms, struct seen *seen)
{
	int64_t until = clock_mono_ms() + ms;

	do {
		uint64_t used = watch_disk();

		seen->disk = used > seen->disk ? used : seen->disk;
		clock_sleep_ms(own_disk ? DISK_MS : ms);
	} while (clock_mono_ms() < until);
}

static struct seen fire(int64_t until, char **command)
{
	autofscachelog struct fscache_log log;
	pid_t writers[WRITERS], running = 0;
	struct seen seen = { 0 };
	int64_t next_watch = 0;

	fscache_log_init(&log, folderfd);
	for (int i = 0; i < WRITERS; i++)
		writers[i] = start_writer(until);
	while (clock_mono_ms() < until - KILL_MS) {
		if (command && running && has_ended(running, false, WNOHANG)) {
			running = 0;
			seen.runs++;
		}
		if (command && !running)
			running = start_command(command);
		if (kills)
			kill_one(writers, until);
		if (clock_mono_ms() >= next_watch) {
			uint64_t bytes = watch(&log, false);

			seen.most = bytes > seen.most ? bytes : seen.most;
			seen.samples += bytes > 0;
			next_watch = clock_mono_ms() + WATCH_MS;
		}
		watch_for(KILL_MS, &seen);
	}
	for (int i = 0; i < WRITERS; i++)
		has_ended(writers[i], false, 0);
	if (running)
		has_ended(running, false, 0);
	if (command)
		has_ended(start_command(command), false, 0);
	watch(&log, command != NULL);
	return seen;
}

/* Made, or an empty filesystem's. */
static void open_folder(void)
{
	struct stat st, above;
	autofd int parent = -1;

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		err(1, "%s", folder);
	folderfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	parent = folderfd < 0 ? -1 : openat(folderfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || fstat(folderfd, &st) < 0 || fstat(parent, &above) < 0)
		err(1, "%s", folder);
	own_disk = st.st_dev != above.st_dev;
	disk_before = own_disk ? disk_used() : 0;
}

static void print(const struct seen *seen)
{
	printf("reads %" PRIu64 ", hits %" PRIu64 ", fetched %" PRIu64 ", passed %" PRIu64
	       ", evicted %" PRIu64 ", removed %" PRIu64 " and %" PRIu64
	       " temporaries, commands %" PRIu64 ", samples %" PRIu64 ", at most %" PRIu64
	       " bytes of %" PRIu64 ", on the disk %" PRIu64 "\n",
	       done->reads, done->hits, done->misses, done->passed, done->evictions, done->removed,
	       done->temporaries, seen->runs, seen->samples, seen->most, LIMIT, seen->disk);
}

int main(int argc, char **argv)
{
	char **command = NULL;
	int seconds, at = 1;
	struct seen seen;

	if (argc > at && strcmp(argv[at], "-k") == 0) {
		kills = true;
		at++;
	}
	if (argc < at + 2 || (seconds = atoi(argv[at + 1])) <= 0 ||
	    (argc > at + 2 && (strcmp(argv[at + 2], "--") != 0 || argc == at + 3)))
		errx(64, "usage: fscache_fire [-k] FOLDER SECONDS [-- COMMAND…]");
	folder = argv[at];
	if (argc > at + 2)
		command = argv + at + 3;
	open_folder();
	done = mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (done == MAP_FAILED)
		err(1, "mmap");
	seen = fire(clock_mono_ms() + INT64_C(1000) * seconds, command);
	print(&seen);
	/* A run in which nothing happened shows nothing. */
	if (done->misses == 0 || done->removed == 0 || done->temporaries == 0 ||
	    seen.samples == 0 || done->evictions == 0 || (own_disk && seen.disk == 0) ||
	    (command && seen.runs == 0))
		errx(1, "too little was done");
	return 0;
}
