/* Which changes a unit has had since its last upload, as Dovecot's own logs tell.
 *
 * What can be made again from the mails is unimportant: caches, sizes, mails
 * delivered without flags, all of an FTS unit. What cannot be told is important. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metacache/registry.h"
#include "metacache/state.h"
#include "metacache/unit.h"

struct changes_found {
	enum registry_changes class;
	uint64_t appends;   /* mails appended since the upload */
	const char *reason; /* of the class; static text, "" for none */
};

/* Of the unit in this directory, whose files were seen as `unit` says; `state` is NULL where
 * there is none of its own. Files that can't be read are important changes. */
void changes_find(int unitfd, const struct unit *unit, const struct state *state,
		  struct changes_found *found_r);

/* Whether something would be lost if another version of the unit took its place: an
 * important change, or a mail appended. Without a plugin that lists mails in storage
 * Dovecot finds an appended mail by its index only (sdbox), and would give its UID to
 * another one. */
bool changes_to_keep(const struct changes_found *found);

/* Whether a folder that is here is left over of the one that was deleted: made of a bundle from
 * before. Else it was made again under the same id. */
bool changes_is_left_over(int homefd, const char *user, const struct unit *unit,
			  const struct bundle_gone *gone);

/* Whether folders of the user's home came or went since the root indexes were uploaded, by
 * the root's state. */
bool changes_in_folders(int homefd, const char *user, const struct home *home,
			const struct state *root_state);

/* The log that says what happened to a unit, or NULL: an FTS unit has none. And the
 * index that it belongs to ("dovecot.index"); to be freed. */
const char *changes_log_name(const struct unit *unit);
char *changes_index_name(const struct unit *unit);
