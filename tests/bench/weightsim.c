/*
 * weightsim: which order of cleaning needs fewer index GETs? A trace of sessions and
 * deliveries is played twice through a cache that holds a tenth of the indexes: once
 * with the cleanup weights of lib/metacache/weight.c as the default settings give them,
 * once with both weight settings empty, which is plain LRU.
 *
 *     weightsim [USERS [DAYS [SEED]]]          (10000 30 1)
 *
 * prints for each order: GETs of all, of root, FTS, special and other indexes, and MiB.
 * The same arguments make the same trace; it is the same for both orders.
 *
 * Users: sizes are log-normal; a root index of some 24 KiB; INBOX (some 500 KiB) and Junk;
 * up to 31 other folders (some 80 KiB); two of five have FTS indexes (some 6 MiB). Sessions
 * choose users by Zipf's law, deliveries by a flatter one with the same ranks; days are
 * busier than nights. Each opens the root unit; a delivery INBOX, now and then Junk or
 * a folder; a session INBOX and some folders, one in 20 searches.
 *
 * A unit is fetched with one GET when it is opened and not here. Sizes do not change.
 * Each user's weights are those of the last access, as in Dovecot's metacache.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/vec.h"
#include "metacache/weight.h"

#define DAY_S 86400.0
#define SESSIONS_A_DAY 4.0   /* of the average user */
#define DELIVERIES_A_DAY 8.0 /* of the average user */
#define FIT 10               /* this part of all indexes fits */
#define START_S 1700000000
#define MIB 1048576.0

enum { ROOT, FTS, INBOX, JUNK, FOLDERS };
enum { AWAY = -1 }; /* in no place of the heap */

static int priority_of(int unit)
{
	return unit == ROOT ? 0 : unit == FTS ? 1 : unit <= JUNK ? 2 : 3;
}

struct user {
	uint32_t bytes[FOLDERS + 31];
	int units; /* FOLDERS and more */
	uint64_t here;
	int64_t access[SETTINGS_PRIORITIES], weights[SETTINGS_PRIORITIES], weight;
	uint64_t used[SETTINGS_PRIORITIES];
	int place; /* in the heap, or AWAY */
};

struct sim {
	struct settings settings;
	struct user *users;
	int count, days;
	uint64_t seed, random;
	double *sessions, *deliveries; /* cumulative shares of the users */

	struct user **heap; /* lowest weight first */
	int heaped;
	uint64_t used[SETTINGS_PRIORITIES];
	uint64_t gets[SETTINGS_PRIORITIES], fetched;
};

/* splitmix64 */
static double chance(struct sim *sim)
{
	uint64_t z = (sim->random += 0x9e3779b97f4a7c15U);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static uint32_t log_normal(struct sim *sim, double median, double sigma)
{
	double normal = sqrt(-2 * log(1 - chance(sim))) * cos(2 * M_PI * chance(sim));

	return (uint32_t)fmin(median * exp(sigma * normal), 1 << 30);
}

static void put(struct sim *sim, int place, struct user *user)
{
	sim->heap[place] = user;
	user->place = place;
}

static void rise(struct sim *sim, int place, struct user *user)
{
	while (place > 0 && sim->heap[(place - 1) / 2]->weight > user->weight) {
		put(sim, place, sim->heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put(sim, place, user);
}

static void sink(struct sim *sim, int place, struct user *user)
{
	for (int below; (below = 2 * place + 1) < sim->heaped; place = below) {
		if (below + 1 < sim->heaped &&
		    sim->heap[below + 1]->weight < sim->heap[below]->weight)
			below++;
		if (sim->heap[below]->weight >= user->weight)
			break;
		put(sim, place, sim->heap[below]);
	}
	put(sim, place, user);
}

static void leave(struct sim *sim, struct user *user)
{
	struct user *last = sim->heap[--sim->heaped];
	int place = user->place;

	user->place = AWAY;
	if (last == user)
		return;
	sink(sim, place, last);
	rise(sim, last->place, last);
}

static uint64_t used_of_all(const struct sim *sim)
{
	return sim->used[0] + sim->used[1] + sim->used[2] + sim->used[3];
}

/* What weighs least goes: of one user the lowest priority that is here. */
static void clean_lowest(struct sim *sim)
{
	struct user *user = sim->heap[0];
	int lowest = SETTINGS_PRIORITIES - 1;

	while (user->access[lowest] == 0)
		lowest--;
	for (int i = 0; i < user->units; i++) {
		if (priority_of(i) == lowest)
			user->here &= ~(UINT64_C(1) << i);
	}
	sim->used[lowest] -= user->used[lowest];
	user->used[lowest] = 0;
	user->access[lowest] = 0;
	while (lowest > 0 && user->access[lowest] == 0)
		lowest--;
	if (user->access[lowest] == 0) {
		leave(sim, user);
		return;
	}
	user->weight = user->weights[lowest];
	sink(sim, 0, user);
}

static void open_unit(struct sim *sim, struct user *user, int unit, int64_t now_s)
{
	int priority = priority_of(unit);

	if (unit >= user->units || user->bytes[unit] == 0)
		return;
	user->access[priority] = now_s;
	if (user->here >> unit & 1)
		return;
	user->here |= UINT64_C(1) << unit;
	user->used[priority] += user->bytes[unit];
	sim->used[priority] += user->bytes[unit];
	sim->fetched += user->bytes[unit];
	sim->gets[priority]++;
}

static void session(struct sim *sim, struct user *user, int64_t now_s)
{
	open_unit(sim, user, INBOX, now_s);
	if (chance(sim) < 0.1)
		open_unit(sim, user, JUNK, now_s);
	/* Sent and Drafts more than what is further down. */
	while (chance(sim) < 0.5)
		open_unit(sim, user, FOLDERS + (int)(pow(chance(sim), 2) * 31), now_s);
	if (chance(sim) < 0.05)
		open_unit(sim, user, FTS, now_s);
}

static void delivery(struct sim *sim, struct user *user, int64_t now_s)
{
	double where = chance(sim);

	open_unit(sim, user, where < 0.75 ? INBOX : where < 0.9 ? JUNK : FOLDERS, now_s);
}

static struct user *choose(struct sim *sim, const double *shares)
{
	double at = chance(sim);
	int low = 0, high = sim->count - 1;

	while (low < high) {
		int middle = (low + high) / 2;

		if (shares[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return &sim->users[low];
}

/* Who is at work is not cleaned, so the user is out of the heap meanwhile. */
static void event(struct sim *sim, int64_t now_s)
{
	bool by_session = chance(sim) < SESSIONS_A_DAY / (SESSIONS_A_DAY + DELIVERIES_A_DAY);
	struct user *user = choose(sim, by_session ? sim->sessions : sim->deliveries);

	if (user->place != AWAY)
		leave(sim, user);
	open_unit(sim, user, ROOT, now_s);
	if (by_session)
		session(sim, user, now_s);
	else
		delivery(sim, user, now_s);
	while (used_of_all(sim) > sim->settings.metacache_max_space_bytes && sim->heaped > 0)
		clean_lowest(sim);
	user->weight =
		weight_user(&sim->settings, user->access, user->used, sim->used, user->weights);
	rise(sim, sim->heaped++, user);
}

static void make_user(struct sim *sim, struct user *user)
{
	user->units = FOLDERS + (int)fmin(log_normal(sim, 6, 0.8), 31);
	user->bytes[ROOT] = log_normal(sim, 24 * 1024, 0.7) + 1024;
	user->bytes[FTS] = chance(sim) < 0.4 ? log_normal(sim, 6 * MIB, 1.3) : 0;
	user->bytes[INBOX] = log_normal(sim, 500 * 1024, 1.3) + 1024;
	user->bytes[JUNK] = log_normal(sim, 60 * 1024, 1) + 1024;
	for (int i = FOLDERS; i < user->units; i++)
		user->bytes[i] = log_normal(sim, 80 * 1024, 1.3) + 1024;
	user->place = AWAY;
}

static double *zipf(int count, double exponent)
{
	double *shares = xcalloc((size_t)count, sizeof *shares);
	double sum = 0;

	for (int i = 0; i < count; i++)
		shares[i] = sum += pow(i + 1, -exponent);
	for (int i = 0; i < count; i++)
		shares[i] /= sum;
	return shares;
}

static void make_users(struct sim *sim)
{
	uint64_t total = 0;

	sim->random = sim->seed;
	sim->users = xcalloc((size_t)sim->count, sizeof *sim->users);
	sim->heap = xcalloc((size_t)sim->count, sizeof(struct user *));
	sim->sessions = zipf(sim->count, 1);
	sim->deliveries = zipf(sim->count, 0.5);
	for (int i = 0; i < sim->count; i++) {
		make_user(sim, &sim->users[i]);
		for (int k = 0; k < sim->users[i].units; k++)
			total += sim->users[i].bytes[k];
	}
	sim->settings.metacache_max_space_bytes = total / FIT;
}

static void play(struct sim *sim)
{
	double events_a_s = sim->count * (SESSIONS_A_DAY + DELIVERIES_A_DAY) / DAY_S;
	double now_s = 0;

	while (now_s < sim->days * DAY_S) {
		double busy = 1 + 0.8 * sin(2 * M_PI * now_s / DAY_S);

		now_s += -log(1 - chance(sim)) / (events_a_s * busy);
		event(sim, START_S + (int64_t)now_s);
	}
}

static int run(const char *name, struct sim sim, const char *const *weights)
{
	struct str_vec settings CLEANUP(str_vec_free) = { 0 };
	struct err err = { 0 };

	vec_push(&settings, xstrdup("mail_home=/srv/%u"));
	for (; *weights; weights++)
		vec_push(&settings, xstrdup(*weights));
	if (settings_load(&sim.settings, "/dev/null", &settings, &err) < 0) {
		fprintf(stderr, "weightsim: %s\n", err.msg);
		return -1;
	}
	make_users(&sim);
	play(&sim);
	printf("%s %lu %lu %lu %lu %lu %.0f\n", name,
	       sim.gets[0] + sim.gets[1] + sim.gets[2] + sim.gets[3], sim.gets[0], sim.gets[1],
	       sim.gets[2], sim.gets[3], (double)sim.fetched / MIB);
	free(sim.users);
	free(sim.heap);
	free(sim.sessions);
	free(sim.deliveries);
	settings_free(&sim.settings);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const plain[] = { "metacache_priority_weights=",
					     "metacache_size_weights=", NULL };
	struct sim sim = {
		.count = argc > 1 ? atoi(argv[1]) : 10000,
		.days = argc > 2 ? atoi(argv[2]) : 30,
		.seed = argc > 3 ? (uint64_t)atoll(argv[3]) : 1,
	};

	if (argc > 4 || sim.count < 1 || sim.count > 1000000 || sim.days < 1 || sim.days > 1000) {
		fputs("usage: weightsim [USERS [DAYS [SEED]]]\n", stderr);
		return 64;
	}
	if (run("weights", sim, plain + 2) < 0 || run("lru", sim, plain) < 0)
		return 70;
	return fflush(stdout) == 0 ? 0 : 74;
}
