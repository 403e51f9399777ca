/* owner_cli DIRECTOR BACKEND_HOST [-o KEY=VALUE...] [USER...]: lib/cluster's owners, by hand and
 * for tests. DIRECTOR and BACKEND_HOST are as in the settings of these names; without users
 * they are read from stdin, a line each. The key is $KEY.
 *
 *   user <TAB> where <TAB> host <TAB> expires <TAB> reason
 *
 * Exits as the programs do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "cluster/owner.h"

#define BATCH 5000

static int done(const struct err *err)
{
	fprintf(stderr, "owner_cli: %s%s%s\n", err->msg, err->hint[0] ? "; " : "", err->hint);
	return err_exit_code(err->code);
}

static void print(const struct owner_answer *answer)
{
	printf("%s\t%s\t%s\t%lld\t%s\n", answer->user, owner_where_name(answer->where),
	       answer->host, (long long)answer->expires_s, answer->err.msg);
}

static int look_up(struct owner *owner, const struct str_vec *users)
{
	struct owner_answer *answers = xcalloc(BATCH, sizeof *answers);
	struct err err = { 0 };
	int status = 0;

	for (size_t from = 0; from < users->count && status == 0; from += BATCH) {
		size_t count = users->count - from < BATCH ? users->count - from : BATCH;

		for (size_t i = 0; i < count; i++)
			answers[i].user = users->items[from + i];
		if (owner_lookup(owner, answers, count, &err) < 0)
			status = done(&err);
		for (size_t i = 0; i < count; i++)
			print(&answers[i]);
	}
	free(answers);
	return status;
}

static int run(const struct str_vec *overrides, const struct str_vec *users)
{
	autosettings struct settings settings = { 0 };
	struct owner *owner = NULL;
	struct err err = { 0 };
	int status;

	if (settings_load(&settings, "/dev/null", overrides, &err) < 0 ||
	    owner_open(&settings, &owner, &err) < 0)
		return done(&err);
	status = look_up(owner, users);
	owner_close(&owner);
	return status;
}

static void read_users(struct str_vec *users)
{
	autofree char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) > 0)
		vec_push(users, xstrndup(line, (size_t)len - (line[len - 1] == '\n')));
}

int main(int argc, char **argv)
{
	struct str_vec overrides = { 0 }, users = { 0 };
	int next = 3, status;

	if (argc < next) {
		fputs("usage: owner_cli DIRECTOR BACKEND_HOST [-o KEY=VALUE...] [USER...]\n",
		      stderr);
		return 64;
	}
	vec_push(&overrides, xstrdup("mail_home=/var/lib/metacache/%u"));
	vec_push(&overrides, xasprintf("director=%s", argv[1]));
	vec_push(&overrides, xasprintf("backend_host=%s", argv[2]));
	if (getenv("KEY"))
		vec_push(&overrides, xasprintf("doveadm_api_key=%s", getenv("KEY")));
	for (; next + 1 < argc && strcmp(argv[next], "-o") == 0; next += 2)
		vec_push(&overrides, xstrdup(argv[next + 1]));
	for (int i = next; i < argc; i++)
		vec_push(&users, xstrdup(argv[i]));
	if (next == argc)
		read_users(&users);
	status = run(&overrides, &users);
	str_vec_free(&overrides);
	str_vec_free(&users);
	return fflush(stdout) == 0 ? status : 74;
}
