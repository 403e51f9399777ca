/* Any bytes as .state: what is read holds to its bounds, can be written, and reads
 * again as the same. */
#include "fuzz.h"
#include "metacache/state.h"

static void check_bundles(const struct str_vec *names)
{
	struct bundle_name name;

	for (size_t i = 0; i < names->count; i++)
		need(bundle_name_parse(names->items[i], &name));
}

static void check(const struct state *state)
{
	struct bundle_name name;

	need(state->boot && state->host && state->user && state->unit && state->last_service);
	need(!state->base || bundle_name_parse(state->base, &name));
	need(!state->installing || bundle_name_parse(state->installing, &name));
	check_bundles(&state->diffs);
	check_bundles(&state->superseded);
	check_bundles(&state->unmerged);
	need(strlen(state->next) == BUNDLE_UNIQUE_HEX);
	for (size_t i = 1; i < state->files.count; i++)
		need(strcmp(state->files.items[i - 1].name, state->files.items[i].name) < 0);
	need(state_matches(state, &state->files) == (state->base != NULL));
	need(state_accounts_for(state, &state->files) &&
	     state_accounts_for(state, &state->replaced));
}

/* Sizes of what there is none of, and a position without an index, mean nothing
 * and are not written. */
static void need_same(const struct state *a, const struct state *b)
{
	need_text(a->boot, b->boot);
	need_text(a->host, b->host);
	need_text(a->user, b->user);
	need_text(a->unit, b->unit);
	need_text(a->base, b->base);
	need_text(a->last_service, b->last_service);
	need_text(a->installing, b->installing);
	need_text(a->next, b->next);
	need_names(&a->diffs, &b->diffs);
	need_names(&a->superseded, &b->superseded);
	need_names(&a->unmerged, &b->unmerged);
	need_names(&a->folders, &b->folders);
	need_gone(&a->gone, &b->gone);
	need(b->base_bytes == (a->base ? a->base_bytes : 0));
	need(b->diff_bytes == (a->diffs.count > 0 ? a->diff_bytes : 0));
	need(a->log.indexid == b->log.indexid);
	need(a->log.indexid == 0 ||
	     (a->log.file_seq == b->log.file_seq && a->log.offset == b->log.offset));
	need(a->uploaded_ns == b->uploaded_ns && a->tried_ns == b->tried_ns &&
	     a->last_access == b->last_access);
	need(a->refresh == b->refresh && a->standing == b->standing &&
	     state_same_files(&a->files, &b->files));
	need(state_same_files(&a->replaced, &b->replaced));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	static int dirfd = -1;
	autostate struct state state = { 0 }, again = { 0 };
	struct fsx_stat stat;
	struct err err = { 0 };

	if (dirfd < 0)
		dirfd = scratch();
	if (state_parse((const char *)data, len, &state, &err) < 0) {
		need(err.code == ERR_DATA && err.msg[0] != '\0' && !state.user);
		return 0;
	}
	check(&state);
	need(state_write(dirfd, &state, &stat, &err) == 0);
	need(state_read(dirfd, &again, &err) == 1);
	need_same(&state, &again);
	return 0;
}
