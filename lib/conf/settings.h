/* The settings: /etc/metacache/metacache.conf, `key = value` lines with the names
 * and the kinds of values that Dovecot uses, and `-o key=value` over it.
 * metacache.conf(5) describes each of them for the operator.
 *
 * Everything is read and checked once, at the start; afterwards the struct is
 * only read, by any number of threads. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"

#define SETTINGS_FILE "/etc/metacache/metacache.conf"
#define SETTINGS_PRIORITIES 4
#define SETTINGS_API_KEY_ENV "METACACHE_DOVEADM_API_KEY"

enum settings_merging {
	SETTINGS_MERGING_NONE,
	SETTINGS_MERGING_V2,
};

/* The cleanup weight of a priority grows by `adjust_s` while its indexes together
 * use at most `percent` of metacache_max_space. All zero when the setting is empty. */
struct settings_priority_weight {
	unsigned percent;
	int64_t adjust_s;
};

/* The cleanup weight grows by up to `low_add` for what is smaller than
 * `low_bytes`, and by up to `high_add` for what is as large as `high_bytes`; those are
 * growing sizes above 0, or all is zero when the setting is empty. */
struct settings_size_weights {
	uint64_t low_bytes, high_bytes;
	int64_t low_add, high_add;
};

struct settings_values; /* what was written, and where */

/* A text that is not set is NULL. */
struct settings {
	/* Where users are. A home is <root>/<home_pattern expanded>, a user's
	 * objects are below <object_prefix expanded>; both patterns tell the user. */
	struct str_vec roots; /* absolute, normalised, none in another; at least one */
	char *home_pattern;
	char *object_prefix;

	/* Where objects are: URL chains, taken apart by lib/store. May hold secrets. */
	char *obox_fs;
	char *obox_index_fs;

	int64_t metacache_upload_interval_ms;
	int64_t metacache_close_delay_ms;
	int64_t metacache_forced_refresh_interval_ms;
	int64_t metacache_rescan_interval_ms;
	uint64_t metacache_max_space_bytes; /* 0: no limit */
	uint64_t metacache_max_grace_bytes;
	uint64_t metacache_diff_min_bytes; /* of a base, packed: a smaller one gets no diffs */
	struct settings_priority_weight metacache_priority_weights[SETTINGS_PRIORITIES];
	struct settings_size_weights metacache_size_weights;
	unsigned metacache_max_parallel_requests; /* 1 to 1000 */
	enum settings_merging metacache_index_merging;
	unsigned metacache_merge_max_uid_renumbers;
	unsigned obox_max_rescan_mail_count;
	struct str_vec fts_dirs;        /* paths below home */
	struct str_vec special_folders; /* names; INBOX and the like */

	/* This host. */
	char *state_dir;
	char *spool_dir; /* for large temporaries; state_dir unless set */
	bool has_mail_uid, has_mail_gid;
	uid_t mail_uid; /* the programs drop to them where they are set */
	gid_t mail_gid;
	char *backend_host;
	int64_t user_lock_timeout_ms;
	int64_t index_lock_timeout_ms;

	/* Who owns a user. */
	char *director;
	int64_t director_timeout_ms;
	char *doveadm_url;

	/* As they were read; for the functions below. */
	char *mail_home;
	struct str_vec metacache_roots;
	char *doveadm_api_key;
	char *doveadm_api_key_file;
	struct settings_values *values;
};

/* Read `file` (NULL: SETTINGS_FILE, which may be missing) and the overrides
 * ("key=value", the last one of a key counts; may be NULL), fill in the defaults
 * and check everything. 0, or -1 with ERR_CONFIG (ERR_USAGE for an override that is
 * no key=value): the message names file and line or the override, the key, what
 * was read and what is accepted. The struct is empty after a failure. */
int settings_load(struct settings *settings_r, const char *file, const struct str_vec *overrides,
		  struct err *err);

/* Back to empty; safe twice. */
void settings_free(struct settings *settings);
#define autosettings CLEANUP(settings_free)

/* The key for doveadm's HTTP API: from the settings, its file or else the environment.
 * It is read by settings_load(), with the rights that the program has at its start; why
 * that failed is told only to who needs the key. 1; 0 none is set; -1 its file could
 * not be read. */
int settings_api_key(const struct settings *settings, const char **key_r, struct err *err);

/* Every setting in the order of the manual page. `value` is what is in force, with
 * secrets masked, "" when not set; `source` is "default", "file" or "override". */
typedef void settings_print_fn(void *ctx, const char *key, const char *value, const char *source);
void settings_print(const struct settings *settings, settings_print_fn *print, void *ctx);
