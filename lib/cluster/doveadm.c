#include "cluster/doveadm.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "http/http.h"
#include "json/json.h"

#define API_PATH "/doveadm/v1"
#define TIMEOUT_MS 10000
#define ANSWER_MAX (16 * 1024 * 1024)

struct doveadm {
	struct http_pool *pool;
	char *url;
	struct str_vec headers;
};

int doveadm_open(const char *url, const char *api_key, struct doveadm **doveadm_r, struct err *err)
{
	struct doveadm *doveadm;
	autobuf struct buf header = { 0 };
	const char *host = strstr(url, "://");

	if (!host || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
		return err_set(err, ERR_CONFIG,
			       "doveadm_url: expected http://HOST:PORT or https://HOST:PORT");
	doveadm = xcalloc(1, sizeof *doveadm);
	doveadm->url = xasprintf("%s%s", url, strchr(host + 3, '/') ? "" : API_PATH);
	buf_puts(&header, "Authorization: X-Dovecot-API ");
	base64_encode(&header, api_key, strlen(api_key));
	vec_push(&doveadm->headers, buf_steal(&header));
	vec_push(&doveadm->headers, xstrdup("Content-Type: application/json"));
	doveadm->pool = http_pool_new(1);
	*doveadm_r = doveadm;
	return 0;
}

void doveadm_close(struct doveadm **doveadm_p)
{
	struct doveadm *doveadm = *doveadm_p;

	if (!doveadm)
		return;
	http_pool_free(&doveadm->pool);
	str_vec_free(&doveadm->headers);
	free(doveadm->url);
	free(doveadm);
	*doveadm_p = NULL;
}

static struct spool *make_command(const char *name, const char *user)
{
	autojson struct json *commands = json_new_array();
	struct json *command = json_new_array(), *args = json_new_object(),
		    *mask = json_new_array();
	autobuf struct buf text = { 0 };

	json_add_str(mask, user);
	json_set(args, "mask", mask);
	json_add_str(command, name);
	json_add(command, args);
	json_add_str(command, "t");
	json_add(commands, command);
	json_print(commands, &text);
	return spool_from(text.data, text.len);
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
	return err_hint(err, "is doveadm_url the doveadm service's inet_listener http?");
}

/* The rows of the one command that was sent. */
static int read_rows(const struct json *answer, const struct json **rows_r, struct err *err)
{
	const struct json *first = json_count(answer) == 1 ? json_at(answer, 0) : NULL;
	const char *kind =
		first && json_count(first) == 3 ? json_item_str(json_at(first, 0)) : NULL;

	if (!kind || (strcmp(kind, "doveadmResponse") != 0 && strcmp(kind, "error") != 0))
		return err_set(err, ERR_DATA, "the answer makes no sense");
	if (strcmp(kind, "error") == 0)
		return err_set(err, ERR_UNAVAILABLE, "Dovecot refused the command");
	*rows_r = json_at(first, 1);
	return json_is_list(*rows_r) ? 0 : err_set(err, ERR_DATA, "the answer makes no sense");
}

static int ask(struct doveadm *doveadm, const struct spool *body, struct spool *answer,
	       struct err *err)
{
	static const struct http_retry_policy once;
	autoresponse struct http_response response = { 0 };
	struct http_request request = {
		.method = HTTP_POST,
		.url = doveadm->url,
		.headers = &doveadm->headers,
		.body = body,
		.retry = &once,
		.connect_timeout_ms = TIMEOUT_MS,
		.idle_timeout_ms = TIMEOUT_MS,
		.into = answer,
		.into_max = ANSWER_MAX,
	};

	if (http_perform(doveadm->pool, &request, &response, err) < 0)
		return -1;
	return check_status(&response, err);
}

int doveadm_who(struct doveadm *doveadm, const char *user, unsigned *sessions_r, struct err *err)
{
	autospool struct spool *body = make_command("who", user);
	autospool struct spool *answer = spool_new(NULL, ANSWER_MAX);
	autojson struct json *json = NULL;
	const struct json *rows = NULL;

	if (ask(doveadm, body, answer, err) < 0 ||
	    json_parse(spool_memory(answer), (size_t)spool_size(answer), &json, err) < 0 ||
	    read_rows(json, &rows, err) < 0)
		return err_prefix(err, "ask %s who is logged in", doveadm->url);
	*sessions_r = (unsigned)json_count(rows);
	return 0;
}
