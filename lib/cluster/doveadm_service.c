#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/doveadm_batch.h"

/* {"name":"imap","process_count":"1",…,"doveadm_stop":"n",…} */
static int take_row(const struct json *row, struct doveadm_service_vec *services, struct err *err)
{
	struct doveadm_service service = { 0 };
	const char *name, *processes, *stopped;
	char *end;

	if (json_get_str(row, "name", &name, err) <= 0 ||
	    json_get_str(row, "process_count", &processes, err) <= 0 ||
	    json_get_str(row, "doveadm_stop", &stopped, err) <= 0)
		return doveadm_batch_senseless(err);
	service.processes = (unsigned)strtoul(processes, &end, 10);
	if (!isdigit((unsigned char)*processes) || *end != '\0' ||
	    (strcmp(stopped, "y") != 0 && strcmp(stopped, "n") != 0) ||
	    strlen(name) >= sizeof service.name)
		return doveadm_batch_senseless(err);
	snprintf(service.name, sizeof service.name, "%s", name);
	service.stopped = *stopped == 'y';
	vec_push(services, service);
	return 0;
}

static int list(struct doveadm *doveadm, struct doveadm_service_vec *services, struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();
	const struct json *rows = NULL;
	int64_t exit_code = 0;

	if (doveadm_batch_one(doveadm, batch, "serviceStatus", json_new_object(), &rows, &exit_code,
			      err) <= 0)
		return -1;
	if (!json_is_list(rows))
		return doveadm_batch_senseless(err);
	for (size_t i = 0; i < json_count(rows); i++) {
		if (take_row(json_at(rows, i), services, err) < 0)
			return -1;
	}
	return 0;
}

int doveadm_services(struct doveadm *doveadm, struct doveadm_service_vec *services, struct err *err)
{
	if (list(doveadm, services, err) < 0)
		return err_prefix(err, "ask %s for its services", doveadm_url(doveadm));
	return 0;
}

int doveadm_service_stop(struct doveadm *doveadm, const char *service, struct err *err)
{
	autobatch struct doveadm_batch *batch = doveadm_batch_new();
	struct json *args = json_new_object(), *names = json_new_array();
	const struct json *rows = NULL;
	int64_t exit_code = 0;
	int ret;

	json_add_str(names, service);
	json_set(args, "service", names);
	ret = doveadm_batch_one(doveadm, batch, "serviceStop", args, &rows, &exit_code, err);
	if (ret > 0)
		return 0;
	if (ret == 0 && exit_code == DOVEADM_NOTFOUND)
		err_set(err, ERR_NOTFOUND, "there is no such service");
	return err_prefix(err, "stop service %s by %s", service, doveadm_url(doveadm));
}
