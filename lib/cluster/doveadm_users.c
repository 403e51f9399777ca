#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cluster/doveadm_batch.h"

/* Dovecot takes a name with * or ? for a mask, and text that is no UTF-8 would become another
 * name on its way. */
static bool can_ask(const char *username)
{
	return *username != '\0' && strpbrk(username, "*?") == NULL &&
	       utf8_is_valid(username, strlen(username));
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
static int read_user(const struct doveadm_batch *batch, size_t index, struct doveadm_user *user,
		     struct err *err)
{
	const struct json *content = NULL, *fields = NULL;
	int64_t exit_code = 0;

	if (doveadm_batch_answer(batch, index, &content, &exit_code, &user->err) == 0) {
		if (exit_code == DOVEADM_NOUSER) {
			user->known = DOVEADM_UNKNOWN;
			err_clear(&user->err);
			return 0;
		}
		err_set(&user->err, ERR_TEMP, "userdb gave no answer (doveadm's exit code %lld)",
			(long long)exit_code);
		return err_again(&user->err), 0;
	}
	if (json_get_object(content, user->username, &fields, NULL) <= 0 ||
	    json_each(fields, take_field, user) < 0)
		return doveadm_batch_senseless(err);
	user->known = DOVEADM_KNOWN;
	return 0;
}

/* One command a user: an error about one of several in a command would hide the others. */
static int look_up(struct doveadm *doveadm, struct doveadm_user *users, size_t count,
		   struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		struct json *args, *names;

		if (users[i].err.code != ERR_NONE)
			continue;
		args = json_new_object();
		names = json_new_array();
		json_add_str(names, users[i].username);
		json_set(args, "userMask", names);
		doveadm_batch_add(batch, "user", args);
	}
	if (doveadm_batch_count(batch) == 0)
		return 0;
	if (doveadm_batch_send(doveadm, batch, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (users[i].err.code == ERR_NONE && read_user(batch, at++, &users[i], err) < 0)
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
	return err_prefix(err, "ask %s for %zu users", doveadm_url(doveadm), count);
}

void doveadm_user_free(struct doveadm_user *user)
{
	for (size_t i = 0; i < user->fields.count; i++) {
		free(user->fields.items[i].name);
		free(user->fields.items[i].value);
	}
	vec_free(&user->fields);
}
