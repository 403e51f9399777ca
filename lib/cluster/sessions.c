#include "cluster/sessions.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/vec.h"

struct sessions {
	struct str_vec users; /* by name, one for each session */
};

static void take(void *ctx, const struct doveadm_session *session)
{
	struct sessions *sessions = ctx;

	vec_push(&sessions->users, xstrdup(session->username));
}

static int compare(const void *a, const void *b)
{
	const char *const *left = a, *const *right = b;

	return strcasecmp(*left, *right);
}

int sessions_load(struct doveadm *doveadm, struct sessions **sessions_r, struct err *err)
{
	autosessions struct sessions *sessions = xcalloc(1, sizeof *sessions);

	if (doveadm_who_each(doveadm, NULL, take, sessions, err) < 0)
		return -1;
	if (sessions->users.count > 0)
		qsort(sessions->users.items, sessions->users.count, sizeof *sessions->users.items,
		      compare);
	*sessions_r = steal_ptr(&sessions);
	return 0;
}

void sessions_free(struct sessions **sessions_p)
{
	struct sessions *sessions = *sessions_p;

	if (!sessions)
		return;
	str_vec_free(&sessions->users);
	free(sessions);
	*sessions_p = NULL;
}

size_t sessions_of(const struct sessions *sessions, const char *user)
{
	char *const *users = sessions->users.items;
	size_t from = 0, to = sessions->users.count, end;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcasecmp(users[middle], user) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (end = from; end < sessions->users.count && strcasecmp(users[end], user) == 0;)
		end++;
	return end - from;
}

size_t sessions_total(const struct sessions *sessions)
{
	return sessions->users.count;
}
