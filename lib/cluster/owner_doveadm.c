/* Owners from a director's doveadm HTTP API. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cluster/doveadm_director.h"
#include "cluster/owner_driver.h"

VEC(name_vec, const char *);

static int doveadm_driver_open(struct owner *owner, const char *url, struct err *err)
{
	const char *key = NULL;
	struct doveadm *doveadm;
	int ret = settings_api_key(owner->settings, &key, err);

	if (ret < 0)
		return -1;
	if (ret == 0)
		return err_set(err, ERR_CONFIG, "doveadm_api_key is not set");
	if (doveadm_open(url, key, &doveadm, err) < 0)
		return -1;
	doveadm_set_timeout_ms(doveadm, owner->settings->director_timeout_ms);
	owner->state = doveadm;
	return 0;
}

static void doveadm_driver_close(struct owner *owner)
{
	struct doveadm *doveadm = owner->state;

	doveadm_close(&doveadm);
}

/* A name of digits goes as its hash, which Dovecot itself works out, with its own settings. */
static int replace_digits(struct doveadm *doveadm, struct doveadm_director_query *queries,
			  size_t count, struct doveadm_director_hash **hashes_r, struct err *err)
{
	struct name_vec digits = { 0 };
	int ret;

	for (size_t i = 0; i < count; i++) {
		if (director_takes_for_hash(queries[i].user))
			vec_push(&digits, queries[i].user);
	}
	*hashes_r = xcalloc(digits.count + 1, sizeof **hashes_r);
	ret = doveadm_director_hashes(doveadm, digits.items, digits.count, *hashes_r, err);
	vec_free(&digits);
	for (size_t i = 0, at = 0; ret == 0 && i < count; i++) {
		if (director_takes_for_hash(queries[i].user))
			queries[i].user = (*hashes_r)[at++].text;
	}
	return ret;
}

static void judge(const struct director_view *view, const struct doveadm_director_query *query,
		  struct owner_answer *answer)
{
	if (*query->user == '\0')
		owner_driver_unknown(answer, ERR_TEMP,
				     "the director takes the name for a hash, and does not tell "
				     "the hash of the name");
	else if (query->err.code != ERR_NONE)
		answer->err = query->err;
	else
		director_judge(view, &query->answer, answer);
}

static int ask(struct owner *owner, struct doveadm_director_query *queries, size_t count,
	       struct director_host_vec *before, struct director_host_vec *after, struct err *err)
{
	const struct director_host *here = NULL;

	if (doveadm_director_hosts(owner->state, before, err) < 0 ||
	    director_host_need(before, &owner->here, &here, err) < 0 ||
	    doveadm_director_users(owner->state, here->tag, queries, count, after, err) < 0)
		return -1;
	return director_host_need(after, &owner->here, &here, err);
}

static int doveadm_driver_lookup(struct owner *owner, struct owner_answer *const *answers,
				 size_t count, struct err *err)
{
	autofree struct doveadm_director_query *queries = xcalloc(count, sizeof *queries);
	autofree struct doveadm_director_hash *hashes = NULL;
	struct director_host_vec before = { 0 }, after = { 0 };
	struct director_view view = { .here = &owner->here, .before = &before, .after = &after };
	int ret;

	for (size_t i = 0; i < count; i++)
		queries[i].user = answers[i]->user;
	ret = replace_digits(owner->state, queries, count, &hashes, err);
	if (ret == 0)
		ret = ask(owner, queries, count, &before, &after, err);
	view.now_s = clock_now_ns() / 1000000000;
	for (size_t i = 0; ret == 0 && i < count; i++)
		judge(&view, &queries[i], answers[i]);
	vec_free(&before);
	vec_free(&after);
	return ret;
}

const struct owner_driver owner_http_driver = {
	.scheme = "http://",
	.keep_scheme = true,
	.batch_max = 5000,
	.open = doveadm_driver_open,
	.close = doveadm_driver_close,
	.lookup = doveadm_driver_lookup,
};

const struct owner_driver owner_https_driver = {
	.scheme = "https://",
	.keep_scheme = true,
	.batch_max = 5000,
	.open = doveadm_driver_open,
	.close = doveadm_driver_close,
	.lookup = doveadm_driver_lookup,
};
