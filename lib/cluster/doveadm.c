#include "cluster/doveadm.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/quote.h"
#include "cluster/doveadm_batch.h"
#include "http/http.h"

#define API_PATH "/doveadm/v1"
#define TIMEOUT_MS 10000
#define TIMEOUTS_IN_ALL 6 /* a byte now and then is progress, and could go on for ever */
#define ANSWER_MAX (64 * 1024 * 1024)
#define TAG_MAX 24

struct doveadm {
	struct http_pool *pool;
	char *url;
	struct str_vec headers;
	int64_t timeout_ms;
	struct doveadm_turn turn;
};

static int check_url(const char *url, struct err *err)
{
	const char *host = strstr(url, "://");

	if (!host || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
		return err_set(err, ERR_CONFIG,
			       "doveadm_url: expected http://HOST:PORT or https://HOST:PORT");
	host += 3;
	if (memchr(host, '@', strcspn(host, "/")))
		return err_set(err, ERR_CONFIG,
			       "doveadm's URL has a user in it; the key is doveadm_api_key");
	return 0;
}

int doveadm_open(const char *url, const char *api_key, struct doveadm **doveadm_r, struct err *err)
{
	struct doveadm *doveadm;
	autobuf struct buf header = { 0 };

	if (check_url(url, err) < 0)
		return -1;
	doveadm = xcalloc(1, sizeof *doveadm);
	doveadm->url = xasprintf("%s%s", url, strchr(strstr(url, "://") + 3, '/') ? "" : API_PATH);
	doveadm->timeout_ms = TIMEOUT_MS;
	buf_puts(&header, "Authorization: X-Dovecot-API ");
	base64_encode(&header, api_key, strlen(api_key));
	vec_push(&doveadm->headers, buf_steal(&header));
	vec_push(&doveadm->headers, xstrdup("Content-Type: application/json"));
	doveadm->pool = http_pool_new(1);
	pthread_mutex_init(&doveadm->turn.mutex, NULL);
	*doveadm_r = doveadm;
	return 0;
}

void doveadm_close(struct doveadm **doveadm_p)
{
	struct doveadm *doveadm = *doveadm_p;

	if (!doveadm)
		return;
	http_pool_free(&doveadm->pool);
	pthread_mutex_destroy(&doveadm->turn.mutex);
	for (size_t i = 0; i < doveadm->headers.count; i++)
		explicit_bzero(doveadm->headers.items[i], strlen(doveadm->headers.items[i]));
	str_vec_free(&doveadm->headers);
	free(doveadm->url);
	free(doveadm);
	*doveadm_p = NULL;
}

void doveadm_set_timeout_ms(struct doveadm *doveadm, int64_t timeout_ms)
{
	doveadm->timeout_ms = timeout_ms;
}

int64_t doveadm_timeout_ms(const struct doveadm *doveadm)
{
	return doveadm->timeout_ms;
}

struct doveadm_turn *doveadm_turn(struct doveadm *doveadm)
{
	return &doveadm->turn;
}

const char *doveadm_url(const struct doveadm *doveadm)
{
	return doveadm->url;
}

/* ---- a request ---- */

struct doveadm_batch {
	struct json *commands, *answers;
};

struct doveadm_batch *doveadm_batch_new(void)
{
	struct doveadm_batch *batch = xcalloc(1, sizeof *batch);

	batch->commands = json_new_array();
	return batch;
}

void doveadm_batch_free(struct doveadm_batch **batch_p)
{
	struct doveadm_batch *batch = *batch_p;

	if (!batch)
		return;
	json_free(&batch->commands);
	json_free(&batch->answers);
	free(batch);
	*batch_p = NULL;
}

size_t doveadm_batch_count(const struct doveadm_batch *batch)
{
	return json_count(batch->commands);
}

size_t doveadm_batch_add(struct doveadm_batch *batch, const char *command, struct json *args)
{
	struct json *item = json_new_array();
	size_t index = json_count(batch->commands);
	char tag[TAG_MAX];

	snprintf(tag, sizeof tag, "%zu", index);
	json_add_str(item, command);
	json_add(item, args);
	json_add_str(item, tag);
	json_add(batch->commands, item);
	return index;
}

static int check_status(const struct http_response *response, struct err *err)
{
	if (response->status == 200)
		return 0;
	if (response->status == 401 || response->status == 403) {
		err_set(err, ERR_NOPERM, "HTTP status %d", response->status);
		return err_hint(err, "is doveadm_api_key the key of this Dovecot?");
	}
	err_set(err, ERR_UNAVAILABLE, "HTTP status %d", response->status);
	return err_hint(err, "is the URL that of the doveadm service's inet_listener http?");
}

static int post(struct doveadm *doveadm, const struct spool *body, struct spool *answer,
		struct err *err)
{
	const struct http_retry_policy once = {
		.absolute_timeout_ms = TIMEOUTS_IN_ALL * doveadm->timeout_ms,
	};
	autoresponse struct http_response response = { 0 };
	struct http_request request = {
		.method = HTTP_POST,
		.url = doveadm->url,
		.headers = &doveadm->headers,
		.body = body,
		.retry = &once,
		.connect_timeout_ms = doveadm->timeout_ms,
		.idle_timeout_ms = doveadm->timeout_ms,
		.into = answer,
		.into_max = ANSWER_MAX,
	};

	if (http_perform(doveadm->pool, &request, &response, err) == 0)
		return check_status(&response, err);
	if (err && err->sys == ETIMEDOUT)
		err->hint[0] = '\0'; /* it is about object storage */
	return -1;
}

int doveadm_batch_senseless(struct err *err)
{
	return err_set(err, ERR_DATA, "the answer makes no sense");
}

/* ["doveadmResponse" or "error", content, tag] */
static bool is_answer(const struct json *answer, size_t index)
{
	const char *kind, *its_tag;
	char tag[TAG_MAX];

	if (json_count(answer) != 3)
		return false;
	snprintf(tag, sizeof tag, "%zu", index);
	kind = json_item_str(json_at(answer, 0));
	its_tag = json_item_str(json_at(answer, 2));
	return kind && its_tag && strcmp(its_tag, tag) == 0 &&
	       (strcmp(kind, "doveadmResponse") == 0 || strcmp(kind, "error") == 0);
}

int doveadm_batch_send(struct doveadm *doveadm, struct doveadm_batch *batch, struct err *err)
{
	autospool struct spool *body = NULL;
	autospool struct spool *answer = spool_new(NULL, ANSWER_MAX);
	autobuf struct buf text = { 0 };
	size_t count = json_count(batch->commands);

	json_print(batch->commands, &text);
	body = spool_from(text.data, text.len);
	if (post(doveadm, body, answer, err) < 0 ||
	    json_parse(spool_memory(answer), (size_t)spool_size(answer), &batch->answers, err) < 0)
		return -1;
	if (json_count(batch->answers) != count)
		return err_set(err, ERR_DATA, "%zu answers to %zu commands",
			       json_count(batch->answers), count);
	for (size_t i = 0; i < count; i++) {
		if (!is_answer(json_at(batch->answers, i), i))
			return doveadm_batch_senseless(err);
	}
	return 0;
}

/* ["error",{"type":"exitCode","exitCode":75},tag]; other types say that it was not started. */
static void read_refusal(const struct json *content, int64_t *exit_code_r, struct err *err)
{
	const char *type = "";

	*exit_code_r = 0;
	json_get_str(content, "type", &type, NULL);
	if (strcmp(type, "exitCode") != 0) {
		err_set(err, strcmp(type, "unAuthorized") == 0 ? ERR_NOPERM : ERR_UNAVAILABLE,
			"doveadm does not do that: %s", quote_str(type).s);
		err_hint(err, "doveadm_allowed_commands restricts what the API does");
		return;
	}
	json_get_int(content, "exitCode", exit_code_r, NULL);
	err_set(err, ERR_TEMP, "doveadm's exit code %lld", (long long)*exit_code_r);
	err_hint(err, "Dovecot's log tells why");
	err_again(err);
}

int doveadm_batch_answer(const struct doveadm_batch *batch, size_t index,
			 const struct json **content_r, int64_t *exit_code_r, struct err *err)
{
	const struct json *answer = json_at(batch->answers, index);

	*content_r = json_at(answer, 1);
	if (strcmp(json_item_str(json_at(answer, 0)), "error") != 0)
		return 1;
	read_refusal(*content_r, exit_code_r, err);
	return 0;
}

int doveadm_batch_one(struct doveadm *doveadm, struct doveadm_batch *batch, const char *command,
		      struct json *args, const struct json **content_r, int64_t *exit_code_r,
		      struct err *err)
{
	size_t index = doveadm_batch_add(batch, command, args);

	if (doveadm_batch_send(doveadm, batch, err) < 0)
		return -1;
	return doveadm_batch_answer(batch, index, content_r, exit_code_r, err);
}
