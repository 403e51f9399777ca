/* A fixed number of threads and a bounded queue of work.
 *
 * Work is submitted in groups; whoever submits waits for its group. A task may
 * submit to another pool and wait for it, never to its own: that could wait for
 * itself. */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"

struct workers;
struct workers_group;

typedef void workers_fn(void *arg);

/* `threads` >= 1; the queue holds `queue_max` tasks beyond those that run. */
struct workers *workers_new(unsigned threads, size_t queue_max);

/* Waits for what was submitted, then ends the threads. */
void workers_free(struct workers **workers);
#define autoworkers CLEANUP(workers_free)

struct workers_group *workers_group_new(struct workers *workers);

/* Blocks while the queue is full. */
void workers_submit(struct workers_group *group, workers_fn *fn, void *arg);

/* Until every task of the group has ended; more may be submitted afterwards. */
void workers_wait(struct workers_group *group);

/* Waits, then frees. */
void workers_group_free(struct workers_group **group);
#define autogroup CLEANUP(workers_group_free)
