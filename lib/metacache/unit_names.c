#include "metacache/unit_names.h"

#include <string.h>

#include "index/index_list.h"

static bool is_named_by_guid(const struct unit *unit)
{
	const char *slash = strrchr(unit->path, '/');

	return unit->kind == UNIT_FOLDER && strcmp(slash ? slash + 1 : unit->path, unit->id) == 0;
}

static bool has_guids(const struct home *home)
{
	for (size_t i = 0; i < home->units.count; i++) {
		if (is_named_by_guid(&home->units.items[i]))
			return true;
	}
	return false;
}

static void prioritize(struct home *home, const struct index_list *list,
		       const struct unit_rules *rules)
{
	for (size_t i = 0; i < home->units.count; i++) {
		struct unit *unit = &home->units.items[i];
		const char *name = is_named_by_guid(unit) ? index_list_name(list, unit->id) : NULL;

		if (name && unit_is_special(name, rules))
			unit->priority = UNIT_PRIORITY_SPECIAL;
	}
}

void unit_names_prioritize(int homefd, const struct unit_rules *rules, struct home *home)
{
	autoindexfiles struct index_files files = { .index = -1, .log = -1, .log2 = -1 };
	autoindexmap struct index_map map = { 0 };
	autoindexlist struct index_list list = { 0 };

	if (has_guids(home) &&
	    index_files_open(homefd, "dovecot.list.index.log", &files, NULL) == 0 &&
	    index_map_load(&files, &map, NULL) == 0 && index_list_load(&map, '/', &list, NULL) == 0)
		prioritize(home, &list, rules);
}
