/*
 * gencache: a mail cache as lib/fscache keeps it, the same for the same arguments:
 *
 *     gencache ROOT FILES [--seed S] [--drift PERCENT]
 *
 * ROOT/<2 hex>/<name> are FILES files of 1 to 20 KiB with names of mails of some thousand
 * users, ROOT/fscache.log has a line for each in the order in which they were made. The
 * blocks of the files are reserved and not written: nothing here reads them. --drift: so
 * many percent of the lines are left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "fscache/fscache_name.h"

#define KIB 1024
#define MAILS_A_FOLDER 40
#define START_S 1700000000

struct plan {
	const char *root;
	unsigned long files, seed, drift_percent;
};

struct made {
	struct stat st;
	struct buf name;
};

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15U);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "gencache: %s: %s\n", what, strerror(errno));
	exit(74);
}

/* <%2Mu>/<%2.3Mu>/user/mailboxes/<guid>/<oid> */
static void make_key(unsigned long number, uint64_t *state, struct buf *key)
{
	uint64_t folder = (number / MAILS_A_FOLDER) * 0x9e3779b97f4a7c15U;
	uint64_t guid[2], oid[2] = { next_random(state), next_random(state) };
	unsigned char md5[16];
	char user[64];

	snprintf(user, sizeof(user), "user%06lu@example.com", (unsigned long)(folder % 5000));
	hash_md5(user, strlen(user), md5);
	guid[0] = next_random(&folder);
	guid[1] = next_random(&folder);
	buf_truncate(key, 0);
	buf_printf(key, "%02x/%02x%x/%s/mailboxes/%016llx%016llx/%016llx%016llx", md5[0], md5[1],
		   md5[2] >> 4, user, (unsigned long long)guid[0], (unsigned long long)guid[1],
		   (unsigned long long)oid[0], (unsigned long long)oid[1]);
}

static void make_file(int root, const struct buf *key, size_t bytes, struct made *made)
{
	struct fscache_name name;

	if (!fscache_name_of_key(buf_str(key), &name))
		die(buf_str(key));
	int fd = openat(root, name.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || fallocate(fd, 0, 0, (off_t)bytes) < 0 || fstat(fd, &made->st) < 0)
		die(name.path);
	close(fd);
	buf_truncate(&made->name, 0);
	buf_puts(&made->name, fscache_name_file(&name));
}

static void make_all(const struct plan *plan, int root, FILE *log)
{
	uint64_t state = plan->seed;
	struct made made = { 0 };
	struct buf key = { 0 };
	unsigned long long bytes = 0;

	for (unsigned i = 0; i < 256; i++) {
		char name[3];
		snprintf(name, sizeof(name), "%02x", i);
		if (mkdirat(root, name, 0700) < 0 && errno != EEXIST)
			die(name);
	}
	fprintf(log, "fscache.log 1\n");
	for (unsigned long i = 0; i < plan->files; i++) {
		make_key(i, &state, &key);
		make_file(root, &key, KIB + next_random(&state) % (19 * KIB + 1), &made);
		bytes += (unsigned long long)made.st.st_blocks * 512;
		if (next_random(&state) % 100 < plan->drift_percent)
			continue;
		fprintf(log, "+ %lu %llu %llu %s\n", START_S + i / 100,
			(unsigned long long)made.st.st_blocks * 512,
			(unsigned long long)made.st.st_ino, buf_str(&made.name));
	}
	printf("%lu files %llu bytes\n", plan->files, bytes);
	buf_free(&key);
	buf_free(&made.name);
}

static int parse_number(const char *text, unsigned long *value_r)
{
	char *end;
	*value_r = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' ? 0 : -1;
}

static int parse(int argc, char **argv, struct plan *plan)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "drift", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	int option, bad = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 's')
			bad |= parse_number(optarg, &plan->seed);
		else if (option == 'd')
			bad |= parse_number(optarg, &plan->drift_percent);
		else
			bad = -1;
	}
	if (bad != 0 || argc - optind != 2 || parse_number(argv[optind + 1], &plan->files) < 0)
		return -1;
	plan->root = argv[optind];
	return 0;
}

int main(int argc, char **argv)
{
	struct plan plan = { .seed = 1 };
	if (parse(argc, argv, &plan) < 0) {
		fputs("usage: gencache ROOT FILES [--seed S] [--drift PERCENT]\n", stderr);
		return 64;
	}
	if (mkdir(plan.root, 0700) < 0 && errno != EEXIST)
		die(plan.root);
	int root = open(plan.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		die(plan.root);
	int fd = openat(root, "fscache.log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *log = fd < 0 ? NULL : fdopen(fd, "w");
	if (log == NULL)
		die("fscache.log");
	make_all(&plan, root, log);
	if (fclose(log) != 0)
		die("fscache.log");
	return fflush(stdout) == 0 ? 0 : 74;
}
