/* Downloading a unit's bundles and reading what they say of themselves; fetch.h is the whole. */
#pragma once

#include "base/spool.h"
#include "bundle/bundle.h"
#include "metacache/metacache.h"
#include "metacache/remote.h"

/* The last base and the last diff that were downloaded are kept: reading a diff to choose it and
 * its base to unpack both are two downloads. */
struct fetch_slot {
	struct spool *spool;
	const struct remote_object *object; /* which one it holds; NULL: none */
};

struct fetch_load {
	const struct metacache *mc;
	const struct metacache_home *home;
	const struct remote_unit *remote;
	struct fetch_slot slots[2]; /* bases, diffs */
	uint64_t bytes;             /* downloaded so far */
	const char *refused;        /* name of the bundle that is no good; NULL: none */
};

struct fetch_load fetch_load_start(const struct metacache *mc, const struct metacache_home *home,
				   const struct remote_unit *remote);
void fetch_load_free(struct fetch_load *load);
#define autoload CLEANUP(fetch_load_free)

/* Have the object's bytes in a spool, which is lent until the next of its kind is asked for.
 * No more is taken than the listing announced. 1; 0 it is not there any more; -1. */
int fetch_load_bundle(struct fetch_load *load, const struct remote_object *object,
		      struct spool **spool_r, struct err *err);

/* The same, and its manifest, which has to say what the name says. 1, 0, -1 with ERR_DATA where it
 * is refused. */
int fetch_load_manifest(struct fetch_load *load, const struct remote_object *object,
			struct bundle_manifest *manifest, struct err *err);

/* The bundle by that name is no good, if the error says so: to be told. Returns -1. */
int fetch_load_refuse(struct fetch_load *load, const char *name, struct err *err);
