#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/quote.h"
#include "cluster/doveadm.h"
#include "metacache/drain_impl.h"

#define SESSIONS_END_MS 10000 /* a session that was told to end */
#define POLL_MS 100

/* Who takes connections. A process of these that has a client ends with it. */
static const char *const usual_services[] = {
	"imap-login", "pop3-login", "managesieve-login", "submission-login", "lmtp",
};

static int need_doveadm(const struct drain *drain, struct err *err)
{
	if (drain->mc->doveadm)
		return 0;
	err_set(err, ERR_CONFIG, "doveadm_url is not set: nobody can be told to end sessions");
	return err_hint(err, "with Dovecot stopped already, --from flush-3 does the rest");
}

static const struct doveadm_service *find_service(const struct doveadm_service_vec *services,
						  const char *name)
{
	for (size_t i = 0; i < services->count; i++) {
		if (strcmp(services->items[i].name, name) == 0)
			return &services->items[i];
	}
	return NULL;
}

static size_t wanted_count(const struct drain *drain)
{
	const struct str_vec *own = drain->options->services;

	return own && own->count > 0 ? own->count : sizeof usual_services / sizeof *usual_services;
}

static const char *wanted(const struct drain *drain, size_t i)
{
	const struct str_vec *own = drain->options->services;

	return own && own->count > 0 ? own->items[i] : usual_services[i];
}

/* Those that are configured and take connections. A name that the operator gave has to exist. */
static int list_services(const struct drain *drain, struct str_vec *names, struct err *err)
{
	const struct str_vec *own = drain->options->services;
	struct doveadm_service_vec services = { 0 };
	int ret = doveadm_services(drain->mc->doveadm, &services, err);

	for (size_t i = 0; ret == 0 && i < wanted_count(drain); i++) {
		const struct doveadm_service *service = find_service(&services, wanted(drain, i));

		if (service && !service->stopped)
			vec_push(names, xstrdup(service->name));
		if (!service && own && own->count > 0)
			ret = err_set(err, ERR_NOTFOUND, "Dovecot has no service %s",
				      quote_str(wanted(drain, i)).s);
	}
	vec_free(&services);
	return ret;
}

static void add_names(struct drain_row *row, const struct str_vec *names)
{
	autobuf struct buf text = { 0 };

	for (size_t i = 0; i < names->count; i++)
		buf_printf(&text, "%s%s", i > 0 ? " " : "", names->items[i]);
	drain_detail(row, "%s", buf_str(&text));
}

int drain_dovecot_stop(struct drain *drain, struct drain_row *row)
{
	struct str_vec names = { 0 }, left = { 0 };
	struct err *err = &row->err;
	int ret = need_doveadm(drain, err);

	if (ret == 0)
		ret = list_services(drain, &names, err);
	add_names(row, &names);
	row->count = names.count;
	for (size_t i = 0; ret == 0 && !drain->options->dry_run && i < names.count; i++)
		ret = doveadm_service_stop(drain->mc->doveadm, names.items[i], err);
	if (ret == 0 && !drain->options->dry_run)
		ret = list_services(drain, &left, err);
	if (ret == 0 && left.count > 0)
		ret = err_set(err, ERR_TEMP, "service %s still takes connections", left.items[0]);
	if (ret == 0 && names.count == 0) {
		drain_skip(row, "none of them takes connections");
	}
	str_vec_free(&names);
	str_vec_free(&left);
	return ret;
}

static void count_session(void *ctx, const struct doveadm_session *session)
{
	uint64_t *count = ctx;

	(void)session;
	++*count;
}

static int count_sessions(const struct drain *drain, uint64_t *count_r, struct err *err)
{
	*count_r = 0;
	return doveadm_who_each(drain->mc->doveadm, NULL, count_session, count_r, err);
}

/* They write when they end; what they wrote is to be uploaded next. */
static int await_end(const struct drain *drain, uint64_t *left_r, struct err *err)
{
	int64_t until_ms = clock_mono_ms() + SESSIONS_END_MS;
	int ret;

	while ((ret = count_sessions(drain, left_r, err)) == 0 && *left_r > 0 &&
	       clock_mono_ms() < until_ms)
		clock_sleep_ms(POLL_MS);
	return ret;
}

int drain_dovecot_kick(struct drain *drain, struct drain_row *row)
{
	struct err *err = &row->err;
	uint64_t sessions;
	unsigned users = 0;

	if (need_doveadm(drain, err) < 0)
		return -1;
	if (drain->options->dry_run)
		return count_sessions(drain, &row->count, err);
	if (doveadm_kick(drain->mc->doveadm, "*", &users, err) < 0 ||
	    await_end(drain, &sessions, err) < 0)
		return -1;
	row->count = users;
	drain->totals->kicked += users;
	drain->totals->sessions_left = sessions;
	if (sessions > 0)
		drain_detail(row, "%llu sessions are still there", (unsigned long long)sessions);
	return 0;
}
