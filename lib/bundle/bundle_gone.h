/* Folders that were deleted, as the root indexes' manifest and .state name them. Their bundles
 * stay in storage. Those that were listed when the deletion was noted are named too: what is under
 * the same id and not among them was put there by somebody who has such a folder again.
 *
 * "gone":["<id>",…],"gone_bundles":{"<id>":["<name>",…]} */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"

struct json;

struct bundle_gone {
	char *id;
	bool noted; /* else an older program noted only the id */
	struct str_vec bundles;
};
VEC(bundle_gone_vec, struct bundle_gone);

void bundle_gone_free(struct bundle_gone_vec *gone);

/* NULL: not among them. */
const struct bundle_gone *bundle_gone_find(const struct bundle_gone_vec *gone, const char *id);

/* Add one; the names (may be NULL: not noted) are copied. */
void bundle_gone_add(struct bundle_gone_vec *gone, const char *id, const struct str_vec *bundles);

/* Replace all. */
void bundle_gone_copy(struct bundle_gone_vec *to, const struct bundle_gone_vec *from);

/* Whether a bundle is from before the deletion by the order of names: a new base sorts after all
 * that its writer saw listed. True for any where it is not known. */
bool bundle_gone_is_before(const struct bundle_gone *gone, const char *bundle);

/* Both members of a document; absent ones are empty. 0, or -1 (ERR_DATA) also for what is no
 * bundle's name. */
int bundle_gone_read(const struct json *root, struct bundle_gone_vec *gone_r, struct err *err);

/* Set those members that are not empty. */
void bundle_gone_set(struct json *root, const struct bundle_gone_vec *gone);
