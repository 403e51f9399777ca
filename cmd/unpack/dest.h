/* The folder that a bundle is unpacked into: made aside and put in place by one
 * rename, so that it holds all of the bundle or is as it was. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct dest {
	char *name;     /* in its parent */
	char *staging;  /* beside it; NULL until it is made */
	int parent, fd; /* fd: the staging directory */
	bool exists;    /* as an empty directory */
	mode_t mode;    /* of the empty directory, and its owner */
	uid_t uid;
	gid_t gid;
};

/* Check that `path` is an empty directory or can be made. Nothing is made yet.
 * -1: ERR_CANTCREATE, or ERR_NOPERM. To be closed in any case. */
int dest_open(struct dest *dest, const char *path, struct err *err);

/* Make the staging directory; dest->fd is open for it. */
int dest_stage(struct dest *dest, struct err *err);

/* Put it in place. */
int dest_commit(struct dest *dest, struct err *err);

/* Remove what was not put in place. */
void dest_close(struct dest *dest);
#define autodest CLEANUP(dest_close)
