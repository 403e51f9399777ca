/* The units of a home: what is bundled as one.
 *
 * root    the regular files directly in the home
 * fts     a directory that the setting fts_dirs names, with all below it
 * folder  any other directory that holds a dovecot.index.log (LAYOUT=index:
 *         mailboxes/<guid>; the fs layout: mailboxes/Foo/dbox-Mails; Maildir++: .Foo)
 *
 * A scan looks at names, sizes, times and inodes only; it opens no file, so it
 * never counts as an access. What Dovecot can do without is no part of a unit:
 * dovecot.index.backup, locks, temporaries, and our own .state files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fsx.h"
#include "base/hash.h"
#include "base/vec.h"

#define UNIT_STATE_NAME ".state"
#define UNIT_PRIORITIES 4
#define UNIT_PRIORITY_SPECIAL 2

enum unit_kind {
	UNIT_ROOT,
	UNIT_FTS,
	UNIT_FOLDER,
};

struct unit_file {
	char *name; /* relative to the unit's directory */
	uint64_t ino;
	uint64_t size_bytes;
	int64_t mtime_ns;
	unsigned mode; /* permission bits */
};
VEC(unit_file_vec, struct unit_file);
void unit_files_free(struct unit_file_vec *files);

struct unit {
	enum unit_kind kind;
	unsigned priority; /* 0 root, 1 FTS, 2 INBOX and special folders, 3 others */
	char *path;        /* below home; "" is the root unit */
	char *id;          /* in storage: "" root, "fts" FTS, 32 hex of a folder */
	bool has_state;    /* there is a .state file: */
	struct fsx_stat state_stat;
	bool has_subdirs;           /* directories in it that are no part of it */
	uint64_t bytes;             /* sum of the files' sizes */
	int64_t newest_ns;          /* newest modification of a file */
	struct unit_file_vec files; /* sorted by name */
};
VEC(unit_vec, struct unit);

/* Which directories are what; from the settings. */
struct unit_rules {
	const struct str_vec *fts_dirs;
	const struct str_vec *special_folders;
};

struct home {
	struct unit_vec units; /* the root unit first, then by path */
	char *foreign;         /* first path that belongs to no unit, or NULL: such a home is
				  never removed whole */
};

/* Look at the home whose directory is `homefd`. 0 or -1 (unreadable, too deep):
 * then nothing is known. A home without any Dovecot file has no units. */
int unit_scan(int homefd, const struct unit_rules *rules, struct home *home_r, struct err *err);
void unit_home_free(struct home *home);

/* Changes whenever a file of a unit or its .state does; equal fingerprints mean:
 * nothing happened. Not stored in any format but the registry's. */
void unit_fingerprint(const struct home *home, unsigned char fingerprint_r[HASH_CONTENT_SIZE]);

/* Take over how the unit's files were seen later (copied). */
void unit_set_files(struct unit *unit, const struct unit_file_vec *files);

/* Look again at one unit only, whose directory is `unitfd`. */
int unit_rescan(int unitfd, const char *path, const struct unit_rules *rules, struct unit *unit_r,
		struct err *err);
void unit_free(struct unit *unit);
#define autounit CLEANUP(unit_free)
#define autohome CLEANUP(unit_home_free)

/* The id in storage of a folder's path: its last component where that is a GUID
 * (32 lower-case hex digits), else the MD5 of the path in hex. */
void unit_folder_id(const char *path, char id_r[33]);

/* Kind, id and priority that a path has under these rules. */
void unit_classify(const char *path, const struct unit_rules *rules, struct unit *unit_r);

/* Whether a path, or a folder's name, is that of the INBOX or a special folder. */
bool unit_is_special(const char *path, const struct unit_rules *rules);

struct unit *unit_find(const struct home *home, const char *path);
struct unit *unit_find_id(const struct home *home, const char *id);

/* How deep names in a unit may be: 1, or more in an FTS unit. */
unsigned unit_name_depth(enum unit_kind kind);

/* "INBOX folder .INBOX", "root indexes": for messages. Static or `unit`'s text. */
const char *unit_title(const struct unit *unit);
