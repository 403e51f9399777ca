/* .state: what a unit's directory knows of itself. A JSON file beside the index
 * files, replaced atomically, the truth that the registry is a cache of.
 *
 * {"version":1,"boot":"1700000000.000000001","host":"b1","user":"u@d","unit":"…",
 *  "base":"bundle.…","base_bytes":1,"diffs":[],"diff_bytes":0,
 *  "superseded":[],"unmerged":[],"next":"<32 hex>","tried":<ns>,
 *  "log":{"indexid":1,"seq":2,"offset":3},"uploaded":<ns>,"last_access":<s>,"last_service":"imap","refresh":false,
 *  "standing":"obsolete","installing":"bundle.…","folders":["mailboxes/…"],"gone":…,
 *  "files":[{"name":"dovecot.index","size":1,"mtime":<ns>,"ino":2}],"replaced":[…]}
 *
 * `next` is the unique part of the next bundle's name, written down before it is
 * used: a bundle that has it in its name was written from this very tree, also
 * when the reply to the upload was lost or the writer was killed before it could
 * note the upload here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fsx.h"
#include "base/vec.h"
#include "bundle/bundle_gone.h"
#include "bundle/bundle_name.h"
#include "index/index_changes.h"
#include "metacache/unit.h"

#define STATE_VERSION 1
#define STATE_BYTES_MAX (32 * 1024 * 1024)

/* How this tree stood to storage when that was last looked at. */
enum state_standing {
	STATE_CURRENT,
	STATE_OBSOLETE, /* storage had a newer one, and nothing would be lost here */
	STATE_CONFLICT, /* storage had another writer's bundle, and not all of this tree */
};

struct state {
	char *boot; /* of the host when this was written: ctime of /proc */
	char *host;
	char *user;
	char *unit;                /* path below home */
	char *base;                /* bundle this tree was built from or uploaded as; NULL: none */
	uint64_t base_bytes;       /* of the object; a listing has to agree before local files go */
	struct str_vec diffs;      /* on that base, applied here */
	uint64_t diff_bytes;       /* of their objects together */
	struct str_vec superseded; /* in storage, contained in base or diffs: to be deleted */
	struct str_vec unmerged;   /* of another writer, seen and not contained: a conflict */
	enum state_standing standing; /* as found; see state_standing() */
	char next[BUNDLE_UNIQUE_HEX + 1];
	int64_t tried_ns; /* in the name of a try with `next` whose reply was a failure; 0: none */
	struct index_position log;     /* end of Dovecot's log at the last upload or download;
					  indexid 0: there was none, or it could not be read */
	int64_t uploaded_ns;           /* 0: never */
	int64_t last_access;           /* UNIX seconds, by a session or a refresh */
	char *last_service;            /* "" unknown */
	bool refresh;                  /* marked: look at storage at the next chance */
	char *installing;              /* files are being replaced by this bundle's; NULL: no */
	struct str_vec folders;        /* root unit: paths of the folder units that are here */
	struct bundle_gone_vec gone;   /* root unit: folder units that were deleted */
	struct unit_file_vec files;    /* as they were at the last upload or download; sorted */
	struct unit_file_vec replaced; /* while installing: what was here, and may go; sorted */
};

void state_free(struct state *state);
#define autostate CLEANUP(state_free)

/* A state that knows nothing yet but whose it is; with a fresh `next`. */
void state_init(struct state *state, const char *user, const char *unit);

/* Read <unit>/.state. 1, 0 there is none, -1 (ERR_DATA: torn or of a later version). */
int state_read(int unitfd, struct state *state_r, struct err *err);

/* The same, but 0 also for the state of another user or unit: Dovecot renames a
 * folder with its directory and all in it, and what was uploaded is of the old name. */
int state_read_of(int unitfd, const char *user, const char *unit, struct state *state_r,
		  struct err *err);

/* The tree may have been copied from another host: what that writes under the next name
 * is not this tree's then. */
void state_disown(struct state *state, const char *host);

/* The same from text; 0 or -1. */
int state_parse(const char *text, size_t len, struct state *state_r, struct err *err);

/* Replace it. Not fsynced: a host that crashes throws its cache away. stat_r (may be
 * NULL) is that of the new file. */
int state_write(int unitfd, const struct state *state, struct fsx_stat *stat_r, struct err *err);

/* How it stands: with unmerged bundles in conflict, whatever was found else. */
enum state_standing state_standing(const struct state *state);

/* Whether this bundle is the base or one of the diffs that the tree was made of. */
bool state_is_applied(const struct state *state, const char *bundle);

/* Take over the unit's files as those of the last upload. */
void state_set_files(struct state *state, const struct unit_file_vec *files);

/* Whether two lists of files are the same: names, sizes, times, inodes. */
bool state_same_files(const struct unit_file_vec *a, const struct unit_file_vec *b);

/* Whether the unit's files are what they were then: names, sizes, times, inodes. */
bool state_matches(const struct state *state, const struct unit_file_vec *files);

/* Whether each of these files is one of the new or of the old ones of a tree that is being
 * installed: then nobody has changed any since. */
bool state_accounts_for(const struct state *state, const struct unit_file_vec *files);

/* Whether nothing is left to upload, to tidy or to tell for a unit with these files. */
bool state_settled(const struct state *state, const struct unit_file_vec *files);
