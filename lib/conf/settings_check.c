#include "conf/settings_check.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/expand.h"
#include "base/mem.h"
#include "base/quote.h"

/* Whether `path` is `dir` or below it; both absolute and normalised. */
static bool is_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static int split_absolute_home(struct settings *settings, struct err *err)
{
	autobuf struct buf root = { 0 };
	const char *rest = expand_static_prefix(settings->mail_home, &root);

	if (settings->metacache_roots.count > 0) {
		err_set(err, ERR_CONFIG, "mail_home is absolute and metacache_roots is set too");
		return err_hint(err, "with metacache_roots, mail_home is what follows a root, "
				     "e.g. %%2Mu/%%u");
	}
	if (root.len == 0)
		return err_set(err, ERR_CONFIG,
			       "mail_home %s has no leading directory without variables to be "
			       "the root of the metacache",
			       quote_str(settings->mail_home).s);
	vec_push(&settings->roots, buf_steal(&root));
	settings->home_pattern = xstrdup(rest);
	return 0;
}

static int join_relative_home(struct settings *settings, struct err *err)
{
	const struct str_vec *roots = &settings->metacache_roots;

	if (roots->count == 0) {
		err_set(err, ERR_CONFIG, "mail_home %s is relative, but metacache_roots is not set",
			quote_str(settings->mail_home).s);
		return err_hint(err, "write mail_home with the directory in front, e.g. "
				     "/var/lib/metacache/%%2Mu/%%u");
	}
	for (size_t i = 0; i < roots->count; i++)
		vec_push(&settings->roots, xstrdup(roots->items[i]));
	settings->home_pattern = xstrdup(settings->mail_home);
	return 0;
}

static int check_home(struct settings *settings, struct err *err)
{
	int ret;

	if (!settings->mail_home) {
		err_set(err, ERR_CONFIG, "mail_home is not set");
		return err_hint(err, "set it to where Dovecot has a user's indexes, e.g. "
				     "/var/lib/metacache/%%2Mu/%%u");
	}
	if (expand_check(settings->mail_home, err) < 0)
		return err_prefix(err, "mail_home");
	ret = settings->mail_home[0] == '/' ? split_absolute_home(settings, err)
					    : join_relative_home(settings, err);
	return ret;
}

static int check_root(const struct settings *settings, size_t index, struct err *err)
{
	const char *root = settings->roots.items[index];

	for (size_t i = 0; i < settings->roots.count; i++) {
		if (i != index && is_within(settings->roots.items[i], root))
			return err_set(err, ERR_CONFIG,
				       "metacache_roots: %s is in another root, %s",
				       settings->roots.items[i], root);
	}
	if (is_within(settings->state_dir, root))
		return err_set(err, ERR_CONFIG, "state_dir %s is in a root of the metacache, %s",
			       settings->state_dir, root);
	if (is_within(settings->spool_dir, root))
		return err_set(err, ERR_CONFIG, "spool_dir %s is in a root of the metacache, %s",
			       settings->spool_dir, root);
	return 0;
}

/* The locks of users are below the state directory, hashed by name. */
static int check_locks(const struct settings *settings, struct err *err)
{
	autofree char *locks = xasprintf("%s/locks", settings->state_dir);

	for (size_t i = 0; i < settings->roots.count; i++) {
		if (is_within(settings->roots.items[i], locks))
			return err_set(err, ERR_CONFIG,
				       "the root of the metacache %s is where user locks are",
				       settings->roots.items[i]);
	}
	return 0;
}

static int check_prefix(const struct settings *settings, struct err *err)
{
	if (!settings->object_prefix)
		return err_set(err, ERR_CONFIG, "object_prefix is empty");
	if (settings->object_prefix[0] == '/')
		return err_set(err, ERR_CONFIG, "object_prefix %s begins with a slash",
			       quote_str(settings->object_prefix).s);
	if (expand_check(settings->object_prefix, err) < 0)
		return err_prefix(err, "object_prefix");
	return 0;
}

int settings_check(struct settings *settings, struct err *err)
{
	if (!settings->state_dir)
		return err_set(err, ERR_CONFIG, "state_dir is empty");
	if (!settings->spool_dir)
		settings->spool_dir = xstrdup(settings->state_dir);
	if (settings->doveadm_api_key && settings->doveadm_api_key_file)
		return err_set(err, ERR_CONFIG,
			       "doveadm_api_key and doveadm_api_key_file are both set");
	if (check_home(settings, err) < 0 || check_prefix(settings, err) < 0 ||
	    check_locks(settings, err) < 0)
		return -1;
	for (size_t i = 0; i < settings->roots.count; i++) {
		if (check_root(settings, i, err) < 0)
			return -1;
	}
	return 0;
}
