#include "metacache/fetch_heads.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CANDIDATES_MAX 16 /* bundles of one unit whose manifests are compared */

void fetch_heads_free(struct fetch_heads *heads)
{
	vec_free(&heads->heads);
	str_vec_free(&heads->included);
}

bool fetch_heads_is_orphan(const struct fetch_load *load, const struct fetch_head *head)
{
	return remote_is_orphan(load->remote, head->object);
}

/* Of diffs on one base the name tells, if our programs wrote it. */
static int newest_first(const void *a, const void *b)
{
	int64_t x = bundle_name_time_us(&((const struct fetch_head *)a)->object->parsed);
	int64_t y = bundle_name_time_us(&((const struct fetch_head *)b)->object->parsed);

	return (x < y) - (x > y);
}

/* All that is listed, newest first, but for bases that have a diff. An orphan can't be
 * taken, but if nothing includes it, it is a writer's of its own. */
static void list_heads(const struct remote_unit *remote, struct fetch_heads *heads)
{
	for (size_t i = remote->objects.count; i-- > 0;) {
		const struct remote_object *object = &remote->objects.items[i];
		/* A base sorts right before its diffs. */
		bool has_diff = i + 1 < remote->objects.count && !object->parsed.is_diff &&
				remote_base_of(remote, object + 1) == object &&
				object[1].parsed.is_diff;

		if (!has_diff)
			vec_push(&heads->heads, ((struct fetch_head){ .object = object }));
	}
	if (heads->heads.count > 1)
		qsort(heads->heads.items, heads->heads.count, sizeof *heads->heads.items,
		      newest_first);
}

/* What a writer put before its reply was lost is contained in what it put then. */
static void drop_earlier_tries(struct fetch_heads *heads)
{
	size_t kept = 0;

	for (size_t i = 0; i < heads->heads.count; i++) {
		struct fetch_head head = heads->heads.items[i];
		bool is_earlier = false;

		for (size_t k = 0; k < heads->heads.count && !is_earlier; k++)
			is_earlier = bundle_name_is_earlier_try(
				&head.object->parsed, &heads->heads.items[k].object->parsed);
		if (is_earlier)
			vec_push(&heads->included, xstrdup(head.object->name));
		else
			heads->heads.items[kept++] = head;
	}
	heads->heads.count = kept;
}

/* `at` stands on the bundle that has these includes, and follows it; a bundle that
 * claims to include itself stays. */
static void take_out(struct fetch_heads *heads, const struct str_vec *includes, size_t *at)
{
	size_t kept = 0, was_at = *at;

	for (size_t i = 0; i < heads->heads.count; i++) {
		struct fetch_head head = heads->heads.items[i];

		if (i == was_at || !str_vec_has(includes, head.object->name))
			heads->heads.items[kept++] = head;
		if (i == was_at)
			*at = kept - 1;
	}
	heads->heads.count = kept;
	for (size_t i = 0; i < includes->count; i++)
		vec_push(&heads->included, xstrdup(includes->items[i]));
}

static int later_first(const void *a, const void *b)
{
	const struct fetch_head *x = a, *y = b;

	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

int fetch_heads_find(struct fetch_load *load, bool read_one, struct fetch_heads *heads,
		     struct err *err)
{
	list_heads(load->remote, heads);
	drop_earlier_tries(heads);
	for (size_t i = 0; i < heads->heads.count && (read_one || heads->heads.count > 1); i++) {
		automanifest struct bundle_manifest manifest = { 0 };
		struct fetch_head *head = &heads->heads.items[i];
		int ret;

		if (fetch_heads_is_orphan(load, head))
			continue;
		if (i >= CANDIDATES_MAX)
			return err_set(err, ERR_CONFLICT,
				       "more than %d bundles of different writers", CANDIDATES_MAX);
		ret = fetch_load_manifest(load, head->object, &manifest, err);
		if (ret <= 0)
			return ret;
		head->created_ns = manifest.created_ns;
		take_out(heads, &manifest.includes, &i);
	}
	/* Orphans were not read, so they come last. */
	if (heads->heads.count > 1)
		qsort(heads->heads.items, heads->heads.count, sizeof *heads->heads.items,
		      later_first);
	return 1;
}

void fetch_heads_choose(const struct fetch_load *load, const struct state *discard,
			struct fetch_heads *heads)
{
	struct fetch_head chosen;
	size_t at = 0;

	while (at < heads->heads.count &&
	       (fetch_heads_is_orphan(load, &heads->heads.items[at]) ||
		state_is_applied(discard, heads->heads.items[at].object->name)))
		at++;
	if (at == heads->heads.count)
		return;
	chosen = heads->heads.items[at];
	for (size_t i = 0; i < load->remote->objects.count; i++)
		vec_push(&heads->included, xstrdup(load->remote->objects.items[i].name));
	heads->heads.items[0] = chosen;
	heads->heads.count = 1;
}
