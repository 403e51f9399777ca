/* In which order metacache-list prints: --sort. */
#pragma once

#include "metacache/metacache.h"

struct order {
	const struct settings *settings;
	struct registry_totals totals;
	registry_key_fn *key; /* NULL: by name */
};

/* 0 with order->key; -1 ERR_USAGE. */
int order_parse(struct order *order, const char *name, struct err *err);

/* The weight of what would be cleaned first. */
int64_t order_weight(const struct order *order, const struct registry_user *user);

/* registry_each() in this order. */
int order_each(const struct order *order, struct registry *registry, registry_fn *fn, void *ctx,
	       struct err *err);
