#include "../scratch.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/workers.h"

static void add_one(void *arg)
{
	atomic_fetch_add((atomic_long *)arg, 1);
}

static void test_thousands(void **state)
{
	static const struct {
		unsigned threads;
		size_t queue_max;
	} rows[] = { { 1, 0 }, { 1, 1 }, { 1, 1000 }, { 4, 1 }, { 4, 7 }, { 16, 100 } };

	(void)state;
	alarm(LIMIT_S);
	for (size_t i = 0; i < ROWS(rows); i++) {
		autoworkers struct workers *workers =
			workers_new(rows[i].threads, rows[i].queue_max);
		autogroup struct workers_group *group = workers_group_new(workers);
		atomic_long done = 0;

		for (int round = 1; round <= 2; round++) {
			for (int k = 0; k < 3000; k++)
				workers_submit(group, add_one, &done);
			workers_wait(group);
			assert_int_equal(atomic_load(&done), 3000 * round);
		}
	}
}

static void test_nothing_submitted(void **state)
{
	struct workers *workers = workers_new(3, 10);
	struct workers_group *group = workers_group_new(workers);

	(void)state;
	workers_wait(group);
	workers_wait(group);
	workers_group_free(&group);
	assert_null(group);
	workers_group_free(&group);
	workers_free(&workers);
	assert_null(workers);
	workers_free(&workers);
}

/* Waiting for a group is waiting for its tasks only: those of the other can't
 * end before this one was waited for. */
static void wait_for_barrier(void *arg)
{
	pthread_barrier_wait(arg);
}

static void test_groups_are_apart(void **state)
{
	autoworkers struct workers *workers = workers_new(2, 10);
	autogroup struct workers_group *slow = workers_group_new(workers);
	autogroup struct workers_group *fast = workers_group_new(workers);
	pthread_barrier_t barrier;
	atomic_long done = 0;

	(void)state;
	pthread_barrier_init(&barrier, NULL, 2);
	workers_submit(slow, wait_for_barrier, &barrier);
	for (int i = 0; i < 100; i++)
		workers_submit(fast, add_one, &done);
	workers_wait(fast);
	assert_int_equal(atomic_load(&done), 100);
	pthread_barrier_wait(&barrier);
	workers_wait(slow);
	pthread_barrier_destroy(&barrier);
}

/* As many as there are threads run at once, or this would not end. */
static void test_runs_at_once(void **state)
{
	autoworkers struct workers *workers = workers_new(8, 8);
	autogroup struct workers_group *group = workers_group_new(workers);
	pthread_barrier_t barrier;

	(void)state;
	pthread_barrier_init(&barrier, NULL, 8);
	for (int i = 0; i < 8; i++)
		workers_submit(group, wait_for_barrier, &barrier);
	workers_wait(group);
	pthread_barrier_destroy(&barrier);
}

struct crowd {
	atomic_int now, most;
};

static void be_one_of(void *arg)
{
	struct crowd *crowd = arg;
	int now = atomic_fetch_add(&crowd->now, 1) + 1, most = atomic_load(&crowd->most);

	while (now > most && !atomic_compare_exchange_weak(&crowd->most, &most, now))
		;
	sched_yield();
	atomic_fetch_sub(&crowd->now, 1);
}

static void test_never_more_than_threads(void **state)
{
	autoworkers struct workers *workers = workers_new(3, 50);
	autogroup struct workers_group *group = workers_group_new(workers);
	struct crowd crowd = { 0 };

	(void)state;
	for (int i = 0; i < 2000; i++)
		workers_submit(group, be_one_of, &crowd);
	workers_wait(group);
	assert_in_range(atomic_load(&crowd.most), 1, 3);
}

struct nested {
	struct workers *inner;
	atomic_long *done;
};

static void submit_further(void *arg)
{
	const struct nested *nested = arg;
	autogroup struct workers_group *group = workers_group_new(nested->inner);

	for (int i = 0; i < 50; i++)
		workers_submit(group, add_one, nested->done);
	workers_wait(group);
}

static void test_tasks_use_another_pool(void **state)
{
	autoworkers struct workers *inner = workers_new(2, 3);
	autoworkers struct workers *outer = workers_new(4, 3);
	autogroup struct workers_group *group = workers_group_new(outer);
	atomic_long done = 0;
	struct nested nested = { inner, &done };

	(void)state;
	for (int i = 0; i < 40; i++)
		workers_submit(group, submit_further, &nested);
	workers_wait(group);
	assert_int_equal(atomic_load(&done), 40 * 50);
}

static void *submit_many(void *arg)
{
	struct nested *nested = arg;

	submit_further(nested);
	return NULL;
}

static void test_many_submit(void **state)
{
	autoworkers struct workers *workers = workers_new(3, 2);
	atomic_long done = 0;
	struct nested nested = { workers, &done };
	pthread_t threads[8];

	(void)state;
	for (size_t i = 0; i < ROWS(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &nested), 0);
	for (size_t i = 0; i < ROWS(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&done), 8 * 50);
}

static void test_free_waits(void **state)
{
	atomic_long done = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct workers *workers = workers_new(2, 200);
		struct workers_group *group = workers_group_new(workers);

		atomic_store(&done, 0);
		for (int i = 0; i < 200; i++)
			workers_submit(group, add_one, &done);
		if (round % 2 == 0) {
			workers_group_free(&group);
			assert_int_equal(atomic_load(&done), 200);
			workers_free(&workers);
		} else {
			workers_free(&workers);
			assert_int_equal(atomic_load(&done), 200);
			free(group); /* its pool is gone, so it can't be asked */
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thousands),
		cmocka_unit_test(test_nothing_submitted),
		cmocka_unit_test(test_groups_are_apart),
		cmocka_unit_test(test_runs_at_once),
		cmocka_unit_test(test_never_more_than_threads),
		cmocka_unit_test(test_tasks_use_another_pool),
		cmocka_unit_test(test_many_submit),
		cmocka_unit_test(test_free_waits),
	};

	return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
