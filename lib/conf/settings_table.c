#include "conf/settings_table.h"

#include <string.h>

#include "conf/settings.h"

/* Key, kind, field, default; then what is unusual. */
#define SETTING(name, kind, field, text, ...)                                                      \
	{                                                                                          \
		.key = name, .parse = settings_parse_##kind,                                       \
		.offset = offsetof(struct settings, field), .default_text = text, __VA_ARGS__      \
	}

const struct settings_def settings_table[] = {
	SETTING("mail_home", text, mail_home, ""),
	SETTING("metacache_roots", directories, metacache_roots, ""),
	SETTING("object_prefix", text, object_prefix, "%2Mu/%2.3Mu/%u"),
	SETTING("obox_fs", text, obox_fs, "", .shown = SETTINGS_URL),
	SETTING("obox_index_fs", text, obox_index_fs, "", .shown = SETTINGS_URL),
	SETTING("metacache_upload_interval", time, metacache_upload_interval_ms, "5min"),
	SETTING("metacache_close_delay", time, metacache_close_delay_ms, "2s"),
	SETTING("metacache_forced_refresh_interval", time, metacache_forced_refresh_interval_ms,
		"8h"),
	SETTING("metacache_rescan_interval", time, metacache_rescan_interval_ms, "1d"),
	SETTING("metacache_max_space", size, metacache_max_space_bytes, "0"),
	SETTING("metacache_max_grace", size, metacache_max_grace_bytes, "1G"),
	SETTING("metacache_diff_min_size", size, metacache_diff_min_bytes, "8k"),
	SETTING("metacache_priority_weights", priority_weights, metacache_priority_weights,
		"10% +1d 10% +1d 50% +1h 100% 0", .skip_empty = true),
	SETTING("metacache_size_weights", size_weights, metacache_size_weights, "2M +30 1G +120",
		.skip_empty = true),
	SETTING("metacache_max_parallel_requests", parallel, metacache_max_parallel_requests, "10"),
	SETTING("metacache_index_merging", merging, metacache_index_merging, "v2"),
	SETTING("metacache_merge_max_uid_renumbers", count, metacache_merge_max_uid_renumbers,
		"100"),
	SETTING("obox_max_rescan_mail_count", count, obox_max_rescan_mail_count, "10"),
	SETTING("fts_dirs", below_home, fts_dirs, "fts-flatcurve lucene-indexes xapian-indexes"),
	SETTING("special_folders", words, special_folders, "INBOX Junk Spam"),
	SETTING("state_dir", directory, state_dir, "/var/lib/metacache-tools"),
	SETTING("spool_dir", directory, spool_dir, ""),
	SETTING("mail_uid", uid, mail_uid, "", .skip_empty = true),
	SETTING("mail_gid", gid, mail_gid, "", .skip_empty = true),
	SETTING("backend_host", text, backend_host, ""),
	SETTING("user_lock_timeout", time, user_lock_timeout_ms, "10s"),
	SETTING("index_lock_timeout", time, index_lock_timeout_ms, "5s"),
	SETTING("director", text, director, "", .shown = SETTINGS_URL),
	SETTING("director_timeout", time, director_timeout_ms, "10s"),
	SETTING("doveadm_url", text, doveadm_url, "", .shown = SETTINGS_URL),
	SETTING("doveadm_api_key", text, doveadm_api_key, "", .shown = SETTINGS_SECRET),
	SETTING("doveadm_api_key_file", directory, doveadm_api_key_file, ""),
};
const size_t settings_table_count = sizeof settings_table / sizeof settings_table[0];

const struct settings_def *settings_table_find(const char *key)
{
	for (size_t i = 0; i < settings_table_count; i++) {
		if (strcmp(settings_table[i].key, key) == 0)
			return &settings_table[i];
	}
	return NULL;
}

#define KEY_MAX 64

/* Levenshtein's distance; both are shorter than KEY_MAX. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[KEY_MAX];
	size_t b_len = strlen(b);

	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (unsigned i = 0; a[i] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < b_len; j++) {
			unsigned best = diagonal + (a[i] != b[j]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j + 1] + 1 < best)
				best = row[j + 1] + 1;
			diagonal = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[b_len];
}

const char *settings_table_nearest(const char *key)
{
	unsigned least = 1 + (unsigned)strnlen(key, KEY_MAX) / 3;
	const char *nearest = NULL;

	if (strlen(key) >= KEY_MAX)
		return NULL;
	for (size_t i = 0; i < settings_table_count; i++) {
		unsigned far = distance(key, settings_table[i].key);

		if (far < least || (far == least && !nearest)) {
			least = far;
			nearest = settings_table[i].key;
		}
	}
	return nearest;
}
