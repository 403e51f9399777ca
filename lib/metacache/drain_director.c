#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "cluster/doveadm_director.h"
#include "metacache/drain_impl.h"

#define POLL_MS 2000
#define STUCK_MS 60000 /* users move by the hundred, two seconds each time */

static int open_director(struct drain *drain, struct err *err)
{
	const struct settings *settings = drain->mc->settings;
	const char *key = NULL;

	if (drain->director)
		return 0;
	if (!settings->director || strncmp(settings->director, "http", 4) != 0)
		return err_set(err, ERR_CONFIG,
			       "the director is only told by its HTTP API: director = http://…");
	if (!settings->backend_host || host_parse(settings->backend_host, &drain->here) < 0)
		return err_set(err, ERR_CONFIG,
			       "backend_host is not set to this host's name in the director");
	if (settings_api_key(settings, &key, err) < 0)
		return -1;
	if (!key)
		return err_set(err, ERR_CONFIG, "doveadm_api_key is not set");
	if (doveadm_open(settings->director, key, &drain->director, err) < 0)
		return err_prefix(err, "director");
	doveadm_set_timeout_ms(drain->director, settings->director_timeout_ms);
	return 0;
}

/* How the director sees this host. */
static int look_at_director(struct drain *drain, struct director_host *host_r, struct err *err)
{
	const struct director_host *here = NULL;
	struct director_host_vec hosts = { 0 };
	int ret = open_director(drain, err);

	if (ret == 0)
		ret = doveadm_director_hosts(drain->director, &hosts, err);
	if (ret == 0)
		ret = director_host_need(&hosts, &drain->here, &here, err);
	if (ret == 0)
		*host_r = *here;
	vec_free(&hosts);
	return ret;
}

int drain_director_vhosts(struct drain *drain, struct drain_row *row)
{
	struct director_host host = { 0 };

	if (look_at_director(drain, &host, &row->err) < 0)
		return -1;
	row->count = host.users;
	if (host.vhosts == 0)
		return drain_skip(row, "it gets no new users already");
	drain_detail(row, "vhosts %llu to 0", (unsigned long long)host.vhosts);
	if (drain->options->dry_run)
		return 0;
	return doveadm_director_update(drain->director, &drain->here, 0, &row->err);
}

/* Users with a session stay assigned however long this takes. */
int drain_director_wait(struct drain *drain, struct drain_row *row)
{
	int64_t until_ms = clock_mono_ms() + drain->options->expire_wait_ms;
	struct director_host host = { 0 };

	for (;;) {
		if (look_at_director(drain, &host, &row->err) < 0)
			return -1;
		row->count = host.users;
		drain_detail(row, "%llu users are still assigned", (unsigned long long)host.users);
		if (drain->options->dry_run || host.users == 0 || clock_mono_ms() >= until_ms)
			return 0;
		clock_sleep_ms(POLL_MS);
	}
}

int drain_director_down(struct drain *drain, struct drain_row *row)
{
	struct director_host host = { 0 };

	if (look_at_director(drain, &host, &row->err) < 0)
		return -1;
	row->count = host.users;
	if (!host.is_up)
		return drain_skip(row, "it is down already");
	if (drain->options->dry_run)
		return 0;
	return doveadm_director_down(drain->director, &drain->here, &row->err);
}

/* The director answers when the last user is moved, which can take longer than anybody waits for an
 * answer. It goes on meanwhile. */
static int await_moved(struct drain *drain, struct drain_row *row)
{
	struct director_host host = { 0 };
	uint64_t fewest = UINT64_MAX;
	int64_t until_ms = 0;

	for (;;) {
		if (look_at_director(drain, &host, &row->err) < 0)
			return -1;
		if (host.users == 0)
			return 0;
		if (host.users < fewest) {
			fewest = host.users;
			until_ms = clock_mono_ms() + STUCK_MS;
		}
		if (clock_mono_ms() >= until_ms)
			return err_set(&row->err, ERR_TEMP,
				       "the director does not move the last %llu users",
				       (unsigned long long)host.users);
		clock_sleep_ms(POLL_MS);
	}
}

int drain_director_flush(struct drain *drain, struct drain_row *row)
{
	struct director_host host = { 0 };

	if (look_at_director(drain, &host, &row->err) < 0)
		return -1;
	row->count = host.users;
	if (drain->options->dry_run ||
	    doveadm_director_flush(drain->director, &drain->here, &row->err) == 0)
		return 0;
	if (row->err.sys != ETIMEDOUT)
		return -1;
	err_clear(&row->err);
	return await_moved(drain, row);
}
