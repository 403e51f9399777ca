/* What a manifest may say: the same rules when one is made and when one is read.
 * Inside lib/bundle only. */
#pragma once

#include "bundle/bundle.h"

#define BUNDLE_DEPTH_MAX 16 /* components of a name in any bundle */

/* Every member: text, names, ids, ranges, duplicates, sums. 0 with the sum of the
 * files' sizes, or -1 ERR_DATA naming the member. */
int bundle_check_manifest(const struct bundle_manifest *manifest, uint64_t *total_r,
			  struct err *err);

/* Empty the list and free what it holds. */
void bundle_check_free_files(struct bundle_file_vec *files);
