/* Reading what fscache-status tells. */
#pragma once

#include "fscache-status/forms.h"

struct gather_options {
	const struct str_vec *paths;
	/* The limit is that of these directories; of others it is not known. */
	const struct str_vec *limited;
	uint64_t limit_bytes;
	bool scan;
	struct fscache_held_look *held;
};

/* All that can be known of the paths; what cannot is an error of its cache. */
void gather(const struct gather_options *options, struct forms *forms_r);
void gather_free(struct forms *forms);
