#include "metacache/changes.h"

#include <string.h>

#include "base/fsx.h"
#include "base/mem.h"

const char *changes_log_name(const struct unit *unit)
{
	switch (unit->kind) {
	case UNIT_ROOT:
		return "dovecot.list.index.log";
	case UNIT_FOLDER:
		return "dovecot.index.log";
	case UNIT_FTS:
		break;
	}
	return NULL;
}

char *changes_index_name(const struct unit *unit)
{
	const char *log_name = changes_log_name(unit);

	return log_name ? xstrndup(log_name, strlen(log_name) - strlen(".log")) : NULL;
}

/* The files of an index, which its log answers for, and caches. */
static bool is_index_file(const struct unit *unit, const char *name)
{
	static const char *const ends[] = { ".log", ".log.2", ".cache", ".thread", "" };
	const char *log_name = changes_log_name(unit);
	size_t len = strlen(log_name) - strlen(".log");

	if (strncmp(name, log_name, len) != 0)
		return false;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		if (strcmp(name + len, ends[i]) == 0)
			return true;
	}
	return false;
}

static const struct unit_file *find_file(const struct unit_file_vec *files, const char *name)
{
	for (size_t i = 0; i < files->count; i++) {
		if (strcmp(files->items[i].name, name) == 0)
			return &files->items[i];
	}
	return NULL;
}

/* Every file of `a` that is no index file is in `b`, with the same size, time and inode. */
static bool others_are_in(const struct unit *unit, const struct unit_file_vec *a,
			  const struct unit_file_vec *b)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct unit_file *file = &a->items[i];
		const struct unit_file *other;

		if (is_index_file(unit, file->name))
			continue;
		other = find_file(b, file->name);
		if (!other || other->ino != file->ino || other->size_bytes != file->size_bytes ||
		    other->mtime_ns != file->mtime_ns)
			return false;
	}
	return true;
}

static void set(struct changes_found *found, enum registry_changes class, const char *reason)
{
	found->class = class;
	found->reason = reason;
}

static void find_in_log(int unitfd, const struct unit *unit, const struct state *state,
			struct changes_found *found)
{
	static const enum registry_changes classes[] = {
		[INDEX_CHANGES_NONE] = CHANGES_UNIMPORTANT, /* some file differs */
		[INDEX_CHANGES_UNIMPORTANT] = CHANGES_UNIMPORTANT,
		[INDEX_CHANGES_IMPORTANT] = CHANGES_IMPORTANT,
	};
	struct index_changes in_log;
	struct err err;

	if (state && state->log.indexid == 0) {
		set(found, CHANGES_IMPORTANT, "there was no log at the upload");
		return;
	}
	if (index_changes_since(unitfd, changes_log_name(unit), state ? &state->log : NULL, &in_log,
				&err) < 0) {
		set(found, CHANGES_IMPORTANT, "the log cannot be read");
		return;
	}
	found->appends = in_log.appends;
	set(found, classes[in_log.class],
	    in_log.class == INDEX_CHANGES_NONE ? "index or cache rewritten" : in_log.reason);
}

void changes_find(int unitfd, const struct unit *unit, const struct state *state,
		  struct changes_found *found_r)
{
	static const struct unit_file_vec none;
	const struct unit_file_vec *was = &none;

	*found_r = (struct changes_found){ .reason = "" };
	if (state && state->base) {
		was = &state->files;
		if (state_matches(state, &unit->files))
			return;
	} else {
		state = NULL; /* nothing of it was ever uploaded */
	}
	if (unit->kind == UNIT_FTS)
		set(found_r, CHANGES_UNIMPORTANT, "search indexes");
	else if (!others_are_in(unit, &unit->files, was) || !others_are_in(unit, was, &unit->files))
		set(found_r, CHANGES_IMPORTANT, "a file that no log tells about");
	else
		find_in_log(unitfd, unit, state, found_r);
}

bool changes_to_keep(const struct changes_found *found)
{
	return found->class == CHANGES_IMPORTANT || found->appends > 0;
}

bool changes_is_left_over(int homefd, const char *user, const struct unit *unit,
			  const struct bundle_gone *gone)
{
	autostate struct state state = { 0 };
	autofd int unitfd = unit->has_state ? fsx_opendir(homefd, unit->path) : -1;

	return unitfd >= 0 && state_read_of(unitfd, user, unit->path, &state, NULL) > 0 &&
	       state.base && bundle_gone_is_before(gone, state.base);
}

/* One that was deleted elsewhere and is left over here is none of them, as in a flush. */
static bool counts(int homefd, const char *user, const struct unit *unit,
		   const struct state *root_state)
{
	const struct bundle_gone *gone = bundle_gone_find(&root_state->gone, unit->id);

	return unit->kind == UNIT_FOLDER &&
	       !(gone && changes_is_left_over(homefd, user, unit, gone));
}

bool changes_in_folders(int homefd, const char *user, const struct home *home,
			const struct state *root_state)
{
	size_t count = 0;

	for (size_t i = 0; i < home->units.count; i++) {
		const struct unit *unit = &home->units.items[i];

		if (!counts(homefd, user, unit, root_state))
			continue;
		count++;
		if (!str_vec_has(&root_state->folders, unit->path))
			return true;
	}
	return root_state->folders.count != count;
}
