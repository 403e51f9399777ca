#include <string.h>

#include "base/expand.h"
#include "base/quote.h"
#include "base/utf8.h"

static bool has_control(const char *s, size_t len)
{
	while (len > 0) {
		size_t n = utf8_char_len(s, len);

		if (utf8_is_control(s, n))
			return true;
		s += n;
		len -= n;
	}
	return false;
}

static const char *user_problem(const char *user, size_t len)
{
	const char *at = strchr(user, '@');

	if (len == 0)
		return "is empty";
	if (len > EXPAND_USER_MAX)
		return "is longer than 255 bytes";
	if (!utf8_is_valid(user, len))
		return "is not valid UTF-8";
	if (has_control(user, len))
		return "holds a control character";
	if (strchr(user, '/'))
		return "holds a slash";
	if (user[0] == '.')
		return "begins with a dot";
	/* With either of them two users would share one home: "a" and "a@" have
	 * the same name and domain. */
	if (at == user)
		return "has nothing before its @";
	if (at && at[1] == '\0')
		return "has nothing after its @";
	return NULL;
}

int expand_user_check(const char *user, struct err *err)
{
	const char *problem = user_problem(user, strlen(user));

	if (problem)
		return err_set(err, ERR_USAGE, "user name %s %s", quote_str(user).s, problem);
	return 0;
}

int expand_user_init(struct expand_user *user_r, const char *user, struct err *err)
{
	const char *at = strchr(user, '@');
	size_t name_len = at ? (size_t)(at - user) : strlen(user);

	if (expand_user_check(user, err) < 0)
		return -1;
	user_r->user = user;
	user_r->domain = at ? at + 1 : "";
	user_r->home = NULL;
	memcpy(user_r->name, user, name_len);
	user_r->name[name_len] = '\0';
	return 0;
}
