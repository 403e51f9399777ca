/* Dovecot 2.3's %variables, for the places where a user's files are: both ways.
 *
 * A variable is  %[-][0][offset.][[-]width][modifiers]name  as in Dovecot's
 * src/lib/var-expand.c, and the result is the same byte for byte. Names: u user,
 * n the part before the first @, d the part after it ("" without one), h the home
 * directory where there is one, and %{user} %{username} %{domain} %{home}; %% is a
 * percent sign. Modifiers, applied in the order written: L lower case, U upper
 * case (ASCII only), E escape " ' \ with \, X decimal to hex, R reverse, H and N
 * hashes (width is the modulus, offset the number of digits to pad to), M MD5 in
 * hex, D dots to ",dc=", T trim white space at the end.
 *
 * Unlike Dovecot, an unknown variable or a pattern that ends within one is an
 * error, never text. Thread-safe. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define EXPAND_USER_MAX 255
#define EXPAND_PATH_MAX 4095

/* What a pattern is expanded for. It points into the text that it was made
 * from, which has to outlive it. */
struct expand_user {
	const char *user;
	const char *domain;
	const char *home; /* for %h; NULL where no pattern may use it */
	char name[EXPAND_USER_MAX + 1];
};

/* Whether this can be a user here. A user name becomes one folder name and one
 * component of an object name, so it is refused (-1, ERR_USAGE, the name shown
 * escaped) when it is empty or over 255 bytes, is no valid UTF-8, holds a '/' or
 * a control character, begins with a dot (such names are ours, and . and .. are
 * nobody's), or has nothing before its first @ or after it. */
int expand_user_check(const char *user, struct err *err);

/* Check the name and take it apart; `home` is NULL afterwards. */
int expand_user_init(struct expand_user *user_r, const char *user, struct err *err);

/* Append the expanded text, whatever it is. -1 (ERR_CONFIG) for a bad pattern or a
 * result over EXPAND_PATH_MAX bytes; `out` is as before then. */
int expand_text(const char *pattern, const struct expand_user *user, struct buf *out,
		struct err *err);

/* The same, but the result has to be a safe path, relative or absolute: no
 * component is empty, ".", ".." or over 255 bytes (ERR_USAGE: with this pattern
 * the user can have no home). */
int expand_path(const char *pattern, const struct expand_user *user, struct buf *out,
		struct err *err);

/* The inverse: whose path is it? 1: `user_r` holds the name, and expand_path() gives
 * this very path for it; 0: no user's; -1: the pattern is not invertible. The
 * path has no slash at its end. */
int expand_invert(const char *pattern, const char *path, struct buf *user_r, struct err *err);

/* At configuration time. 0: every variable is known (%h is not), and no folder
 * name in it is bad. -1 (ERR_CONFIG): what is wrong with it. */
int expand_check_text(const char *pattern, struct err *err);

/* expand_check_text(), and expand_invert() works: some folder name holds %u alone
 * (text around it is fine) or is %n@%d, or one holds %n and another one %d. */
int expand_check(const char *pattern, struct err *err);

/* Put the longest leading directory without variables into `prefix_r` ("/srv/mail"
 * of "/srv/mail/%d/%n", "" of "%u/x" and of "/%u") and return what of the pattern
 * follows it, without a slash in front ("%d/%n"; "" where nothing follows). */
const char *expand_static_prefix(const char *pattern, struct buf *prefix_r);

/* The pattern with a * for each variable (base/wildcard.h): what it can come out as. 0 or -1. */
int expand_mask(const char *pattern, struct buf *mask_r, struct err *err);

/* The number of path components of a relative pattern. */
size_t expand_depth(const char *pattern);
