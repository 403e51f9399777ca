/*
 * gentree: a tree of index homes, the same for the same arguments:
 *
 *     gentree ROOT USERS FOLDERS [--min BYTES] [--max BYTES] [--seed S] [--small]
 *
 * ROOT/<2 hex of the MD5 of the name>/userNNNNNN@example.com/ holds dovecot.list.index,
 * its log and subscriptions, and FOLDERS times mailboxes/<32 hex>/ with dovecot.index,
 * its log and cache. The three files of a folder have together MIN to MAX bytes (2 to
 * 300 KiB), log-uniform; half of each is random, half is text. --small: each file has 1
 * to 4 KiB. Files that are there are overwritten.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_BYTES (1U << 30)

struct plan {
	const char *root;
	unsigned long users, folders, min_bytes, max_bytes, seed;
	bool small;
};

struct totals {
	unsigned long long files, bytes;
};

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15U);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

static double next_unit(uint64_t *state)
{
	return (double)(next_random(state) >> 11) / 9007199254740992.0;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "gentree: %s: %s\n", what, strerror(errno));
	exit(74);
}

static void make_folder(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		die(path);
}

/* Half random, half text, as the records and headers of an index are. */
static void fill(unsigned char *data, size_t len, uint64_t *state)
{
	static const char text[] = "From: Someone <someone@example.com>\nSubject: hello\n";
	size_t half = len / 2, i = 0;
	for (; i < half; i += 8) {
		uint64_t word = next_random(state);
		memcpy(data + i, &word, sizeof(word)); /* the buffer has room for a tail */
	}
	for (i = half; i < len; i++)
		data[i] = (unsigned char)text[(i - half) % (sizeof(text) - 1)];
}

static void make_file(const char *folder, const char *name, size_t len, uint64_t *state,
		      struct totals *totals)
{
	static unsigned char *data;
	static size_t room;
	if (len + 8 > room) {
		room = len + 8;
		data = realloc(data, room);
		if (data == NULL)
			die("memory");
	}
	fill(data, len, state);
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, data + done, len - done);
		if (n < 0)
			die(path);
		done += (size_t)n;
	}
	if (close(fd) < 0)
		die(path);
	totals->files++;
	totals->bytes += len;
}

static size_t small_size(uint64_t *state)
{
	return 1024 + next_random(state) % 3072;
}

/* As likely in each doubling of min; the last may be cut by max, and counts for less. */
static size_t log_uniform(size_t min, size_t max, uint64_t *state)
{
	double doublings = 0, low = (double)min;
	while (low * 2 <= (double)max) {
		low *= 2;
		doublings++;
	}
	double at = next_unit(state) * (doublings + (double)max / low - 1);
	for (low = (double)min; at >= 1; at--)
		low *= 2;
	return (size_t)(low * (1 + at));
}

static void make_index_folder(const struct plan *plan, const char *home, uint64_t *state,
			      struct totals *totals)
{
	char path[2048];
	int len = snprintf(path, sizeof(path), "%s/mailboxes/", home);
	snprintf(path + len, sizeof(path) - (size_t)len, "%016llx%016llx",
		 (unsigned long long)next_random(state), (unsigned long long)next_random(state));
	make_folder(path);
	size_t total = log_uniform(plan->min_bytes, plan->max_bytes, state);
	size_t index = total / 5, log = total / 5, cache = total - index - log;
	if (plan->small) {
		index = small_size(state);
		log = small_size(state);
		cache = small_size(state);
	}
	make_file(path, "dovecot.index", index, state, totals);
	make_file(path, "dovecot.index.log", log, state, totals);
	make_file(path, "dovecot.index.cache", cache, state, totals);
}

static void make_user(const struct plan *plan, unsigned long number, struct totals *totals)
{
	char name[64], path[1024];
	unsigned char digest[EVP_MAX_MD_SIZE];
	uint64_t state = plan->seed * 0x100000001b3U + number;
	int len = snprintf(name, sizeof(name), "user%06lu@example.com", number);
	if (EVP_Digest(name, (size_t)len, digest, NULL, EVP_md5(), NULL) != 1)
		die("MD5");
	snprintf(path, sizeof(path), "%s/%02x", plan->root, digest[0]);
	make_folder(path);
	snprintf(path, sizeof(path), "%s/%02x/%s", plan->root, digest[0], name);
	make_folder(path);
	make_file(path, "dovecot.list.index", small_size(&state), &state, totals);
	make_file(path, "dovecot.list.index.log", small_size(&state), &state, totals);
	make_file(path, "subscriptions", 16 + next_random(&state) % 500, &state, totals);
	if (plan->folders == 0)
		return;
	char mailboxes[1100];
	snprintf(mailboxes, sizeof(mailboxes), "%s/mailboxes", path);
	make_folder(mailboxes);
	for (unsigned long i = 0; i < plan->folders; i++)
		make_index_folder(plan, path, &state, totals);
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
		{ "min", required_argument, NULL, 'm' },
		{ "max", required_argument, NULL, 'M' },
		{ "seed", required_argument, NULL, 's' },
		{ "small", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int option, bad = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'm')
			bad |= parse_number(optarg, &plan->min_bytes);
		else if (option == 'M')
			bad |= parse_number(optarg, &plan->max_bytes);
		else if (option == 's')
			bad |= parse_number(optarg, &plan->seed);
		else if (option == 'l')
			plan->small = true;
		else
			bad = -1;
	}
	if (bad != 0 || argc - optind != 3 || parse_number(argv[optind + 1], &plan->users) < 0 ||
	    parse_number(argv[optind + 2], &plan->folders) < 0)
		return -1;
	plan->root = argv[optind];
	return plan->min_bytes > 0 && plan->min_bytes <= plan->max_bytes &&
			       plan->max_bytes <= MAX_FILE_BYTES && strlen(plan->root) < 512
		       ? 0
		       : -1;
}

int main(int argc, char **argv)
{
	struct plan plan = { .min_bytes = 2 * 1024, .max_bytes = 300 * 1024, .seed = 1 };
	struct totals totals = { 0 };
	if (parse(argc, argv, &plan) < 0) {
		fputs("usage: gentree ROOT USERS FOLDERS [--min BYTES] [--max BYTES] [--seed S] "
		      "[--small]\n",
		      stderr);
		return 64;
	}
	make_folder(plan.root);
	for (unsigned long i = 0; i < plan.users; i++)
		make_user(&plan, i, &totals);
	printf("%llu files %llu bytes\n", totals.files, totals.bytes);
	return fflush(stdout) == 0 ? 0 : 74;
}
