/* Values of settings, one function a kind. Each reads `text` into the field (which
 * is still zero) and returns 0, or -1 with the end of a sentence that began with
 * key and value: "is not a time (accepted: …)". Pure, but for names of users and
 * groups. */
#pragma once

#include "base/err.h"

typedef int settings_parse_fn(const char *text, void *field, struct err *err);

settings_parse_fn settings_parse_text;        /* char *: as it is; NULL when empty */
settings_parse_fn settings_parse_words;       /* struct str_vec: separated by blanks */
settings_parse_fn settings_parse_size;        /* uint64_t */
settings_parse_fn settings_parse_time;        /* int64_t, milliseconds */
settings_parse_fn settings_parse_count;       /* unsigned, 0 and above */
settings_parse_fn settings_parse_parallel;    /* unsigned, 1 to 1000 */
settings_parse_fn settings_parse_directory;   /* char *: absolute, normalised; NULL when empty */
settings_parse_fn settings_parse_directories; /* struct str_vec of such */
settings_parse_fn settings_parse_below_home;  /* struct str_vec: relative, no . or .. */
settings_parse_fn settings_parse_merging;     /* enum settings_merging */
settings_parse_fn settings_parse_priority_weights; /* struct settings_priority_weight[4] */
settings_parse_fn settings_parse_size_weights;     /* struct settings_size_weights */
settings_parse_fn settings_parse_uid;              /* uid_t, by name or number */
settings_parse_fn settings_parse_gid;              /* gid_t, ditto */
