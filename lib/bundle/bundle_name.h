/* Names of objects of a unit, as Dovecot's obox documents them:
 *   base  bundle.<secs hex>.<usecs hex, 5>.<32 hex unique>
 *   diff  <base name>-<32 hex unique>
 * and where they live: <object prefix>/[mailboxes/<32 hex id>/|fts/]idx/<name>. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define BUNDLE_UNIQUE_HEX 32

struct bundle_name {
	bool is_diff;
	int64_t base_time_us; /* of the base, UNIX microseconds */
	char base_unique[BUNDLE_UNIQUE_HEX + 1];
	char diff_unique[BUNDLE_UNIQUE_HEX + 1]; /* "" of a base */
};

/* Read a name (no slashes). true, or false where it is no bundle's name. Strict:
 * lower-case hex, no leading zeros in secs beyond one digit, usecs < 1000000. */
bool bundle_name_parse(const char *name, struct bundle_name *name_r);

/* A fresh unique part: 32 hex digits, random. */
void bundle_name_unique(char unique_r[BUNDLE_UNIQUE_HEX + 1]);

/* The unique part of one try to write a diff: it begins as `unique`, by which its
 * writer knows it again, and ends with the time. So no two tries have the same name. */
void bundle_name_try(const char *unique, int64_t time_ns, char try_r[BUNDLE_UNIQUE_HEX + 1]);

/* Whether `name` was made from this unique part. */
bool bundle_name_is_try_of(const struct bundle_name *name, const char *unique);

/* When it was made, UNIX microseconds: of a diff itself, not of its base. */
int64_t bundle_name_time_us(const struct bundle_name *name);

/* Whether both were made from the same unique part, `a` before `b`. */
bool bundle_name_is_earlier_try(const struct bundle_name *a, const struct bundle_name *b);

/* Append the name of a base made at `time_ns` / of a diff on `base`. */
void bundle_name_base(struct buf *out, int64_t time_ns, const char *unique);
void bundle_name_diff(struct buf *out, const char *base, const char *unique);

/* The unique part that names who made it: of a diff its own, of a base its own. */
const char *bundle_name_own_unique(const struct bundle_name *name);

/* Order: time of the base, then its unique part, then base before diff, then the diff's. */
int bundle_name_compare(const struct bundle_name *a, const struct bundle_name *b);
