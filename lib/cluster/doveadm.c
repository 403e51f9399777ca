#include "cluster/doveadm.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/utf8.h"
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

static void add_command(struct json *commands, const char *name, const char *param,
			const char *user, const char *tag)
{
	struct json *command = json_new_array(), *args = json_new_object(),
		    *names = json_new_array();

	json_add_str(names, user);
	json_set(args, param, names);
	json_add_str(command, name);
	json_add(command, args);
	json_add_str(command, tag);
	json_add(commands, command);
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

static int no_sense(struct err *err)
{
	return err_set(err, ERR_DATA, "the answer makes no sense");
}

/* The answer to one command: 1 with what it holds, 0 for an error. */
static int read_answer(const struct json *answer, const char *tag, const struct json **content_r,
		       struct err *err)
{
	const char *kind = json_count(answer) == 3 ? json_item_str(json_at(answer, 0)) : NULL;
	const char *its_tag = kind ? json_item_str(json_at(answer, 2)) : NULL;

	if (!its_tag || strcmp(its_tag, tag) != 0)
		return no_sense(err);
	*content_r = json_at(answer, 1);
	if (strcmp(kind, "doveadmResponse") == 0)
		return 1;
	return strcmp(kind, "error") == 0 ? 0 : no_sense(err);
}

static int send(struct doveadm *doveadm, const struct spool *body, struct spool *answer,
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

static int ask(struct doveadm *doveadm, const struct json *commands, struct json **answers_r,
	       struct err *err)
{
	autospool struct spool *body = NULL;
	autospool struct spool *answer = spool_new(NULL, ANSWER_MAX);
	autobuf struct buf text = { 0 };

	json_print(commands, &text);
	body = spool_from(text.data, text.len);
	if (send(doveadm, body, answer, err) < 0 ||
	    json_parse(spool_memory(answer), (size_t)spool_size(answer), answers_r, err) < 0)
		return -1;
	return json_count(*answers_r) == json_count(commands) ? 0 : no_sense(err);
}

static int who(struct doveadm *doveadm, const char *user, unsigned *sessions_r, struct err *err)
{
	autojson struct json *commands = json_new_array(), *answers = NULL;
	const struct json *rows = NULL;
	int ret;

	add_command(commands, "who", "mask", user, "t");
	if (ask(doveadm, commands, &answers, err) < 0)
		return -1;
	ret = read_answer(json_at(answers, 0), "t", &rows, err);
	if (ret == 0)
		return err_set(err, ERR_UNAVAILABLE, "Dovecot refused the command");
	if (ret < 0 || !json_is_list(rows))
		return no_sense(err);
	*sessions_r = (unsigned)json_count(rows);
	return 0;
}

int doveadm_who(struct doveadm *doveadm, const char *user, unsigned *sessions_r, struct err *err)
{
	if (who(doveadm, user, sessions_r, err) < 0)
		return err_prefix(err, "ask %s who is logged in", doveadm->url);
	return 0;
}

/* ---- userdb ---- */

/* Dovecot takes a name with * or ? for a mask, and text that is no UTF-8 would become another
 * name on its way. */
static bool can_ask(const char *username)
{
	return *username != '\0' && strpbrk(username, "*?") == NULL &&
	       utf8_is_valid(username, strlen(username));
}

/* ["error",{"type":"exitCode","exitCode":67},tag]: 67 is EX_NOUSER, the rest are failures. */
static void read_refusal(const struct json *content, struct doveadm_user *user)
{
	int64_t code = -1;

	if (json_get_int(content, "exitCode", &code, NULL) > 0 && code == ERR_NOUSER) {
		user->known = DOVEADM_UNKNOWN;
		return;
	}
	err_set(&user->err, ERR_TEMP, "userdb gave no answer (doveadm's exit code %lld)",
		(long long)code);
	err_again(&user->err);
}

static int take_field(void *ctx, const char *name, const struct json *value)
{
	struct doveadm_user *user = ctx;
	const char *text = json_item_str(value);
	struct doveadm_field field;

	if (!text)
		return -1;
	field = (struct doveadm_field){ .name = xstrdup(name), .value = xstrdup(text) };
	vec_push(&user->fields, field);
	return 0;
}

/* {"u@d":{"uid":"5000",…}} */
static int read_user(const struct json *answer, const char *tag, struct doveadm_user *user,
		     struct err *err)
{
	const struct json *content = NULL, *fields = NULL;
	int ret = read_answer(answer, tag, &content, err);

	user->known = DOVEADM_NOT_TOLD;
	if (ret < 0)
		return -1;
	if (ret == 0) {
		read_refusal(content, user);
		return 0;
	}
	if (json_get_object(content, user->username, &fields, NULL) <= 0 ||
	    json_each(fields, take_field, user) < 0)
		return no_sense(err);
	user->known = DOVEADM_KNOWN;
	return 0;
}

/* One command a user: an error about one of several in a command would hide the others. */
static int look_up(struct doveadm *doveadm, struct doveadm_user *users, size_t count,
		   struct err *err)
{
	autojson struct json *commands = json_new_array(), *answers = NULL;
	size_t at = 0;
	char tag[24];

	for (size_t i = 0; i < count; i++) {
		snprintf(tag, sizeof tag, "%zu", i);
		if (users[i].err.code == ERR_NONE)
			add_command(commands, "user", "userMask", users[i].username, tag);
	}
	if (json_count(commands) == 0)
		return 0;
	if (ask(doveadm, commands, &answers, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		snprintf(tag, sizeof tag, "%zu", i);
		if (users[i].err.code == ERR_NONE &&
		    read_user(json_at(answers, at++), tag, &users[i], err) < 0)
			return -1;
	}
	return 0;
}

int doveadm_users(struct doveadm *doveadm, struct doveadm_user *users, size_t count,
		  struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const char *username = users[i].username;

		users[i] = (struct doveadm_user){ .username = username, .known = DOVEADM_NOT_TOLD };
		if (!can_ask(username))
			err_set(&users[i].err, ERR_TEMP, "doveadm can't be asked for such a name");
	}
	if (look_up(doveadm, users, count, err) == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		doveadm_user_free(&users[i]);
	return err_prefix(err, "ask %s for %zu users", doveadm->url, count);
}

void doveadm_user_free(struct doveadm_user *user)
{
	for (size_t i = 0; i < user->fields.count; i++) {
		free(user->fields.items[i].name);
		free(user->fields.items[i].value);
	}
	vec_free(&user->fields);
}
