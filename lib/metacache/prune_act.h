/* What is done about one user who belongs elsewhere; prune.h is the whole. Thread-safe. */
#pragma once

#include <pthread.h>

#include "base/buf.h"
#include "metacache/prune.h"
#include "metacache/prune_look.h"

struct workers;

struct prune_act {
	const struct metacache *mc;
	struct prune_options options;
	struct owner *owner;
	struct workers *units; /* for users with many changes */
	int64_t now_s;
	pthread_mutex_t mutex; /* guards what follows */
	uint64_t taken;        /* users that are deleted, or about to be */
};

void prune_act_init(struct prune_act *act, const struct metacache *mc,
		    const struct prune_options *options, struct owner *owner);
void prune_act_deinit(struct prune_act *act);

enum prune_age prune_act_age(const struct prune_act *act, int64_t last_access_s);

/* Of whom the first lookup said so. */
struct prune_user {
	const char *name, *host;
	enum owner_where where;
};

/* What a result points to, beside the user. */
struct prune_texts {
	struct buf lost;
	char kept[4096];
};
void prune_act_free_texts(struct prune_texts *texts);

/* Decide, and do it where that is asked for. `texts` are to be freed. */
void prune_act_user(struct prune_act *act, const struct prune_user *user, struct prune_texts *texts,
		    struct prune_result *result_r);
