/* An owner from settings as an operator writes them. */
#pragma once

#include "../scratch.h"

#include "base/mem.h"
#include "cluster/owner.h"

struct asked {
	struct settings settings;
	struct owner *owner;
	struct owner_answer answers[8];
	size_t count;
	struct err err;
};

static inline void asked_settings(struct settings *settings, const char *director, const char *here)
{
	struct str_vec overrides = { 0 };
	struct err err = { 0 };

	vec_push(&overrides, xstrdup("mail_home=/m/%u"));
	vec_push(&overrides, xstrdup("doveadm_api_key=key"));
	vec_push(&overrides, xstrdup("director_timeout=300ms"));
	vec_push(&overrides, xasprintf("director=%s", director));
	vec_push(&overrides, xasprintf("backend_host=%s", here));
	if (settings_load(settings, "/dev/null", &overrides, &err) < 0)
		fail_msg("%s", err.msg);
	str_vec_free(&overrides);
}

static inline void asked_open(struct asked *asked, const char *director, const char *here)
{
	*asked = (struct asked){ 0 };
	asked_settings(&asked->settings, director, here);
	if (owner_open(&asked->settings, &asked->owner, &asked->err) < 0)
		fail_msg("%s", asked->err.msg);
}

static inline void asked_close(struct asked *asked)
{
	owner_close(&asked->owner);
	assert_null(asked->owner);
	settings_free(&asked->settings);
}

/* Ask for users, NULL ends. */
static inline int asked_users(struct asked *asked, const char *const *users)
{
	asked->count = 0;
	err_clear(&asked->err);
	for (; users[asked->count]; asked->count++)
		asked->answers[asked->count] = (struct owner_answer){
			.user = users[asked->count],
			.where = OWNER_ELSEWHERE, /* what nobody fills in is found */
			.host = "nonsense",
		};
	return owner_lookup(asked->owner, asked->answers, asked->count, &asked->err);
}
#define ask(asked, ...) asked_users(asked, (const char *const[]){ __VA_ARGS__, NULL })

static inline void assert_answer(const struct asked *asked, size_t i, enum owner_where where,
				 const char *says)
{
	const struct owner_answer *answer = &asked->answers[i];
	const char *text = answer->where == OWNER_UNKNOWN ? answer->err.msg : answer->host;

	if (answer->where != where || !strstr(text, says))
		fail_msg("%s: %s %s", answer->user, owner_where_name(answer->where), text);
	assert_int_equal(answer->err.code != ERR_NONE, where == OWNER_UNKNOWN);
}

/* Nothing is known of anybody. */
static inline void assert_nothing(const struct asked *asked, enum err_code code, const char *says)
{
	if (asked->err.code != code || !strstr(asked->err.msg, says))
		fail_msg("%d %s", asked->err.code, asked->err.msg);
	for (size_t i = 0; i < asked->count; i++) {
		assert_answer(asked, i, OWNER_UNKNOWN, says);
		assert_string_equal(asked->answers[i].host, "");
	}
}
