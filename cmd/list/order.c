#include "list/order.h"

#include <string.h>

#include "base/quote.h"
#include "metacache/weight.h"

int64_t order_weight(const struct order *order, const struct registry_user *user)
{
	int64_t weights[UNIT_PRIORITIES];

	return weight_user(order->settings, user->last_access, user->bytes_used,
			   order->totals.bytes_used, weights);
}

static int64_t by_weight(void *ctx, const struct registry_user *user)
{
	return order_weight(ctx, user);
}

static int64_t by_last_access(void *ctx, const struct registry_user *user)
{
	int64_t latest = 0;

	(void)ctx;
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		if (user->last_access[i] > latest)
			latest = user->last_access[i];
	}
	return latest;
}

/* The largest first. */
static int64_t by_size(void *ctx, const struct registry_user *user)
{
	int64_t sum = 0;

	(void)ctx;
	for (int i = 0; i < UNIT_PRIORITIES; i++) {
		if (__builtin_add_overflow(sum, user->bytes_used[i], &sum))
			return -INT64_MAX;
	}
	return -sum;
}

int order_parse(struct order *order, const char *name, struct err *err)
{
	static const struct {
		const char *name;
		registry_key_fn *key;
	} orders[] = {
		{ "username", NULL },
		{ "weight", by_weight },
		{ "last-access", by_last_access },
		{ "size", by_size },
	};

	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		if (strcmp(name, orders[i].name) == 0) {
			order->key = orders[i].key;
			return 0;
		}
	}
	return err_set(err, ERR_USAGE, "--sort %s: expected weight, last-access, size or username",
		       quote_str(name).s);
}

int order_each(const struct order *order, struct registry *registry, registry_fn *fn, void *ctx,
	       struct err *err)
{
	struct registry_order by = { .key = order->key, .ctx = (void *)order };

	if (!order->key)
		return registry_each(registry, fn, ctx, err);
	return registry_each_by(registry, &by, fn, ctx, err);
}
