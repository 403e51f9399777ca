/*
 * hitsim: what a user who reads a whole mailbox costs the others. A trace of reads is
 * played through the real cache (lib/fscache) in a scratch directory: through one cache,
 * and through one split by user (%4Nu) that has as much room in all, each with and without
 * the scan.
 *
 *     hitsim DIRECTORY [READS [SEED]]          (300000 1)
 *
 * prints a line each: the run, then the hit ratio in percent of all users but the one who
 * scans, before, during and after the scan; and of those whose cache is not the scanning
 * user's, during it. The same arguments make the same trace; it is the same for all runs.
 *
 * 400 users of 300 mails are chosen by Zipf's law; a user's newer mails are read more
 * often (Zipf), and each tenth read is of a mail that has just come. A tenth of all mails
 * fits. The scan is of 50,000 mails, one beside each two other reads. An object is a block,
 * on whatever file system the directory is.
 */
#include <err.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fsx.h"
#include "base/mem.h"
#include "fscache/fscache.h"

#define USERS 400
#define MAILS 300
#define SCANNED 50000
#define SCANNER 7 /* not the busiest one */
#define BLOCK 4096
#define LIMIT_BYTES ((uint64_t)USERS * MAILS / 10 * BLOCK)
#define SPLIT 4
#define DELIVERY_EVERY 10
#define SCAN_EVERY 2

enum { BEFORE, DURING, AFTER, PHASES };

struct sim {
	const char *dir;
	unsigned long reads;
	uint64_t seed, random;
	double users[USERS], mails[MAILS]; /* cumulative */
	unsigned newest[USERS];
	struct fscache *caches[SPLIT], *of_user[USERS];
	unsigned cache_count;
	unsigned long hits[PHASES], all[PHASES], apart_hits, apart_all;
};

/* splitmix64, as a number from 0 up to 1 */
static double next_unit(struct sim *sim)
{
	uint64_t z = (sim->random += 0x9e3779b97f4a7c15U);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static void make_zipf(double *cumulative, unsigned count, double exponent)
{
	double sum = 0;

	for (unsigned i = 0; i < count; i++)
		cumulative[i] = sum += 1 / pow(i + 1, exponent);
	for (unsigned i = 0; i < count; i++)
		cumulative[i] /= sum;
}

static unsigned choose(const double *cumulative, unsigned count, double at)
{
	unsigned low = 0, high = count - 1;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (cumulative[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int get(void *ctx, const char *key, struct spool *into, struct err *err)
{
	(void)ctx;
	return spool_write(into, key, strlen(key), err) < 0 ? -1 : 1;
}

/* A user's cache; those that share a directory share it. */
static void open_cache(struct sim *sim, unsigned user, bool is_split)
{
	autofree char *name = xasprintf("user%u@example.com", user);
	autofree char *path = xasprintf("%s/cache%s", sim->dir, is_split ? "/%4Nu" : "");
	const struct fscache_options options = {
		.path = path,
		.user = is_split ? name : NULL,
		.limit_bytes = is_split ? LIMIT_BYTES / SPLIT : LIMIT_BYTES,
		.get = get,
	};
	struct fscache *cache;
	struct err problem;

	if (fscache_new(&options, &cache, &problem) < 0)
		errx(74, "%s", problem.msg);
	for (unsigned i = 0; i < sim->cache_count; i++) {
		if (strcmp(fscache_path(sim->caches[i]), fscache_path(cache)) != 0)
			continue;
		fscache_free(&cache);
		sim->of_user[user] = sim->caches[i];
		return;
	}
	sim->of_user[user] = sim->caches[sim->cache_count++] = cache;
}

static bool read_mail(struct sim *sim, unsigned user, const char *folder, unsigned mail)
{
	autofree char *key = xasprintf("user%u@example.com/%s/%u", user, folder, mail);
	autoobject struct fscache_object object;
	struct err problem;

	if (fscache_open(sim->of_user[user], key, &object, &problem) != 1)
		errx(74, "%s: %s", key, problem.msg);
	if (object.outcome == FSCACHE_PASSED)
		errx(74, "%s: %s", key, object.trouble.msg);
	return object.outcome == FSCACHE_HIT;
}

/* One read of somebody's INBOX. */
static void read_one(struct sim *sim, unsigned phase)
{
	unsigned user = choose(sim->users, USERS, next_unit(sim));
	unsigned mail = choose(sim->mails, MAILS, next_unit(sim));
	bool hit;

	if (next_unit(sim) * DELIVERY_EVERY < 1) {
		sim->newest[user]++;
		mail = 0;
	}
	hit = read_mail(sim, user, "INBOX", sim->newest[user] - mail);
	if (user == SCANNER)
		return;
	sim->all[phase]++;
	sim->hits[phase] += hit;
	if (phase == DURING && sim->of_user[user] != sim->of_user[SCANNER]) {
		sim->apart_all++;
		sim->apart_hits += hit;
	}
}

static void play(struct sim *sim, bool scans)
{
	unsigned long third = sim->reads / PHASES;
	unsigned scanned = 0;

	sim->random = sim->seed;
	for (unsigned user = 0; user < USERS; user++)
		sim->newest[user] = MAILS;
	for (unsigned long i = 0; i < third * PHASES; i++) {
		unsigned phase = (unsigned)(i / third);

		read_one(sim, phase);
		if (scans && phase == DURING && i % SCAN_EVERY == 0 && scanned < SCANNED)
			read_mail(sim, SCANNER, "Archive", scanned++);
	}
}

static double percent(unsigned long part, unsigned long whole)
{
	return whole > 0 ? 100 * (double)part / (double)whole : 0;
}

static void run(const struct sim *template, bool is_split, bool scans)
{
	struct sim sim = *template;
	struct err problem;
	int fd = fsx_open_root(sim.dir, &problem);

	if (fd < 0 || fsx_remove_tree(fd, "cache", &problem) < 0)
		errx(74, "%s", problem.msg);
	if (mkdirat(fd, "cache", 0700) < 0)
		err(74, "cache");
	for (unsigned user = 0; user < USERS; user++)
		open_cache(&sim, user, is_split);
	play(&sim, scans);
	printf("%s%s\t%.2f\t%.2f\t%.2f\t%.2f\n", is_split ? "split" : "one", scans ? "-scan" : "",
	       percent(sim.hits[BEFORE], sim.all[BEFORE]),
	       percent(sim.hits[DURING], sim.all[DURING]), percent(sim.hits[AFTER], sim.all[AFTER]),
	       percent(sim.apart_hits, sim.apart_all));
	for (unsigned i = 0; i < sim.cache_count; i++)
		fscache_free(&sim.caches[i]);
	fsx_remove_tree(fd, "cache", &problem);
	cleanup_fd(&fd);
}

int main(int argc, char **argv)
{
	struct sim sim = { .reads = 300000, .seed = 1 };

	if (argc < 2 || argc > 4 || argv[1][0] != '/')
		errx(64, "usage: hitsim /DIRECTORY [READS [SEED]]");
	sim.dir = argv[1];
	if (argc > 2)
		sim.reads = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		sim.seed = strtoul(argv[3], NULL, 10);
	make_zipf(sim.users, USERS, 0.9);
	make_zipf(sim.mails, MAILS, 1.0);
	for (int i = 0; i < 4; i++)
		run(&sim, i / 2, i % 2);
	return fflush(stdout) == 0 ? 0 : 74;
}
