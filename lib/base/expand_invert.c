/* Patterns seen as folder names: which of them tells whose it is. */
#include <string.h>

#include "base/expand.h"
#include "base/expand_token.h"
#include "base/quote.h"

/* One folder name of a pattern: literal text around at most one thing that can
 * be read back. */
struct component {
	struct buf prefix; /* all of it where there is no variable */
	struct buf suffix;
	size_t variables;
	size_t inner_literals; /* between variables */
	char first;            /* name of the first variable if plain, else 0 */
	char last;
	bool joined_by_at; /* what stands between the first two is "@" */
	bool has_home;
};

static void component_cleanup(struct component *component)
{
	buf_free(&component->prefix);
	buf_free(&component->suffix);
}

static void add_variable(struct component *component, const struct expand_token *token)
{
	char plain = '\0';

	if (expand_token_is_plain(token))
		plain = token->name;

	if (component->variables == 0) {
		component->first = plain;
	} else {
		component->joined_by_at =
			component->variables == 1 && strcmp(buf_str(&component->suffix), "@") == 0;
		component->last = plain;
		buf_truncate(&component->suffix, 0);
	}
	component->has_home |= token->name == 'h';
	component->variables++;
}

/* Read one folder name and the slash behind it. 1, or 0 at the end, or -1. */
static int next_component(const char **pos, struct component *component, struct err *err)
{
	struct expand_token token;
	int ret;

	if (**pos == '\0')
		return 0;
	buf_truncate(&component->prefix, 0);
	buf_truncate(&component->suffix, 0);
	*component = (struct component){ .prefix = component->prefix, .suffix = component->suffix };
	while ((ret = expand_token_next(pos, &token, err)) > 0 && token.kind != EXPAND_SLASH) {
		if (token.kind == EXPAND_VARIABLE)
			add_variable(component, &token);
		else
			buf_append(component->variables > 0 ? &component->suffix
							    : &component->prefix,
				   token.text, token.len);
	}
	return ret < 0 ? -1 : 1;
}

/* What the folder name says: 'u', 'n' or 'd', or 0 where it cannot be read back. */
static char captured_variable(const struct component *component)
{
	if (component->variables == 1 && component->first && strchr("und", component->first))
		return component->first;
	/* No part before the first @ holds an @, so this is the user name. */
	if (component->variables == 2 && component->joined_by_at && component->first == 'n' &&
	    component->last == 'd')
		return 'u';
	return 0;
}

static int check_component(const struct component *component, struct err *err)
{
	const char *text = buf_str(&component->prefix);

	if (component->has_home)
		return err_set(err, ERR_CONFIG, "the variable %%h cannot be used here");
	if (component->variables > 0)
		return 0;
	if (*text == '\0')
		return err_set(err, ERR_CONFIG,
			       "it has an empty folder name (// or a slash at the end)");
	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return err_set(err, ERR_CONFIG, "it has a folder named . or ..");
	return 0;
}

/* The variables that can be read back from a relative or absolute pattern. */
static int check_components(const char *pattern, bool found[256], struct err *err)
{
	struct component component CLEANUP(component_cleanup) = { 0 };
	const char *pos = *pattern == '/' ? pattern + 1 : pattern;
	size_t len = strlen(pattern);
	int ret;

	if (*pos == '\0')
		return err_set(err, ERR_CONFIG, "it names no folder");
	while ((ret = next_component(&pos, &component, err)) > 0) {
		if (check_component(&component, err) < 0)
			return -1;
		found[(unsigned char)captured_variable(&component)] = true;
	}
	if (ret == 0 && pattern[len - 1] == '/')
		return err_set(err, ERR_CONFIG, "it ends in a slash");
	return ret;
}

int expand_check_text(const char *pattern, struct err *err)
{
	bool found[256] = { false };

	if (check_components(pattern, found, err) < 0)
		return err_prefix(err, "pattern %s", quote_str(pattern).s);
	return 0;
}

int expand_check(const char *pattern, struct err *err)
{
	bool found[256] = { false };

	if (check_components(pattern, found, err) < 0)
		return err_prefix(err, "pattern %s", quote_str(pattern).s);
	if (found['u'] || (found['n'] && found['d']))
		return 0;
	err_set(err, ERR_CONFIG, "pattern %s: it does not tell which user a folder belongs to",
		quote_str(pattern).s);
	return err_hint(err, "give %%u a folder of its own, or %%n one and %%d another, "
			     "without modifiers");
}

struct capture {
	const char *s;
	size_t len;
};

/* Match one folder name; the captured part goes where its variable's does. */
static bool match_component(const struct component *component, const char *name, size_t len,
			    struct capture captures[256])
{
	size_t prefix = component->prefix.len, suffix = component->suffix.len;
	struct capture *capture = &captures[(unsigned char)captured_variable(component)];

	if (prefix + suffix > len || memcmp(name, buf_str(&component->prefix), prefix) != 0 ||
	    memcmp(name + len - suffix, buf_str(&component->suffix), suffix) != 0)
		return false;
	if (component->variables == 0)
		return len == prefix;
	if (!capture->s)
		*capture = (struct capture){ name + prefix, len - prefix - suffix };
	return true;
}

/* 1 when the path has the pattern's shape. */
static int match_path(const char *pattern, const char *path, struct capture captures[256],
		      struct err *err)
{
	struct component component CLEANUP(component_cleanup) = { 0 };
	int ret;

	if ((*pattern == '/') != (*path == '/'))
		return 0;
	pattern += *pattern == '/';
	path += *path == '/';
	while ((ret = next_component(&pattern, &component, err)) > 0) {
		size_t len = strcspn(path, "/");

		if (len == 0 || !match_component(&component, path, len, captures))
			return 0;
		path += len;
		if (*path != '\0')
			path++;
		else if (*pattern != '\0')
			return 0;
	}
	return ret < 0 ? -1 : *path == '\0';
}

static bool build_user(const struct capture captures[256], struct buf *user)
{
	const struct capture *whole = &captures['u'], *name = &captures['n'],
			     *domain = &captures['d'];

	buf_truncate(user, 0);
	if (whole->s) {
		buf_append(user, whole->s, whole->len);
	} else if (name->s && domain->s) {
		buf_append(user, name->s, name->len);
		if (domain->len > 0) {
			buf_putc(user, '@');
			buf_append(user, domain->s, domain->len);
		}
	} else {
		return false;
	}
	return true;
}

int expand_invert(const char *pattern, const char *path, struct buf *user_r, struct err *err)
{
	struct capture captures[256] = { 0 };
	autobuf struct buf again = { 0 };
	struct expand_user user;
	int ret = match_path(pattern, path, captures, err);

	if (ret < 0)
		return err_prefix(err, "pattern %s", quote_str(pattern).s);
	if (ret == 0)
		return 0;
	if (!build_user(captures, user_r))
		return expand_check(pattern, err) < 0 ? -1 : 0;
	if (expand_user_init(&user, buf_str(user_r), NULL) < 0 ||
	    expand_path(pattern, &user, &again, NULL) < 0)
		return 0;
	return strcmp(buf_str(&again), path) == 0;
}

const char *expand_static_prefix(const char *pattern, struct buf *prefix_r)
{
	struct component component CLEANUP(component_cleanup) = { 0 };
	const char *pos = *pattern == '/' ? pattern + 1 : pattern;
	const char *rest = pos;

	buf_truncate(prefix_r, 0);
	while (next_component(&pos, &component, NULL) > 0 && component.variables == 0) {
		if (rest != pattern)
			buf_putc(prefix_r, '/');
		buf_append(prefix_r, component.prefix.data, component.prefix.len);
		rest = pos;
	}
	return rest;
}

size_t expand_depth(const char *pattern)
{
	struct component component CLEANUP(component_cleanup) = { 0 };
	size_t depth = 0;

	while (next_component(&pattern, &component, NULL) > 0)
		depth++;
	return depth;
}
