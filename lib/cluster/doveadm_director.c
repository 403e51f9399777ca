#include "cluster/doveadm_director.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "cluster/doveadm_batch.h"

/* ---- backends ---- */

/* {"mail server ip":"127.0.0.11","tag":"","vhosts":"100","state":"up",…} */
static int take_host(const struct json *row, struct director_host_vec *hosts, struct err *err)
{
	const char *address, *tag, *vhosts, *state, *users = "";
	char *end;

	if (json_get_str(row, "mail server ip", &address, err) <= 0 ||
	    json_get_str(row, "tag", &tag, err) <= 0 ||
	    json_get_str(row, "vhosts", &vhosts, err) <= 0 ||
	    json_get_str(row, "state", &state, err) <= 0)
		return doveadm_batch_senseless(err);
	if (director_host_add(hosts, address, tag, vhosts, strcmp(state, "up") == 0, err) < 0)
		return -1;
	if (json_get_str(row, "users", &users, NULL) > 0 && isdigit((unsigned char)*users)) {
		uint64_t count = strtoull(users, &end, 10);

		if (*end == '\0')
			hosts->items[hosts->count - 1].users = count;
	}
	return 0;
}

static int take_hosts(const struct doveadm_batch *batch, size_t index,
		      struct director_host_vec *hosts, struct err *err)
{
	const struct json *rows = NULL;
	int64_t exit_code = 0;

	if (doveadm_batch_answer(batch, index, &rows, &exit_code, err) == 0)
		return -1;
	if (!json_is_list(rows))
		return doveadm_batch_senseless(err);
	for (size_t i = 0; i < json_count(rows); i++) {
		if (take_host(json_at(rows, i), hosts, err) < 0)
			return -1;
	}
	return 0;
}

int doveadm_director_hosts(struct doveadm *doveadm, struct director_host_vec *hosts,
			   struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();
	size_t index = doveadm_batch_add(batch, "directorStatus", json_new_object());

	if (doveadm_batch_send(doveadm, batch, err) < 0 || take_hosts(batch, index, hosts, err) < 0)
		return err_prefix(err, "ask %s for the backends", doveadm_url(doveadm));
	return 0;
}

/* ---- users ---- */

/* Local time of the director's host, taken for ours. 0 when it is none. */
static int64_t read_time(const char *text)
{
	struct tm tm = { .tm_isdst = -1 };
	const char *end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);

	return end && *end == '\0' ? (int64_t)mktime(&tm) : 0;
}

/* "n/a" with "-1": not assigned. What says neither that nor until when is no answer. */
static int take_assignment(const char *status, const char *expires, const char **current_r,
			   int64_t *expires_s_r)
{
	*current_r = "";
	*expires_s_r = 0;
	if (strcmp(status, "n/a") == 0)
		return strcmp(expires, "-1") == 0 ? 0 : -1;
	*current_r = status;
	*expires_s_r = read_time(expires);
	return *status != '\0' && *expires_s_r > 0 ? 0 : -1;
}

/* [{"status":"127.0.0.13","expires":"2026-11-23 01:57:58","hashed":"127.0.0.11",…}] */
static int take_user(const struct json *rows, struct director_user *user_r, struct err *err)
{
	const char *status, *expires, *hashed, *current;
	const struct json *row;
	int64_t expires_s;

	if (json_count(rows) != 1)
		return doveadm_batch_senseless(err);
	row = json_at(rows, 0);
	if (json_get_str(row, "status", &status, err) <= 0 ||
	    json_get_str(row, "expires", &expires, err) <= 0 ||
	    json_get_str(row, "hashed", &hashed, err) <= 0 ||
	    take_assignment(status, expires, &current, &expires_s) < 0)
		return doveadm_batch_senseless(err);
	return director_user_set(user_r, current, expires_s, hashed, err);
}

static struct json *user_args(const char *user, const char *tag)
{
	struct json *args = json_new_object();

	json_set_str(args, "user", user);
	if (*tag)
		json_set_str(args, "tag", tag);
	return args;
}

static void take_query(const struct doveadm_batch *batch, size_t index,
		       struct doveadm_director_query *query)
{
	const struct json *rows = NULL;
	int64_t exit_code = 0;

	err_clear(&query->err);
	if (doveadm_batch_answer(batch, index, &rows, &exit_code, &query->err) > 0)
		take_user(rows, &query->answer, &query->err);
}

int doveadm_director_users(struct doveadm *doveadm, const char *tag,
			   struct doveadm_director_query *queries, size_t count,
			   struct director_host_vec *hosts_after, struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();
	size_t last;

	for (size_t i = 0; i < count; i++)
		doveadm_batch_add(batch, "directorStatus", user_args(queries[i].user, tag));
	last = doveadm_batch_add(batch, "directorStatus", json_new_object());
	if (doveadm_batch_send(doveadm, batch, err) < 0 ||
	    take_hosts(batch, last, hosts_after, err) < 0)
		return err_prefix(err, "ask %s for %zu users", doveadm_url(doveadm), count);
	for (size_t i = 0; i < count; i++)
		take_query(batch, i, &queries[i]);
	return 0;
}

/* [{"hash":"2189216526"}] */
static void take_hash(const struct doveadm_batch *batch, size_t index,
		      struct doveadm_director_hash *hash_r)
{
	const struct json *rows = NULL;
	const char *text;
	int64_t exit_code = 0;

	hash_r->text[0] = '\0';
	if (doveadm_batch_answer(batch, index, &rows, &exit_code, NULL) > 0 &&
	    json_count(rows) == 1 && json_get_str(json_at(rows, 0), "hash", &text, NULL) > 0 &&
	    director_takes_for_hash(text) && strlen(text) < sizeof hash_r->text)
		snprintf(hash_r->text, sizeof hash_r->text, "%s", text);
}

int doveadm_director_hashes(struct doveadm *doveadm, const char *const *users, size_t count,
			    struct doveadm_director_hash *hashes_r, struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();

	for (size_t i = 0; i < count; i++) {
		struct json *args = json_new_object();

		json_set_bool(args, "userMap", true);
		json_set_str(args, "host", users[i]);
		doveadm_batch_add(batch, "directorMap", args);
	}
	if (count > 0 && doveadm_batch_send(doveadm, batch, err) < 0)
		return err_prefix(err, "ask %s for hashes", doveadm_url(doveadm));
	for (size_t i = 0; i < count; i++)
		take_hash(batch, i, &hashes_r[i]);
	return 0;
}

/* ---- changes ---- */

static int change(struct doveadm *doveadm, const char *command, const struct host *host,
		  struct json *args, struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();
	const struct json *content = NULL;
	int64_t exit_code = 0;
	int ret;

	json_set_str(args, "host", host->text);
	ret = doveadm_batch_one(doveadm, batch, command, args, &content, &exit_code, err);
	if (ret > 0)
		return 0;
	if (ret == 0 && exit_code == DOVEADM_NOTFOUND)
		err_set(err, ERR_NOTFOUND, "the director has no such backend");
	return err_prefix(err, "%s of %s by %s", command, host->text, doveadm_url(doveadm));
}

int doveadm_director_update(struct doveadm *doveadm, const struct host *host, unsigned vhosts,
			    struct err *err)
{
	struct json *args = json_new_object();
	char text[16];

	snprintf(text, sizeof text, "%u", vhosts);
	json_set_str(args, "vhostCount", text);
	return change(doveadm, "directorUpdate", host, args, err);
}

int doveadm_director_down(struct doveadm *doveadm, const struct host *host, struct err *err)
{
	return change(doveadm, "directorDown", host, json_new_object(), err);
}

int doveadm_director_up(struct doveadm *doveadm, const struct host *host, struct err *err)
{
	return change(doveadm, "directorUp", host, json_new_object(), err);
}

int doveadm_director_flush(struct doveadm *doveadm, const struct host *host, struct err *err)
{
	return change(doveadm, "directorFlush", host, json_new_object(), err);
}
