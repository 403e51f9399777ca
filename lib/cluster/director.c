#include "cluster/director.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/quote.h"
#include "cluster/owner_driver.h"

/* An assignment that ends sooner is about to be none. */
#define EXPIRY_MARGIN_S 60

static bool is_digits(const char *text)
{
	return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

bool director_takes_for_hash(const char *user)
{
	return is_digits(user);
}

int director_host_add(struct director_host_vec *hosts, const char *address, const char *tag,
		      const char *vhosts, bool is_up, struct err *err)
{
	struct director_host host = { .is_up = is_up, .users = UINT64_MAX };

	if (host_parse(address, &host.host) < 0 || strlen(tag) > DIRECTOR_TAG_MAX ||
	    !is_digits(vhosts))
		return err_set(err, ERR_DATA,
			       "the director names a backend that makes no sense: %s",
			       quote_str(address).s);
	snprintf(host.tag, sizeof host.tag, "%s", tag);
	host.vhosts = strtoull(vhosts, NULL, 10);
	vec_push(hosts, host);
	return 0;
}

const struct director_host *director_host_find(const struct director_host_vec *hosts,
					       const struct host *host)
{
	for (size_t i = 0; i < hosts->count; i++) {
		if (host_compare(&hosts->items[i].host, host) == HOST_SAME)
			return &hosts->items[i];
	}
	return NULL;
}

int director_host_need(const struct director_host_vec *hosts, const struct host *here,
		       const struct director_host **host_r, struct err *err)
{
	autobuf struct buf names = { 0 };

	*host_r = director_host_find(hosts, here);
	if (*host_r)
		return 0;
	for (size_t i = 0; i < hosts->count; i++)
		buf_printf(&names, "%s%s", i > 0 ? ", " : "", hosts->items[i].host.text);
	err_set(err, ERR_CONFIG, "backend_host %s is none of the director's backends (%s)",
		here->text, buf_str(&names));
	return err_hint(err, "backend_host is this host's address, as doveadm director status "
			     "shows it");
}

int director_user_set(struct director_user *user_r, const char *current, int64_t expires_s,
		      const char *hashed, struct err *err)
{
	*user_r = (struct director_user){
		.is_assigned = *current != '\0',
		.expires_s = expires_s,
		.is_hashed = *hashed != '\0',
	};
	if ((user_r->is_assigned && host_parse(current, &user_r->current) < 0) ||
	    (user_r->is_hashed && host_parse(hashed, &user_r->hashed) < 0))
		return err_set(err, ERR_DATA, "the director's answer makes no sense");
	return 0;
}

static bool is_up(const struct director_view *view, const struct host *host)
{
	const struct director_host *before = director_host_find(view->before, host),
				   *after = director_host_find(view->after, host);

	return before && after && before->is_up && after->is_up;
}

static bool takes_users(const struct director_view *view, const struct host *host)
{
	return is_up(view, host) && director_host_find(view->before, host)->vhosts > 0 &&
	       director_host_find(view->after, host)->vhosts > 0;
}

static void judge_assigned(const struct director_view *view, const struct director_user *user,
			   struct owner_answer *answer)
{
	bool returns = user->is_hashed && host_compare(&user->hashed, view->here) == HOST_SAME;

	if (host_compare(&user->current, view->here) == HOST_SAME)
		owner_driver_known(answer, OWNER_HERE, &user->current);
	else if (!is_up(view, &user->current))
		owner_driver_unknown(answer, ERR_TEMP,
				     "assigned to %s, which is not up in the director",
				     user->current.text);
	else if (returns && user->expires_s <= view->now_s + EXPIRY_MARGIN_S)
		owner_driver_unknown(answer, ERR_TEMP,
				     "assigned to %s, but not for long, then to this host",
				     user->current.text);
	else
		owner_driver_known(answer, OWNER_ELSEWHERE, &user->current);
	answer->expires_s = user->expires_s;
}

static void judge_hashed(const struct director_view *view, const struct director_user *user,
			 struct owner_answer *answer)
{
	if (!user->is_hashed)
		owner_driver_unknown(answer, ERR_TEMP, "the director has no host for the user");
	else if (host_compare(&user->hashed, view->here) == HOST_SAME)
		owner_driver_known(answer, OWNER_HERE, &user->hashed);
	else if (!takes_users(view, view->here))
		owner_driver_unknown(answer, ERR_TEMP,
				     "not assigned, and this host takes no users, so that where "
				     "the next session goes proves nothing");
	else if (!takes_users(view, &user->hashed))
		owner_driver_unknown(answer, ERR_TEMP,
				     "not assigned, and the next session goes to %s, which takes "
				     "no users",
				     user->hashed.text);
	else
		owner_driver_known(answer, OWNER_WOULD_BE_ELSEWHERE, &user->hashed);
}

void director_judge(const struct director_view *view, const struct director_user *user,
		    struct owner_answer *answer)
{
	if (user->is_assigned)
		judge_assigned(view, user, answer);
	else
		judge_hashed(view, user, answer);
}
