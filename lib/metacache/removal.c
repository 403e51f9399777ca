#include "metacache/removal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "metacache/session.h"
#include "metacache/state.h"
#include "metacache/trash.h"

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

/* Look again at what was renamed away from `path`, and be rid of it. */
static int finish(const struct metacache *mc, const struct metacache_home *home,
		  struct trash *trash, const char *path, const struct home *before, char *kept_r,
		  struct err *err)
{
	if (check_moved(mc, home->user, trash, before, err) < 0)
		return put_back(home, trash, path, err);
	if (kept_r)
		return trash_keep(trash, home->root, kept_r, err);
	trash_judged(trash);
	trash_free(trash);
	return 0;
}

int removal_keep(const struct metacache *mc, const struct metacache_home *home, const char *path,
		 const struct home *before, char *kept_r, struct err *err)
{
	autotrash struct trash trash = TRASH_NONE;

	if (trash_take(home->root, path, &trash, err) < 0)
		return -1;
	return finish(mc, home, &trash, path, before, kept_r, err);
}

int removal_directory(const struct metacache *mc, const struct metacache_home *home,
		      const char *path, const struct home *before, struct err *err)
{
	return removal_keep(mc, home, path, before, NULL, err);
}

/* Take it off the list of folders that are here. */
static int forget_folder(int homefd, const char *path, struct err *err)
{
	autostate struct state state = { 0 };
	int ret = state_read(homefd, &state, err);

	if (ret <= 0)
		return ret;
	(void)str_vec_drop(&state.folders, path);
	/* The next refresh has to look, however soon it comes. */
	state.refresh = true;
	return state_write(homefd, &state, NULL, err);
}

/* Taking it off the list may need the space that the folder had. */
int removal_folder(const struct metacache *mc, const struct metacache_home *home, int homefd,
		   const char *unit_path, const struct home *before, char *kept_r, struct err *err)
{
	autofree char *path = xasprintf("%s/%s", home->path, unit_path);
	autotrash struct trash trash = TRASH_NONE;
	struct err failed = { 0 };
	int ret = trash_swap(home->root, path, &trash, err);

	if (ret < 0)
		return -1;
	if (ret == 0) {
		err_clear(err);
		if (forget_folder(homefd, unit_path, err) < 0)
			return -1;
		return removal_keep(mc, home, path, before, kept_r, err);
	}
	if (finish(mc, home, &trash, path, before, kept_r, err) < 0)
		return -1;
	if (forget_folder(homefd, unit_path, &failed) == 0)
		trash_vacate(home->root, path);
	else
		metacache_warn(mc, "metacache_folder_not_forgotten", home->user, &failed);
	return 0;
}
