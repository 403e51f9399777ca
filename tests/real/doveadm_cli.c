/* doveadm_cli URL COMMAND [ARGUMENT...]: lib/cluster's client of doveadm, by hand and for tests.
 * The key is $KEY.
 *
 *   who USER           how many sessions the user has
 *   sessions           how many there are in all
 *   kick MASK          how many users it was
 *   services           name, processes, stopped or not
 *   stop SERVICE
 *   hosts              address, tag, vhosts, up or down
 *   update HOST VHOSTS
 *   down HOST, up HOST, flush HOST
 *
 * Exits as the programs do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/doveadm_director.h"

static int done(const struct err *err)
{
	fprintf(stderr, "doveadm_cli: %s%s%s\n", err->msg, err->hint[0] ? "; " : "", err->hint);
	return err_exit_code(err->code);
}

static void count_session(void *ctx, const struct doveadm_session *session)
{
	(void)session;
	++*(unsigned *)ctx;
}

static int do_services(struct doveadm *doveadm, struct err *err)
{
	struct doveadm_service_vec services = { 0 };
	int ret = doveadm_services(doveadm, &services, err);

	for (size_t i = 0; i < services.count; i++)
		printf("%s %u %s\n", services.items[i].name, services.items[i].processes,
		       services.items[i].stopped ? "stopped" : "-");
	vec_free(&services);
	return ret;
}

static int do_hosts(struct doveadm *doveadm, struct err *err)
{
	struct director_host_vec hosts = { 0 };
	int ret = doveadm_director_hosts(doveadm, &hosts, err);

	for (size_t i = 0; i < hosts.count; i++)
		printf("%s \"%s\" %llu %s\n", hosts.items[i].host.text, hosts.items[i].tag,
		       (unsigned long long)hosts.items[i].vhosts,
		       hosts.items[i].is_up ? "up" : "down");
	vec_free(&hosts);
	return ret;
}

static int do_count(int ret, unsigned count)
{
	if (ret == 0)
		printf("%u\n", count);
	return ret;
}

static int change(struct doveadm *doveadm, const char *command, char **args, struct err *err)
{
	struct host host;

	if (!args[0] || host_parse(args[0], &host) < 0)
		return err_set(err, ERR_USAGE, "expected a host");
	if (strcmp(command, "update") == 0 && args[1])
		return doveadm_director_update(doveadm, &host, (unsigned)atoi(args[1]), err);
	if (strcmp(command, "down") == 0)
		return doveadm_director_down(doveadm, &host, err);
	if (strcmp(command, "up") == 0)
		return doveadm_director_up(doveadm, &host, err);
	if (strcmp(command, "flush") == 0)
		return doveadm_director_flush(doveadm, &host, err);
	return err_set(err, ERR_USAGE, "no such command");
}

static int run(struct doveadm *doveadm, const char *command, char **args, struct err *err)
{
	unsigned count = 0;
	int ret;

	if (strcmp(command, "sessions") == 0) {
		ret = doveadm_who_each(doveadm, NULL, count_session, &count, err);
		return do_count(ret, count);
	}
	if (strcmp(command, "services") == 0)
		return do_services(doveadm, err);
	if (strcmp(command, "hosts") == 0)
		return do_hosts(doveadm, err);
	if (!args[0])
		return err_set(err, ERR_USAGE, "no such command");
	if (strcmp(command, "stop") == 0)
		return doveadm_service_stop(doveadm, args[0], err);
	if (strcmp(command, "who") == 0) {
		ret = doveadm_who(doveadm, args[0], &count, err);
		return do_count(ret, count);
	}
	if (strcmp(command, "kick") == 0) {
		ret = doveadm_kick(doveadm, args[0], &count, err);
		return do_count(ret, count);
	}
	return change(doveadm, command, args, err);
}

int main(int argc, char **argv)
{
	const char *key = getenv("KEY");
	struct doveadm *doveadm = NULL;
	struct err err = { 0 };
	int ret;

	if (argc < 3) {
		fputs("usage: doveadm_cli URL COMMAND [ARGUMENT...]\n", stderr);
		return 64;
	}
	ret = doveadm_open(argv[1], key ? key : "", &doveadm, &err);
	if (ret == 0)
		ret = run(doveadm, argv[2], argv + 3, &err);
	doveadm_close(&doveadm);
	if (ret < 0)
		return done(&err);
	return fflush(stdout) == 0 ? 0 : 74;
}
