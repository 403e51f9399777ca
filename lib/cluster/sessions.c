#include "cluster/sessions.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/vec.h"

struct user_sessions {
	char *user;
	unsigned long connections;
};
VEC(user_sessions_vec, struct user_sessions);

struct sessions {
	struct user_sessions_vec users; /* by name, one for each of a user's services */
	unsigned long total;
};

static void take(void *ctx, const struct doveadm_session *session)
{
	struct sessions *sessions = ctx;
	struct user_sessions item = { xstrdup(session->username), session->connections };

	vec_push(&sessions->users, item);
	sessions->total += session->connections;
}

static int compare(const void *a, const void *b)
{
	const struct user_sessions *left = a, *right = b;

	return strcasecmp(left->user, right->user);
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
	for (size_t i = 0; i < sessions->users.count; i++)
		free(sessions->users.items[i].user);
	vec_free(&sessions->users);
	free(sessions);
	*sessions_p = NULL;
}

unsigned long sessions_of(const struct sessions *sessions, const char *user)
{
	const struct user_sessions *items = sessions->users.items;
	size_t from = 0, to = sessions->users.count;
	unsigned long count = 0;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcasecmp(items[middle].user, user) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < sessions->users.count && strcasecmp(items[from].user, user) == 0; from++)
		count += items[from].connections;
	return count;
}

unsigned long sessions_total(const struct sessions *sessions)
{
	return sessions->total;
}
