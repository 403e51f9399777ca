/* What the metacache as a whole looks like: the registry's totals against the limits, and the
 * filesystems that it is on. No tree and no storage is read. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "conf/settings.h"
#include "metacache/registry.h"
#include "store/store.h"

struct status_root {
	char *path;
	bool configured; /* else users are still registered in it */
	struct registry_totals totals;
	bool has_space;       /* the filesystem could be asked */
	uint64_t size_bytes;  /* of the filesystem */
	uint64_t avail_bytes; /* what anybody but root may still use */
	struct err err;       /* why it could not be asked */
};
VEC(status_root_vec, struct status_root);

struct status_requests {
	uint64_t count, bytes;
};

struct status_rescan {
	int64_t when; /* UNIX seconds; 0: none was complete since the registry was made */
	uint64_t added, corrected, removed, bytes_off;
};

struct status {
	int64_t now; /* UNIX seconds */
	struct registry_totals totals;
	uint64_t bytes_used; /* of all priorities */
	struct status_root_vec roots;
	struct status_requests requests[STORE_KINDS]; /* since the registry was made */
	struct status_rescan rescan;
};

/* 0, or -1 when the registry can't be read. A filesystem that can't be asked is told in its
 * root. */
int status_read(const struct settings *settings, struct registry *registry, struct status *status_r,
		struct err *err);
void status_free(struct status *status);
#define autostatus CLEANUP(status_free)

/* `part` of `whole` in percent, rounded to the nearest; 0 where `whole` is. */
uint64_t status_percent(uint64_t part, uint64_t whole);

/* Seconds since then, 0 for a time that is yet to come. */
uint64_t status_age(const struct status *status, int64_t when);

/* "root", "FTS", "INBOX and Junk", "other folders". */
const char *status_priority_name(unsigned priority);
