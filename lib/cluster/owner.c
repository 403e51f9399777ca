#include "cluster/owner.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "cluster/owner_driver.h"

#define USER_MAX 255

VEC(answer_vec, struct owner_answer *);

static const struct owner_driver *const drivers[] = {
	&owner_http_driver, &owner_https_driver,   &owner_admin_driver,
	&owner_map_driver,  &owner_command_driver,
};

const char *owner_where_name(enum owner_where where)
{
	switch (where) {
	case OWNER_UNKNOWN:
		return "unknown";
	case OWNER_HERE:
		return "here";
	case OWNER_ELSEWHERE:
		return "elsewhere";
	case OWNER_WOULD_BE_ELSEWHERE:
		return "would-be-elsewhere";
	}
	return "unknown";
}

static const struct owner_driver *find_driver(const char *director, const char **rest_r)
{
	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++) {
		size_t len = strlen(drivers[i]->scheme);

		if (strncmp(director, drivers[i]->scheme, len) == 0) {
			*rest_r = drivers[i]->keep_scheme ? director : director + len;
			return drivers[i];
		}
	}
	return NULL;
}

static int check_settings(const struct settings *settings, struct err *err)
{
	if (!settings->director) {
		err_set(err, ERR_CONFIG, "director is not set: who knows which host owns a user?");
		return err_hint(err, "see OWNERSHIP in metacache.conf(5)");
	}
	if (!settings->backend_host) {
		err_set(err, ERR_CONFIG, "backend_host is not set: which host is this?");
		return err_hint(err, "set it to this host's name or address in the director");
	}
	return 0;
}

int owner_open(const struct settings *settings, struct owner **owner_r, struct err *err)
{
	struct owner owner = { .settings = settings };
	const char *rest;

	if (check_settings(settings, err) < 0)
		return -1;
	if (settings->director_timeout_ms <= 0)
		return err_set(err, ERR_CONFIG, "director_timeout has to be above 0");
	if (host_parse(settings->backend_host, &owner.here) < 0)
		return err_set(err, ERR_CONFIG, "backend_host %s is no name or address of a host",
			       quote_str(settings->backend_host).s);
	owner.driver = find_driver(settings->director, &rest);
	if (!owner.driver)
		return err_set(err, ERR_CONFIG,
			       "director: expected http://…, https://…, unix:PATH, map:FILE or "
			       "command:PROGRAM");
	if (owner.driver->open(&owner, rest, err) < 0)
		return err_prefix(err, "director");
	*owner_r = xmalloc(sizeof owner);
	**owner_r = owner;
	return 0;
}

void owner_close(struct owner **owner_p)
{
	struct owner *owner = *owner_p;

	if (!owner)
		return;
	owner->driver->close(owner);
	free(owner);
	*owner_p = NULL;
}

void owner_driver_unknown(struct owner_answer *answer, enum err_code code, const char *fmt, ...)
{
	va_list args;

	*answer = (struct owner_answer){ .user = answer->user };
	answer->err.code = code;
	va_start(args, fmt);
	vsnprintf(answer->err.msg, sizeof answer->err.msg, fmt, args);
	va_end(args);
}

void owner_driver_known(struct owner_answer *answer, enum owner_where where,
			const struct host *host)
{
	answer->where = where;
	snprintf(answer->host, sizeof answer->host, "%s", host->text);
	err_clear(&answer->err);
}

/* What would be another name, or several, in a line-based protocol. */
static bool can_ask(const char *user)
{
	size_t len = strlen(user);

	if (len == 0 || len > USER_MAX || !utf8_is_valid(user, len))
		return false;
	for (const char *c = user; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	}
	return true;
}

static void fail(struct owner_answer *const *answers, size_t count, const struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		*answers[i] = (struct owner_answer){ .user = answers[i]->user };
		answers[i]->err = *err;
	}
}

/* What nobody has said anything of must still say why. */
static void finish(struct owner_answer *const *answers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (answers[i]->where == OWNER_UNKNOWN && answers[i]->err.code == ERR_NONE)
			owner_driver_unknown(answers[i], ERR_TEMP, "there was no answer for it");
	}
}

static int look_up(struct owner *owner, const struct answer_vec *asked, struct err *err)
{
	size_t done = 0;
	struct err failed = { 0 };

	while (done < asked->count) {
		struct owner_answer *const *answers = asked->items + done;
		size_t left = asked->count - done;
		size_t count = left < owner->driver->batch_max ? left : owner->driver->batch_max;

		if (owner->driver->lookup(owner, answers, count, &failed) < 0) {
			/* The rest would wait for the same again. */
			err_prefix(&failed, "ask who owns users");
			fail(answers, left, &failed);
			break;
		}
		finish(answers, count);
		done += count;
	}
	if (done > 0 || asked->count == 0)
		return 0;
	if (err)
		*err = failed;
	return -1;
}

int owner_lookup(struct owner *owner, struct owner_answer *answers, size_t count, struct err *err)
{
	struct answer_vec asked = { 0 };
	int ret;

	for (size_t i = 0; i < count; i++) {
		answers[i] = (struct owner_answer){ .user = answers[i].user };
		if (can_ask(answers[i].user))
			vec_push(&asked, &answers[i]);
		else
			owner_driver_unknown(&answers[i], ERR_DATA,
					     "nobody can be asked for such a name");
	}
	ret = look_up(owner, &asked, err);
	vec_free(&asked);
	return ret;
}
