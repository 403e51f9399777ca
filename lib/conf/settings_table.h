/* The table of settings: key, kind, place, default. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/settings_parse.h"

struct settings_def {
	const char *key;
	settings_parse_fn *parse;
	size_t offset; /* of the field in struct settings */
	const char *default_text;
	enum {
		SETTINGS_PLAIN,
		SETTINGS_URL,    /* shown with its secrets masked */
		SETTINGS_SECRET, /* never shown */
	} shown;
	bool skip_empty; /* an empty value leaves the field as it is */
};

extern const struct settings_def settings_table[];
extern const size_t settings_table_count;

/* NULL when there is no such setting. */
const struct settings_def *settings_table_find(const char *key);

/* The key that was probably meant; NULL when none is near. */
const char *settings_table_nearest(const char *key);
