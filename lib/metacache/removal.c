#include "metacache/removal.h"

#include <string.h>

#include "metacache/session.h"

static bool same_foreign(const struct home *a, const struct home *b)
{
	return a->foreign && b->foreign ? strcmp(a->foreign, b->foreign) == 0
					: a->foreign == b->foreign;
}

/* What was renamed away is what was checked, and nobody got hold of it meanwhile. */
static int check_moved(const struct metacache *mc, const char *user, const struct trash *trash,
		       const struct home *before, struct err *err)
{
	unsigned char was_print[HASH_CONTENT_SIZE], is_print[HASH_CONTENT_SIZE];
	autohome struct home now = { 0 };
	int in_use;

	if (unit_scan(trash->fd, &mc->rules, &now, err) < 0)
		return -1;
	in_use = session_home_in_use(trash->fd, &now, err);
	if (in_use < 0)
		return -1;
	unit_fingerprint(before, was_print);
	unit_fingerprint(&now, is_print);
	if (in_use > 0 || memcmp(was_print, is_print, sizeof is_print) != 0 ||
	    !same_foreign(before, &now))
		return err_set(err, ERR_BUSY, "somebody began to use it just now");
	return session_logged_in(mc->doveadm, user, err) == 0 ? 0 : -1;
}

static int put_back(const struct metacache_home *home, struct trash *trash, const char *path,
		    struct err *err)
{
	struct err failed = { 0 };
	char kept[4096];

	if (trash_put_back(trash, home->root, path, &failed) == 0)
		return -1;
	*err = failed;
	if (trash_keep(trash, home->root, kept, err) == 0)
		err_hint(err, "the old indexes are kept in %s", kept);
	return -1;
}

int removal_taken(const struct metacache *mc, const struct metacache_home *home,
		  struct trash *trash, const char *path, const struct home *before, struct err *err)
{
	if (check_moved(mc, home->user, trash, before, err) < 0)
		return put_back(home, trash, path, err);
	trash_judged(trash);
	trash_free(trash);
	return 0;
}

int removal_keep(const struct metacache *mc, const struct metacache_home *home, const char *path,
		 const struct home *before, char kept_r[4096], struct err *err)
{
	autotrash struct trash trash = TRASH_NONE;

	if (trash_take(home->root, path, &trash, err) < 0)
		return -1;
	if (check_moved(mc, home->user, &trash, before, err) < 0)
		return put_back(home, &trash, path, err);
	return trash_keep(&trash, home->root, kept_r, err);
}

int removal_directory(const struct metacache *mc, const struct metacache_home *home,
		      const char *path, const struct home *before, struct err *err)
{
	autotrash struct trash trash = TRASH_NONE;

	if (trash_take(home->root, path, &trash, err) < 0)
		return -1;
	return removal_taken(mc, home, &trash, path, before, err);
}
