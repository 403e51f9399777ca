/* Reading what fscache-status tells. */
#pragma once

#include "fscache-status/forms.h"

/* All that can be known of these directories; what cannot is an error of its cache. 0 or -1. */
int gather(const struct str_vec *paths, uint64_t limit_bytes, bool scan, struct forms *forms_r,
	   struct err *err);
void gather_free(struct forms *forms);
