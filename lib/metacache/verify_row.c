#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/quote.h"
#include "metacache/verify_look.h"

struct row {
	bool found;
	char *root;
	uint64_t bytes_used[UNIT_PRIORITIES];
	enum registry_changes changes;
	uint64_t conflicts, obsolete;
	unsigned char settled[HASH_CONTENT_SIZE];
};

static int take_row(void *ctx, const struct registry_user *user, struct err *err)
{
	struct row *row = ctx;

	(void)err;
	row->found = true;
	row->root = xstrdup(user->root);
	row->changes = user->changes;
	row->conflicts = user->conflicts;
	row->obsolete = user->obsolete;
	memcpy(row->bytes_used, user->bytes_used, sizeof row->bytes_used);
	memcpy(row->settled, user->settled, sizeof row->settled);
	return 0;
}

static void compare_sizes(struct verify_look *look, const struct row *row)
{
	uint64_t bytes[UNIT_PRIORITIES] = { 0 };

	for (size_t i = 0; i < look->scanned.units.count; i++) {
		const struct unit *unit = &look->scanned.units.items[i];

		bytes[unit->priority] += unit->bytes;
	}
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		if (bytes[i] == row->bytes_used[i])
			continue;
		err_set(verify_look_add(look, VERIFY_WRONG_SIZE, NULL, NULL, true), ERR_DATA,
			"bytes-used(%d) is %llu in the registry, %llu on disk", i,
			(unsigned long long)row->bytes_used[i], (unsigned long long)bytes[i]);
	}
}

static void compare_changes(struct verify_look *look, const struct row *row)
{
	unsigned char fingerprint[HASH_CONTENT_SIZE];
	enum registry_changes changes = CHANGES_NONE;
	bool settled = true;

	for (size_t i = 0; i < look->scanned.units.count; i++) {
		const struct verify_unit *unit = &look->units[i];

		if (unit->changes.class > changes)
			changes = unit->changes.class;
		settled &= unit->known && state_settled(&unit->state, &unit->unit->files);
	}
	unit_fingerprint(&look->scanned, fingerprint);
	if (changes != row->changes)
		err_set(verify_look_add(look, VERIFY_WRONG_CHANGES, NULL, NULL, true), ERR_DATA,
			"changes is %s in the registry, %s on disk",
			registry_changes_name(row->changes), registry_changes_name(changes));
	else if (!settled && memcmp(fingerprint, row->settled, sizeof fingerprint) == 0)
		err_set(verify_look_add(look, VERIFY_WRONG_CHANGES, NULL, NULL, true), ERR_DATA,
			"the registry takes it for settled, so a flush would pass it over");
}

static void compare_standing(struct verify_look *look, const struct row *row)
{
	uint64_t units[STATE_CONFLICT + 1] = { 0 };

	for (size_t i = 0; i < look->scanned.units.count; i++) {
		if (look->units[i].known)
			units[state_standing(&look->units[i].state)]++;
	}
	if (units[STATE_CONFLICT] == row->conflicts && units[STATE_OBSOLETE] == row->obsolete)
		return;
	err_set(verify_look_add(look, VERIFY_WRONG_CHANGES, NULL, NULL, true), ERR_DATA,
		"the registry has %llu conflicts and %llu obsolete units, .state files %llu and "
		"%llu",
		(unsigned long long)row->conflicts, (unsigned long long)row->obsolete,
		(unsigned long long)units[STATE_CONFLICT],
		(unsigned long long)units[STATE_OBSOLETE]);
}

static void compare(struct verify_look *look, const struct row *row)
{
	bool here = look->has_home && look->scanned.units.count > 0;

	if (!here && row->found) {
		err_set(verify_look_add(look, VERIFY_UNKNOWN_USER, NULL, NULL, true), ERR_DATA,
			"in the registry, and without indexes here");
	} else if (here && (!row->found || strcmp(row->root, look->home.root->path) != 0)) {
		err_set(verify_look_add(look, VERIFY_UNREGISTERED_HOME, NULL, look->home.path,
					true),
			ERR_DATA, row->found ? "in the registry below %s" : "not in the registry%s",
			row->found ? row->root : "");
	} else if (here) {
		compare_sizes(look, row);
		compare_standing(look, row);
		compare_changes(look, row);
	}
}

int verify_row(struct verify_look *look, struct err *err)
{
	struct row row = { 0 };

	if (registry_find(look->mc->registry, look->home.user, take_row, &row, err) < 0)
		return -1;
	compare(look, &row);
	free(row.root);
	if (!look->has_home && !row.found && look->remote.count == 0)
		return err_set(err, ERR_NOUSER, "no such user here or in storage: %s",
			       quote_str(look->home.user).s);
	return 0;
}
