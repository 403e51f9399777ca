/* store_cli CHAIN COMMAND [ARGUMENT...]: lib/store by hand and for tests.
 *
 *   put KEY [NAME=VALUE...]   one object from stdin, with metadata
 *   get KEY                   to stdout
 *   head KEY                  size, then NAME=VALUE lines
 *   list PREFIX [/]           "size key" lines; with / folded there
 *   fill PREFIX COUNT [END]   COUNT small objects PREFIX<5 digits>END, in parallel
 *   delete [KEY...]           these, or without any those on stdin, one a line
 *   counters ...              one of the above, then the counters on stderr
 *
 * Exits as the programs do; 1 for no such object. CHAIN "-" is $STORE. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "store/store.h"

#define FILL_THREADS 8

static int done(int ret, const struct err *err)
{
	if (ret >= 0)
		return ret;
	fprintf(stderr, "store_cli: %s%s%s\n", err->msg, err->hint[0] ? "; " : "", err->hint);
	return err_exit_code(err->code);
}

static int do_put(struct store *store, int argc, char **argv)
{
	autospool struct spool *content = spool_new("/tmp", 1 << 20);
	struct store_meta meta[16];
	size_t count = 0;
	char block[65536];
	struct err err = { 0 };
	size_t n;

	for (int i = 1; i < argc && count < 16; i++) {
		char *equals = strchr(argv[i], '=');

		if (!equals)
			return 64;
		*equals = '\0';
		meta[count++] = (struct store_meta){ argv[i], equals + 1 };
	}
	while ((n = fread(block, 1, sizeof block, stdin)) > 0) {
		if (spool_write(content, block, n, &err) < 0)
			return done(-1, &err);
	}
	return done(store_put(store, argv[0], content, meta, count, &err), &err);
}

static int do_get(struct store *store, char **argv)
{
	autospool struct spool *into = spool_new("/tmp", 1 << 20);
	char block[65536];
	uint64_t at = 0;
	struct err err = { 0 };
	ssize_t n;
	int ret = store_get(store, argv[0], into, &err);

	if (ret <= 0)
		return ret < 0 ? done(ret, &err) : 1;
	while ((n = spool_read(into, at, block, sizeof block, &err)) > 0) {
		fwrite(block, 1, (size_t)n, stdout);
		at += (uint64_t)n;
	}
	return n < 0 ? done(-1, &err) : 0;
}

static int do_head(struct store *store, char **argv)
{
	struct store_head head;
	struct err err = { 0 };
	int ret = store_head(store, argv[0], &head, &err);

	if (ret <= 0)
		return ret < 0 ? done(ret, &err) : 1;
	printf("%llu\n", (unsigned long long)head.size_bytes);
	for (size_t i = 0; i < head.meta_count; i++)
		printf("%s=%s\n", head.meta[i].key, head.meta[i].value);
	store_head_free(&head);
	return 0;
}

static int print_object(void *ctx, const struct store_object *object)
{
	(void)ctx;
	if (object->is_prefix)
		printf("- %s\n", object->key);
	else
		printf("%llu %s\n", (unsigned long long)object->size_bytes, object->key);
	return 0;
}

static int do_list(struct store *store, int argc, char **argv)
{
	struct err err = { 0 };

	return done(store_list(store, argv[0], argc > 1, 0, print_object, NULL, &err), &err);
}

struct fill {
	struct store *store;
	const char *prefix, *end;
	int count;
	atomic_int next, status;
};

static void *fill_thread(void *ctx)
{
	struct fill *fill = ctx;
	int i;

	while ((i = atomic_fetch_add(&fill->next, 1)) < fill->count) {
		autofree char *key = xasprintf("%s%05d%s", fill->prefix, i, fill->end);
		autospool struct spool *content = spool_from(key, strlen(key));
		struct err err = { 0 };

		if (store_put(fill->store, key, content, NULL, 0, &err) < 0)
			atomic_store(&fill->status, done(-1, &err));
	}
	return NULL;
}

static int do_fill(struct store *store, int argc, char **argv)
{
	struct fill fill = { .store = store, .prefix = argv[0], .end = argc > 2 ? argv[2] : "" };
	pthread_t threads[FILL_THREADS];

	fill.count = atoi(argv[1]);
	for (int i = 0; i < FILL_THREADS; i++) {
		if (pthread_create(&threads[i], NULL, fill_thread, &fill) != 0)
			abort();
	}
	for (int i = 0; i < FILL_THREADS; i++)
		pthread_join(threads[i], NULL);
	return atomic_load(&fill.status);
}

static int do_delete(struct store *store, int argc, char **argv)
{
	struct str_vec keys = { 0 };
	autofree char *line = NULL;
	size_t size = 0;
	struct err err = { 0 };
	ssize_t len;
	int ret;

	for (int i = 0; i < argc; i++)
		vec_push(&keys, xstrdup(argv[i]));
	while (argc == 0 && (len = getline(&line, &size, stdin)) > 0)
		vec_push(&keys, xstrndup(line, (size_t)len - (line[len - 1] == '\n')));
	ret = store_delete(store, (const char *const *)keys.items, keys.count, NULL, &err);
	str_vec_free(&keys);
	return done(ret, &err);
}

static void print_counters(const struct store *store)
{
	static const char *const kinds[STORE_KINDS] = { "put", "get", "head", "list", "delete" };
	struct store_counters counters;

	store_counters(store, &counters);
	for (int i = 0; i < STORE_KINDS; i++)
		fprintf(stderr, "%s requests=%llu retries=%llu bytes=%llu\n", kinds[i],
			(unsigned long long)counters.requests[i],
			(unsigned long long)counters.retries[i],
			(unsigned long long)counters.bytes[i]);
}

static int run(struct store *store, int argc, char **argv)
{
	const char *command = argv[0];
	int status;

	if (strcmp(command, "counters") == 0 && argc > 1) {
		status = run(store, argc - 1, argv + 1);
		print_counters(store);
		return status;
	}
	argc--, argv++;
	if (strcmp(command, "delete") == 0)
		return do_delete(store, argc, argv);
	if (argc < 1)
		return 64;
	if (strcmp(command, "put") == 0)
		return do_put(store, argc, argv);
	if (strcmp(command, "get") == 0)
		return do_get(store, argv);
	if (strcmp(command, "head") == 0)
		return do_head(store, argv);
	if (strcmp(command, "list") == 0)
		return do_list(store, argc, argv);
	if (strcmp(command, "fill") == 0 && argc > 1)
		return do_fill(store, argc, argv);
	return 64;
}

static void warn(void *ctx, const char *text)
{
	(void)ctx;
	fprintf(stderr, "store_cli: warning: %s\n", text);
}

int main(int argc, char **argv)
{
	struct store_options options = {
		.warn = warn,
		.credentials_file = getenv("STORE_CREDENTIALS"),
		.spool_dir = "/tmp",
	};
	struct store *store;
	struct err err = { 0 };
	const char *chain = argc > 1 ? argv[1] : "";
	int status;

	if (argc < 3) {
		fputs("usage: store_cli CHAIN|- COMMAND [ARGUMENT...]\n", stderr);
		return 64;
	}
	if (strcmp(chain, "-") == 0)
		chain = getenv("STORE") ? getenv("STORE") : "";
	if (store_open(chain, &options, &store, &err) < 0)
		return done(-1, &err);
	status = run(store, argc - 2, argv + 2);
	store_close(&store);
	return fflush(stdout) == 0 ? status : 74;
}
