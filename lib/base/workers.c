#include "base/workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

struct task {
	workers_fn *fn;
	void *arg;
	struct workers_group *group;
};

struct workers {
	pthread_mutex_t mutex;
	pthread_cond_t has_task;
	pthread_cond_t has_room;
	struct task *ring;
	size_t ring_size, first, count;
	bool ending;
	pthread_t *threads;
	unsigned thread_count;
};

struct workers_group {
	struct workers *workers;
	size_t pending; /* guarded by the pool's mutex */
	pthread_cond_t done;
};

static void finish_task(struct workers *workers, struct workers_group *group)
{
	pthread_mutex_lock(&workers->mutex);
	if (--group->pending == 0)
		pthread_cond_broadcast(&group->done);
	pthread_mutex_unlock(&workers->mutex);
}

static bool take_task(struct workers *workers, struct task *task_r)
{
	bool got;

	pthread_mutex_lock(&workers->mutex);
	while (workers->count == 0 && !workers->ending)
		pthread_cond_wait(&workers->has_task, &workers->mutex);
	got = workers->count > 0;
	if (got) {
		*task_r = workers->ring[workers->first];
		workers->first = (workers->first + 1) % workers->ring_size;
		workers->count--;
		pthread_cond_signal(&workers->has_room);
	}
	pthread_mutex_unlock(&workers->mutex);
	return got;
}

static void *thread_main(void *arg)
{
	struct workers *workers = arg;
	struct task task;

	while (take_task(workers, &task)) {
		task.fn(task.arg);
		finish_task(workers, task.group);
	}
	return NULL;
}

struct workers *workers_new(unsigned threads, size_t queue_max)
{
	struct workers *workers = xcalloc(1, sizeof *workers);

	pthread_mutex_init(&workers->mutex, NULL);
	pthread_cond_init(&workers->has_task, NULL);
	pthread_cond_init(&workers->has_room, NULL);
	workers->ring_size = queue_max > 0 ? queue_max : 1;
	workers->ring = xcalloc(workers->ring_size, sizeof *workers->ring);
	workers->threads = xcalloc(threads, sizeof *workers->threads);
	for (unsigned i = 0; i < threads; i++) {
		/* Without a thread nothing would ever run: as bad as no memory. */
		if (pthread_create(&workers->threads[i], NULL, thread_main, workers) != 0)
			abort();
		workers->thread_count++;
	}
	return workers;
}

void workers_free(struct workers **workers_p)
{
	struct workers *workers = *workers_p;

	if (!workers)
		return;
	pthread_mutex_lock(&workers->mutex);
	workers->ending = true;
	pthread_cond_broadcast(&workers->has_task);
	pthread_mutex_unlock(&workers->mutex);
	for (unsigned i = 0; i < workers->thread_count; i++)
		pthread_join(workers->threads[i], NULL);
	pthread_cond_destroy(&workers->has_task);
	pthread_cond_destroy(&workers->has_room);
	pthread_mutex_destroy(&workers->mutex);
	free(workers->threads);
	free(workers->ring);
	free(workers);
	*workers_p = NULL;
}

struct workers_group *workers_group_new(struct workers *workers)
{
	struct workers_group *group = xcalloc(1, sizeof *group);

	group->workers = workers;
	pthread_cond_init(&group->done, NULL);
	return group;
}

void workers_submit(struct workers_group *group, workers_fn *fn, void *arg)
{
	struct workers *workers = group->workers;
	size_t at;

	pthread_mutex_lock(&workers->mutex);
	while (workers->count == workers->ring_size)
		pthread_cond_wait(&workers->has_room, &workers->mutex);
	at = (workers->first + workers->count++) % workers->ring_size;
	workers->ring[at] = (struct task){ .fn = fn, .arg = arg, .group = group };
	group->pending++;
	pthread_cond_signal(&workers->has_task);
	pthread_mutex_unlock(&workers->mutex);
}

void workers_wait(struct workers_group *group)
{
	struct workers *workers = group->workers;

	pthread_mutex_lock(&workers->mutex);
	while (group->pending > 0)
		pthread_cond_wait(&group->done, &workers->mutex);
	pthread_mutex_unlock(&workers->mutex);
}

void workers_group_free(struct workers_group **group)
{
	if (!*group)
		return;
	workers_wait(*group);
	pthread_cond_destroy(&(*group)->done);
	free(*group);
	*group = NULL;
}
