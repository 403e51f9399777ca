#include "http/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#define POLL_MAX_MS 1000
#define HEADER_BYTES_MAX 65536 /* of an answer's headers */
#define BUFFER_BYTES 131072

/* One request that a thread waits for; lives on that thread's stack. */
struct job {
	const struct http_request *request;
	struct http_response *response;
	struct err *err;
	struct job *next; /* in one of the pool's lists */
	CURL *easy;
	struct curl_slist *headers;
	uint64_t sent; /* of the body, in this try */
	size_t header_bytes;
	struct http_tries tries;
	int64_t started_ms, due_ms;
	struct err io_err; /* from the spool */
	char curl_error[CURL_ERROR_SIZE];
	pthread_cond_t done_cond;
	bool done; /* guarded by the pool's mutex */
	int ret;
};

struct http_pool {
	unsigned max_parallel;
	CURLM *multi;
	pthread_t thread;
	pthread_mutex_t mutex; /* guards the two below, and each job's `done` */
	struct job *submitted, **submitted_end;
	bool ending;
	/* Of the thread alone. */
	unsigned active;
	struct job *ready, **ready_end; /* wait for a free place */
	struct job *waiting;            /* for their next try */
	CURL **idle;
	size_t idle_count;
};

static void append_job(struct job ***end, struct job *job)
{
	job->next = NULL;
	**end = job;
	*end = &job->next;
}

/* ---- callbacks of one transfer ---- */

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
	struct job *job = ctx;
	struct spool *into = job->request->into;

	(void)size; /* always 1 */
	if (!into)
		return count;
	if (spool_size(into) + count > job->request->into_max) {
		err_set(&job->io_err, ERR_DATA, "the answer is longer than %llu bytes",
			(unsigned long long)job->request->into_max);
		return 0;
	}
	return spool_write(into, data, count, &job->io_err) < 0 ? 0 : count;
}

static size_t give_body(char *data, size_t size, size_t count, void *ctx)
{
	struct job *job = ctx;
	ssize_t n = spool_read(job->request->body, job->sent, data, size * count, &job->io_err);

	if (n < 0)
		return CURL_READFUNC_ABORT;
	job->sent += (uint64_t)n;
	return (size_t)n;
}

static int rewind_body(void *ctx, curl_off_t offset, int origin)
{
	struct job *job = ctx;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	job->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static void free_headers(struct http_header_vec *headers)
{
	for (size_t i = 0; i < headers->count; i++) {
		free(headers->items[i].name);
		free(headers->items[i].value);
	}
	vec_free(headers);
}

static size_t take_header(char *data, size_t size, size_t count, void *ctx)
{
	struct job *job = ctx;
	const char *colon = memchr(data, ':', count);
	size_t end = count;
	struct http_header header;

	(void)size;
	job->header_bytes += count;
	if (job->header_bytes > HEADER_BYTES_MAX) {
		err_set(&job->io_err, ERR_DATA, "the answer's headers are too long");
		return 0;
	}
	if (!colon)
		return count;
	while (end > 0 && (data[end - 1] == '\n' || data[end - 1] == '\r' || data[end - 1] == ' '))
		end--;
	header.name = xstrndup(data, (size_t)(colon - data));
	for (char *c = header.name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	for (colon++; colon < data + end && *colon == ' '; colon++)
		;
	header.value = xstrndup(colon, colon < data + end ? (size_t)(data + end - colon) : 0);
	vec_push(&job->response->headers, header);
	return count;
}

/* ---- one try ---- */

#define set(easy, option, value)                                                                   \
	do {                                                                                       \
		if (curl_easy_setopt(easy, option, value) != CURLE_OK)                             \
			abort(); /* a libcurl without what we were built for */                    \
	} while (0)

static void set_method(CURL *easy, const struct job *job)
{
	const struct http_request *request = job->request;
	curl_off_t size = request->body ? (curl_off_t)spool_size(request->body) : 0;

	switch (request->method) {
	case HTTP_GET:
		set(easy, CURLOPT_HTTPGET, 1L);
		return;
	case HTTP_HEAD:
		set(easy, CURLOPT_NOBODY, 1L);
		return;
	case HTTP_PUT:
		set(easy, CURLOPT_UPLOAD, 1L);
		set(easy, CURLOPT_INFILESIZE_LARGE, size);
		return;
	case HTTP_POST:
		set(easy, CURLOPT_POST, 1L);
		set(easy, CURLOPT_POSTFIELDSIZE_LARGE, size);
		return;
	}
}

static void set_headers(struct job *job)
{
	const struct str_vec *headers = job->request->headers;

	for (size_t i = 0; headers && i < headers->count; i++) {
		struct curl_slist *longer =
			curl_slist_append(job->headers, headers->items[i]);

		if (!longer)
			abort();
		job->headers = longer;
	}
	set(job->easy, CURLOPT_HTTPHEADER, job->headers);
}

static void set_signature(CURL *easy, const struct http_sign *sign)
{
	autofree char *provider = NULL;

	if (!sign)
		return;
	provider = xasprintf("aws:amz:%s:s3", sign->region);
	set(easy, CURLOPT_AWS_SIGV4, provider);
	set(easy, CURLOPT_USERNAME, sign->access_key);
	set(easy, CURLOPT_PASSWORD, sign->secret_key);
}

static void prepare(struct job *job)
{
	const struct http_request *request = job->request;
	CURL *easy = job->easy;

	job->sent = 0;
	job->header_bytes = 0;
	job->curl_error[0] = '\0';
	free_headers(&job->response->headers);
	if (request->into)
		spool_reset(request->into);
	set(easy, CURLOPT_URL, request->url);
	set(easy, CURLOPT_PATH_AS_IS, 1L);
	set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	set(easy, CURLOPT_NOSIGNAL, 1L);
	set(easy, CURLOPT_TCP_NODELAY, 1L);
	set(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	set(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
	set(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
	set(easy, CURLOPT_ERRORBUFFER, job->curl_error);
	set(easy, CURLOPT_PRIVATE, (void *)job);
	set(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
	/* No pause before a large body. The header can't be left out: an empty one
	 * in our list would be signed, but not sent. */
	set(easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
	set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	set(easy, CURLOPT_LOW_SPEED_TIME, (long)((request->idle_timeout_ms + 999) / 1000));
	if (request->retry->absolute_timeout_ms > 0)
		set(easy, CURLOPT_TIMEOUT_MS, (long)request->retry->absolute_timeout_ms);
	set(easy, CURLOPT_WRITEFUNCTION, take_body);
	set(easy, CURLOPT_WRITEDATA, (void *)job);
	set(easy, CURLOPT_HEADERFUNCTION, take_header);
	set(easy, CURLOPT_HEADERDATA, (void *)job);
	set(easy, CURLOPT_READFUNCTION, give_body);
	set(easy, CURLOPT_READDATA, (void *)job);
	set(easy, CURLOPT_SEEKFUNCTION, rewind_body);
	set(easy, CURLOPT_SEEKDATA, (void *)job);
	set_method(easy, job);
	set_headers(job);
	set_signature(easy, request->sign);
}

static void start(struct http_pool *pool, struct job *job)
{
	job->easy = pool->idle_count > 0 ? pool->idle[--pool->idle_count] : curl_easy_init();
	if (!job->easy)
		abort();
	prepare(job);
	job->response->tries++;
	if (curl_multi_add_handle(pool->multi, job->easy) != CURLM_OK)
		abort();
	pool->active++;
}

static void end_try(struct http_pool *pool, struct job *job)
{
	curl_multi_remove_handle(pool->multi, job->easy);
	curl_easy_reset(job->easy);
	pool->idle[pool->idle_count++] = job->easy;
	job->easy = NULL;
	curl_slist_free_all(job->headers);
	job->headers = NULL;
	pool->active--;
}

/* ---- outcomes ---- */

static enum http_outcome outcome_of(CURLcode code, bool connected)
{
	switch (code) {
	case CURLE_OK:
		return HTTP_ANSWERED;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		return HTTP_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return connected ? HTTP_BROKEN : HTTP_UNREACHABLE;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
	case CURLE_SEND_FAIL_REWIND:
	case CURLE_WEIRD_SERVER_REPLY:
		return HTTP_BROKEN;
	default:
		return HTTP_IMPOSSIBLE;
	}
}

static int describe(struct job *job, CURLcode code, enum http_outcome outcome)
{
	const char *reason = job->curl_error[0] ? job->curl_error : curl_easy_strerror(code);

	if (job->io_err.code != ERR_NONE) {
		if (job->err)
			*job->err = job->io_err;
		return -1;
	}
	err_set(job->err, ERR_UNAVAILABLE, "%s", reason);
	if (outcome == HTTP_IMPOSSIBLE)
		return -1;
	return err_again(job->err);
}

static void finish(struct http_pool *pool, struct job *job, int ret)
{
	job->response->duration_ms = clock_mono_ms() - job->started_ms;
	pthread_mutex_lock(&pool->mutex);
	job->ret = ret;
	job->done = true;
	pthread_cond_signal(&job->done_cond);
	pthread_mutex_unlock(&pool->mutex);
}

static void handle_outcome(struct http_pool *pool, struct job *job, CURLcode code)
{
	long status = 0;
	curl_off_t pretransfer_us = 0;
	enum http_outcome outcome;
	int64_t wait_ms;

	curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(job->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
	outcome = outcome_of(code, pretransfer_us > 0);
	if (job->io_err.code != ERR_NONE)
		outcome = HTTP_IMPOSSIBLE;
	end_try(pool, job);
	job->response->status = (int)status;
	job->tries.elapsed_ms = clock_mono_ms() - job->started_ms;
	wait_ms = http_retry_wait_ms(job->request->retry, &job->tries, outcome, (int)status);
	if (wait_ms < 0) {
		finish(pool, job, outcome == HTTP_ANSWERED ? 0 : describe(job, code, outcome));
		return;
	}
	job->tries.retries++;
	job->tries.connect_retries += outcome == HTTP_UNREACHABLE;
	job->due_ms = clock_mono_ms() + wait_ms;
	job->next = pool->waiting;
	pool->waiting = job;
}

/* ---- the thread ---- */

/* false: the pool ends. */
static bool take_submitted(struct http_pool *pool)
{
	struct job *job;
	bool ending;

	pthread_mutex_lock(&pool->mutex);
	job = pool->submitted;
	pool->submitted = NULL;
	pool->submitted_end = &pool->submitted;
	ending = pool->ending;
	pthread_mutex_unlock(&pool->mutex);
	while (job) {
		struct job *next = job->next;

		append_job(&pool->ready_end, job);
		job = next;
	}
	return !ending;
}

/* Moves what is due to the ready list; how long until the next is, at most POLL_MAX_MS. */
static int take_due(struct http_pool *pool)
{
	int64_t now_ms = clock_mono_ms(), next_ms = now_ms + POLL_MAX_MS;
	struct job **at = &pool->waiting;

	while (*at) {
		struct job *job = *at;

		if (job->due_ms > now_ms) {
			next_ms = job->due_ms < next_ms ? job->due_ms : next_ms;
			at = &job->next;
			continue;
		}
		*at = job->next;
		append_job(&pool->ready_end, job);
	}
	return (int)(next_ms - now_ms);
}

static void start_ready(struct http_pool *pool)
{
	while (pool->ready && pool->active < pool->max_parallel) {
		struct job *job = pool->ready;

		pool->ready = job->next;
		if (!pool->ready)
			pool->ready_end = &pool->ready;
		start(pool, job);
	}
}

static void handle_messages(struct http_pool *pool)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL) {
		char *job = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &job);
		handle_outcome(pool, (struct job *)(void *)job, message->data.result);
	}
}

static void *thread_main(void *arg)
{
	struct http_pool *pool = arg;
	int running;

	while (take_submitted(pool)) {
		int timeout_ms = take_due(pool);

		start_ready(pool);
		if (curl_multi_perform(pool->multi, &running) != CURLM_OK)
			abort();
		handle_messages(pool);
		/* Something ended and something waits: no reason to sleep. */
		if (pool->ready && pool->active < pool->max_parallel)
			continue;
		curl_multi_poll(pool->multi, NULL, 0, timeout_ms, NULL);
	}
	return NULL;
}

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
	pool->idle = xcalloc(max_parallel, sizeof *pool->idle);
	pool->submitted_end = &pool->submitted;
	pool->ready_end = &pool->ready;
	pthread_mutex_init(&pool->mutex, NULL);
	pool->multi = curl_multi_init();
	if (!pool->multi)
		abort();
	curl_multi_setopt(pool->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)max_parallel);
	curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)max_parallel);
	if (pthread_create(&pool->thread, NULL, thread_main, pool) != 0)
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
	for (size_t i = 0; i < pool->idle_count; i++)
		curl_easy_cleanup(pool->idle[i]);
	curl_multi_cleanup(pool->multi);
	pthread_mutex_destroy(&pool->mutex);
	free(pool->idle);
	free(pool);
	*pool_p = NULL;
}

void http_response_free(struct http_response *response)
{
	free_headers(&response->headers);
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	for (size_t i = 0; i < response->headers.count; i++) {
		if (strcmp(response->headers.items[i].name, name) == 0)
			return response->headers.items[i].value;
	}
	return NULL;
}

int http_perform(struct http_pool *pool, const struct http_request *request,
		 struct http_response *response_r, struct err *err)
{
	struct job job = {
		.request = request,
		.response = response_r,
		.err = err,
		.started_ms = clock_mono_ms(),
	};

	*response_r = (struct http_response){ 0 };
	pthread_cond_init(&job.done_cond, NULL);
	pthread_mutex_lock(&pool->mutex);
	append_job(&pool->submitted_end, &job);
	pthread_mutex_unlock(&pool->mutex);
	curl_multi_wakeup(pool->multi);
	pthread_mutex_lock(&pool->mutex);
	while (!job.done)
		pthread_cond_wait(&job.done_cond, &pool->mutex);
	pthread_mutex_unlock(&pool->mutex);
	pthread_cond_destroy(&job.done_cond);
	return job.ret;
}
