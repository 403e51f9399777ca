#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "cluster/doveadm_batch.h"

static struct json *mask_args(const char *mask)
{
	struct json *args = json_new_object(), *masks;

	if (mask) {
		masks = json_new_array();
		json_add_str(masks, mask);
		json_set(args, "mask", masks);
	}
	return args;
}

/* A mask that matches the user and is taken for nothing else: doveadm reads 10.1 as an
 * address and knows wildcards and escapes. What matches too is left out by the name. */
static void mask_of(const char *user, struct buf *mask)
{
	for (size_t i = 0; user[i] != '\0'; i++) {
		unsigned char c = (unsigned char)user[i];
		bool is_plain = i > 0 && c < 0x80 && (isalnum(c) || strchr("@._+-", c));

		buf_append(mask, is_plain ? &user[i] : "?", 1);
	}
}

/* {"username":"u@d","service":"imap","pid":"12","ip":"::1"} */
static int take_row(const struct json *row, doveadm_who_fn *fn, void *ctx, struct err *err)
{
	struct doveadm_session session = { 0 };

	if (json_get_str(row, "username", &session.username, err) <= 0 ||
	    json_get_str(row, "service", &session.service, err) <= 0)
		return doveadm_batch_senseless(err);
	fn(ctx, &session);
	return 0;
}

/* Users with several connections in one row would be shorter, but Dovecot 2.3 then closes the array
 * after its first row. */
static struct json *who_args(const char *mask)
{
	struct json *args = mask_args(mask);

	json_set_bool(args, "separateConnections", true);
	return args;
}

static int list(struct doveadm *doveadm, const char *mask, doveadm_who_fn *fn, void *ctx,
		struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();
	const struct json *rows = NULL;
	int64_t exit_code = 0;

	if (doveadm_batch_one(doveadm, batch, "who", who_args(mask), &rows, &exit_code, err) <= 0)
		return -1;
	if (!json_is_list(rows))
		return doveadm_batch_senseless(err);
	for (size_t i = 0; i < json_count(rows); i++) {
		if (take_row(json_at(rows, i), fn, ctx, err) < 0)
			return -1;
	}
	return 0;
}

int doveadm_who_each(struct doveadm *doveadm, const char *mask, doveadm_who_fn *fn, void *ctx,
		     struct err *err)
{
	if (list(doveadm, mask, fn, ctx, err) < 0)
		return err_prefix(err, "ask %s who is logged in", doveadm_url(doveadm));
	return 0;
}

struct counted {
	const char *user;
	unsigned count;
};

static void count_own(void *ctx, const struct doveadm_session *session)
{
	struct counted *counted = ctx;

	if (strcasecmp(session->username, counted->user) == 0)
		counted->count++;
}

static int ask(struct doveadm *doveadm, const char *mask, struct counted *counted, struct err *late,
	       struct err *err)
{
	int64_t began_ms = clock_mono_ms();
	int ret = doveadm_who_each(doveadm, mask, count_own, counted, err);

	if (ret < 0 && clock_mono_ms() - began_ms >= doveadm_timeout_ms(doveadm))
		*late = *err;
	return ret;
}

int doveadm_who(struct doveadm *doveadm, const char *user, unsigned *sessions_r, struct err *err)
{
	struct counted counted = { .user = user };
	struct doveadm_turn *turn = doveadm_turn(doveadm);
	autobuf struct buf mask = { 0 };
	struct err failed = { 0 };
	int ret = -1;

	mask_of(user, &mask);
	pthread_mutex_lock(&turn->mutex);
	if (turn->late.code != ERR_NONE)
		failed = turn->late;
	else
		ret = ask(doveadm, buf_str(&mask), &counted, &turn->late, &failed);
	pthread_mutex_unlock(&turn->mutex);
	if (ret == 0)
		*sessions_r = counted.count;
	else if (err)
		*err = failed;
	return ret;
}

int doveadm_kick(struct doveadm *doveadm, const char *mask, unsigned *users_r, struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();
	const struct json *rows = NULL;
	int64_t exit_code = 0;
	int ret =
		doveadm_batch_one(doveadm, batch, "kick", mask_args(mask), &rows, &exit_code, err);

	*users_r = 0;
	if (ret == 0 && exit_code == DOVEADM_NOTFOUND) {
		err_clear(err);
		return 0;
	}
	if (ret > 0 && !json_is_list(rows))
		ret = doveadm_batch_senseless(err);
	if (ret <= 0)
		return err_prefix(err, "have %s end sessions", doveadm_url(doveadm));
	*users_r = (unsigned)json_count(rows);
	return 0;
}
