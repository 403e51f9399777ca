#include "cluster/owner_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/quote.h"

static int compare(const void *a, const void *b)
{
	const struct owner_answer *const *left = a, *const *right = b;

	return strcasecmp((*left)->user, (*right)->user);
}

void owner_table_init(struct owner_table *table, const struct host *here,
		      struct owner_answer *const *answers, size_t count)
{
	*table = (struct owner_table){ .here = here, .count = count };
	table->answers = xcalloc(count, sizeof *table->answers);
	memcpy(table->answers, answers, count * sizeof *table->answers);
	qsort(table->answers, count, sizeof *table->answers, compare);
}

void owner_table_free(struct owner_table *table)
{
	free(table->answers);
	table->answers = NULL;
}

/* The first of those that are not before `user`. */
static size_t lower_bound(const struct owner_table *table, const char *user)
{
	size_t from = 0, to = table->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcasecmp(table->answers[middle]->user, user) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static void judge(const struct owner_table *table, struct owner_answer *answer,
		  const struct host *host)
{
	bool is_known = answer->where != OWNER_UNKNOWN;

	if (!is_known && answer->err.code != ERR_NONE)
		return;
	if (is_known) {
		if (strcmp(answer->host, host->text) != 0)
			owner_driver_unknown(answer, ERR_DATA, "two hosts are given for it");
		return;
	}
	switch (host_compare(host, table->here)) {
	case HOST_SAME:
		owner_driver_known(answer, OWNER_HERE, host);
		return;
	case HOST_OTHER:
		owner_driver_known(answer, OWNER_ELSEWHERE, host);
		return;
	case HOST_CANT_TELL:
		owner_driver_unknown(answer, ERR_CONFIG,
				     "whether its host, %s, is backend_host %s can't be told",
				     host->text, table->here->text);
		return;
	}
}

int owner_table_take(struct owner_table *table, const char *line, struct err *err)
{
	const char *tab = strchr(line, '\t');
	bool is_host;
	struct host host;
	char user[256];

	if (!tab || strchr(tab + 1, '\t'))
		return err_set(err, ERR_DATA, "expected USER<TAB>HOST, not %s", quote_str(line).s);
	is_host = host_parse(tab + 1, &host) == 0;
	if (is_host && host_compare(&host, table->here) == HOST_SAME)
		table->has_here = true;
	if (tab - line >= (ptrdiff_t)sizeof user)
		return 0; /* nobody's we ask for */
	snprintf(user, sizeof user, "%.*s", (int)(tab - line), line);
	for (size_t i = lower_bound(table, user);
	     i < table->count && strcasecmp(table->answers[i]->user, user) == 0; i++) {
		if (is_host)
			judge(table, table->answers[i], &host);
		else
			owner_driver_unknown(table->answers[i], ERR_DATA,
					     "%s is no name or address of a host",
					     quote_str(tab + 1).s);
	}
	return 0;
}
