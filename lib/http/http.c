#include "http/http.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/http_transfer.h"

#define POLL_MAX_MS 60000

VEC(easy_vec, CURL *);

struct http_pool {
	CURLM *multi;
	pthread_t thread;
	unsigned max_parallel;

	pthread_mutex_t mutex; /* guards what follows */
	struct http_transfer *queue, **queue_end;
	struct easy_vec idle;
	bool sleeping; /* the thread waits, and would start what is queued if woken */
	bool ending;

	/* The thread's own. */
	struct http_transfer **flying;
	size_t flying_count;
};

/* ---- the pool's thread ---- */

static void complete(struct http_transfer *transfer)
{
	pthread_mutex_lock(&transfer->mutex);
	transfer->done = true;
	pthread_cond_signal(&transfer->done_cond);
	pthread_mutex_unlock(&transfer->mutex);
}

static void land(struct http_pool *pool, size_t i, CURLcode code)
{
	struct http_transfer *transfer = pool->flying[i];

	curl_multi_remove_handle(pool->multi, transfer->easy);
	pool->flying[i] = pool->flying[--pool->flying_count];
	transfer->code = code;
	complete(transfer);
}

static struct http_transfer *dequeue(struct http_pool *pool)
{
	struct http_transfer *transfer;

	pthread_mutex_lock(&pool->mutex);
	transfer = pool->queue;
	if (transfer)
		pool->queue = transfer->next;
	if (!pool->queue)
		pool->queue_end = &pool->queue;
	pthread_mutex_unlock(&pool->mutex);
	return transfer;
}

static void start_queued(struct http_pool *pool)
{
	struct http_transfer *transfer;

	while (pool->flying_count < pool->max_parallel && (transfer = dequeue(pool)) != NULL) {
		transfer->progress_ms = clock_mono_ms();
		pool->flying[pool->flying_count++] = transfer;
		if (curl_multi_add_handle(pool->multi, transfer->easy) != CURLM_OK)
			abort();
	}
}

static void land_finished(struct http_pool *pool)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL) {
		CURLcode code = message->data.result;

		for (size_t i = 0; message->msg == CURLMSG_DONE && i < pool->flying_count; i++) {
			if (pool->flying[i]->easy == message->easy_handle) {
				land(pool, i, code);
				break;
			}
		}
	}
}

/* Ends what has not moved for too long; how long until the next may be due. */
static int land_overdue(struct http_pool *pool)
{
	int64_t now_ms = clock_mono_ms(), next_ms = now_ms + POLL_MAX_MS;

	for (size_t i = pool->flying_count; i-- > 0;) {
		int64_t due_ms = http_transfer_due_ms(pool->flying[i]);

		if (due_ms <= now_ms) {
			pool->flying[i]->timed_out = true;
			land(pool, i, CURLE_OPERATION_TIMEDOUT);
		} else if (due_ms < next_ms) {
			next_ms = due_ms;
		}
	}
	return (int)(next_ms - now_ms);
}

/* 1 when there is nothing to start, 0 when there is, -1 at the end. While a thread
 * with all places taken sleeps nobody needs to wake it. */
static int may_sleep(struct http_pool *pool)
{
	bool full = pool->flying_count == pool->max_parallel;
	bool ready, ending;

	pthread_mutex_lock(&pool->mutex);
	ready = pool->queue && !full;
	ending = pool->ending;
	pool->sleeping = !ready && !full;
	pthread_mutex_unlock(&pool->mutex);
	return ending ? -1 : !ready;
}

static void *drive(void *ctx)
{
	struct http_pool *pool = ctx;
	int idle, running;

	do {
		int wait_ms;

		start_queued(pool);
		if (curl_multi_perform(pool->multi, &running) != CURLM_OK)
			abort();
		land_finished(pool);
		wait_ms = land_overdue(pool);
		idle = may_sleep(pool);
		if (idle > 0)
			curl_multi_poll(pool->multi, NULL, 0, wait_ms, NULL);
	} while (idle >= 0);
	return NULL;
}

/* ---- the pool ---- */

static void init_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

struct http_pool *http_pool_new(unsigned max_parallel)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_pool *pool = xcalloc(1, sizeof *pool);

	pthread_once(&once, init_curl);
	pool->max_parallel = max_parallel;
	pool->flying = xcalloc(max_parallel, sizeof(struct http_transfer *));
	pool->queue_end = &pool->queue;
	pthread_mutex_init(&pool->mutex, NULL);
	pool->multi = curl_multi_init();
	if (!pool->multi)
		abort();
	curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)max_parallel);
	curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	if (pthread_create(&pool->thread, NULL, drive, pool) != 0)
		abort();
	return pool;
}

void http_pool_free(struct http_pool **pool_p)
{
	struct http_pool *pool = *pool_p;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->mutex);
	pool->ending = true;
	pthread_mutex_unlock(&pool->mutex);
	curl_multi_wakeup(pool->multi);
	pthread_join(pool->thread, NULL);
	for (size_t i = 0; i < pool->idle.count; i++)
		curl_easy_cleanup(pool->idle.items[i]);
	vec_free(&pool->idle);
	curl_multi_cleanup(pool->multi);
	pthread_mutex_destroy(&pool->mutex);
	free(pool->flying);
	free(pool);
	*pool_p = NULL;
}

static CURL *borrow_easy(struct http_pool *pool)
{
	CURL *easy = NULL;

	pthread_mutex_lock(&pool->mutex);
	if (pool->idle.count > 0)
		easy = pool->idle.items[--pool->idle.count];
	pthread_mutex_unlock(&pool->mutex);
	if (!easy)
		easy = curl_easy_init();
	if (!easy)
		abort(); /* no memory */
	return easy;
}

static void return_easy(struct http_pool *pool, CURL *easy)
{
	/* With the options go the secret and the pointers into this request. */
	curl_easy_reset(easy);
	pthread_mutex_lock(&pool->mutex);
	vec_push(&pool->idle, easy);
	pthread_mutex_unlock(&pool->mutex);
}

/* ---- one request, in the caller's thread ---- */

static void submit_and_wait(struct http_pool *pool, struct http_transfer *transfer)
{
	bool wake;

	pthread_mutex_lock(&pool->mutex);
	*pool->queue_end = transfer;
	pool->queue_end = &transfer->next;
	wake = pool->sleeping;
	pool->sleeping = false;
	pthread_mutex_unlock(&pool->mutex);
	if (wake)
		curl_multi_wakeup(pool->multi);

	pthread_mutex_lock(&transfer->mutex);
	while (!transfer->done)
		pthread_cond_wait(&transfer->done_cond, &transfer->mutex);
	pthread_mutex_unlock(&transfer->mutex);
}

static enum http_outcome try_once(struct http_pool *pool, const struct http_request *request,
				  struct http_response *response, int64_t deadline_ms,
				  struct err *err)
{
	struct http_transfer transfer = {
		.request = request,
		.response = response,
		.deadline_ms = deadline_ms,
		.easy = borrow_easy(pool),
		.outcome = HTTP_IMPOSSIBLE,
	};

	response->status = 0;
	if (request->into)
		spool_reset(request->into);
	if (http_transfer_prepare(&transfer, err) == 0) {
		response->tries++;
		pthread_mutex_init(&transfer.mutex, NULL);
		pthread_cond_init(&transfer.done_cond, NULL);
		submit_and_wait(pool, &transfer);
		pthread_cond_destroy(&transfer.done_cond);
		pthread_mutex_destroy(&transfer.mutex);
		http_transfer_finish(&transfer, err);
	}
	return_easy(pool, transfer.easy);
	curl_slist_free_all(transfer.headers);
	return transfer.outcome;
}

int http_perform(struct http_pool *pool, const struct http_request *request,
		 struct http_response *response_r, struct err *err)
{
	int64_t began_ms = clock_mono_ms(), limit_ms = request->retry->absolute_timeout_ms;
	int64_t deadline_ms = limit_ms > 0 ? began_ms + limit_ms : 0, wait_ms;
	struct http_tries tries = { 0 };
	enum http_outcome outcome;
	struct err own;

	*response_r = (struct http_response){ 0 };
	for (;;) {
		err_clear(&own);
		outcome = try_once(pool, request, response_r, deadline_ms, &own);
		tries.elapsed_ms = clock_mono_ms() - began_ms;
		wait_ms = http_retry_wait_ms(request->retry, &tries, outcome, response_r->status);
		if (wait_ms < 0)
			break;
		tries.retries++;
		tries.connect_retries += outcome == HTTP_UNREACHABLE;
		clock_sleep_ms(wait_ms);
	}
	response_r->duration_ms = clock_mono_ms() - began_ms;
	if (outcome == HTTP_ANSWERED)
		return 0;
	if (err)
		*err = own;
	return -1;
}

void http_response_free(struct http_response *response)
{
	http_transfer_free_headers(&response->headers);
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	for (size_t i = 0; i < response->headers.count; i++) {
		if (strcmp(response->headers.items[i].name, name) == 0)
			return response->headers.items[i].value;
	}
	return NULL;
}
