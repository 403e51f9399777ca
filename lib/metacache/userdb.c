#include "metacache/userdb.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cluster/doveadm.h"

#define SENSELESS_MAX 20 /* single users in a row: then it is the service */
#define BATCH 500        /* a request of about a quarter of a second */

struct update {
	const struct metacache *mc;
	bool dry_run;
	userdb_fn *fn;
	void *ctx;
	unsigned senseless; /* users without a sensible answer since there was one */
};

bool userdb_is_alias(const char *field)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-.";
	size_t len = strlen(field);

	return len > 5 && len <= 64 && strncmp(field, "user_", 5) == 0 &&
	       strspn(field, plain) == len;
}

const char *userdb_outcome_name(enum userdb_outcome outcome)
{
	static const char *const names[] = { "updated", "unchanged", "unknown", "failed" };

	return names[outcome];
}

static int compare_aliases(const void *a, const void *b)
{
	return strcmp(((const struct registry_alias *)a)->field,
		      ((const struct registry_alias *)b)->field);
}

/* The names in the order of the registry; they belong to `user`. A field without a value names
 * nobody. */
static struct registry_alias_vec aliases_of(const struct doveadm_user *user)
{
	struct registry_alias_vec aliases = { 0 };

	for (size_t i = 0; i < user->fields.count; i++) {
		const struct doveadm_field *field = &user->fields.items[i];
		struct registry_alias alias = { field->name, field->value };

		if (userdb_is_alias(field->name) && *field->value != '\0')
			vec_push(&aliases, alias);
	}
	if (aliases.count > 0)
		qsort(aliases.items, aliases.count, sizeof *aliases.items, compare_aliases);
	return aliases;
}

static bool are_equal(const struct registry_alias_vec *a, const struct registry_alias_vec *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i].field, b->items[i].field) != 0 ||
		    strcmp(a->items[i].value, b->items[i].value) != 0)
			return false;
	}
	return true;
}

static int store(const struct update *update, const char *username,
		 const struct registry_alias_vec *aliases, struct userdb_result *result,
		 struct err *err)
{
	struct registry *registry = update->mc->registry;
	struct registry_alias_vec known;
	bool same;

	if (registry_aliases(registry, username, &known, err) < 0)
		return -1;
	same = are_equal(&known, aliases);
	registry_aliases_free(&known);
	result->outcome = same ? USERDB_UNCHANGED : USERDB_UPDATED;
	result->aliases = aliases->count;
	if (same || update->dry_run)
		return 0;
	return registry_set_aliases(registry, username, aliases, err);
}

static int take_answer(const struct update *update, const struct doveadm_user *user,
		       struct err *err)
{
	struct userdb_result result = { .username = user->username, .err = user->err };
	struct registry_alias_vec aliases;
	int ret;

	if (user->known != DOVEADM_KNOWN) {
		result.outcome = user->known == DOVEADM_UNKNOWN ? USERDB_UNKNOWN : USERDB_FAILED;
		return update->fn(update->ctx, &result, err);
	}
	aliases = aliases_of(user);
	ret = store(update, user->username, &aliases, &result, err);
	vec_free(&aliases);
	return ret < 0 ? -1 : update->fn(update->ctx, &result, err);
}

static int fail_one(const struct update *update, const char *username, const struct err *why,
		    struct err *err)
{
	const struct userdb_result result = {
		.username = username,
		.outcome = USERDB_FAILED,
		.err = *why,
	};

	return update->fn(update->ctx, &result, err);
}

static int take_answers(const struct update *update, const struct doveadm_user *asked, size_t count,
			struct err *err)
{
	struct registry *registry = update->mc->registry;
	struct err commit_err = { 0 };
	int ret = 0;

	registry_batch_start(registry);
	for (size_t i = 0; i < count && ret == 0; i++)
		ret = take_answer(update, &asked[i], err);
	if (registry_batch_end(registry, &commit_err) < 0 && ret == 0) {
		*err = commit_err;
		ret = -1;
	}
	return ret;
}

/* One user's fields can spoil a whole answer (text that is no UTF-8): asking for fewer finds out
 * whose. */
static int ask_for(struct update *update, char *const *users, size_t count, struct err *err)
{
	autofree struct doveadm_user *asked = xcalloc(count, sizeof *asked);
	struct err failed = { 0 };
	int ret;

	for (size_t i = 0; i < count; i++)
		asked[i].username = users[i];
	if (doveadm_users(update->mc->doveadm, asked, count, &failed) == 0) {
		update->senseless = 0;
		ret = take_answers(update, asked, count, err);
		for (size_t i = 0; i < count; i++)
			doveadm_user_free(&asked[i]);
		return ret;
	}
	if (failed.code != ERR_DATA || update->senseless == SENSELESS_MAX) {
		*err = failed;
		return -1;
	}
	if (count == 1) {
		update->senseless++;
		failed.code = ERR_TEMP;
		return fail_one(update, users[0], &failed, err);
	}
	return ask_for(update, users, count / 2, err) < 0
		       ? -1
		       : ask_for(update, users + count / 2, count - count / 2, err);
}

int userdb_update(const struct metacache *mc, const struct str_vec *users, bool dry_run,
		  userdb_fn *fn, void *ctx, struct err *err)
{
	struct update update = { .mc = mc, .dry_run = dry_run, .fn = fn, .ctx = ctx };

	if (!mc->doveadm) {
		err_set(err, ERR_CONFIG, "doveadm_url is not set: whose userdb?");
		return err_hint(err, "it is the HTTP listener of Dovecot's doveadm service");
	}
	for (size_t at = 0; at < users->count; at += BATCH) {
		size_t left = users->count - at;

		if (ask_for(&update, users->items + at, left < BATCH ? left : BATCH, err) < 0)
			return -1;
	}
	return 0;
}
