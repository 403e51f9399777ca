#include "store/store_fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/quote.h"
#include "base/vec.h"
#include "store/store_driver.h"

enum action {
	DO_NOTHING,
	DO_FAIL,
	DO_UNAVAILABLE,
	DO_500,
	DO_DENIED,
	DO_FULL,
	DO_NOTFOUND,
	DO_LOST,
	DO_TRUNCATE,
	DO_SHORT,
	DO_CORRUPT,
	DO_PARTIAL,
	DO_KILL,
	DO_KILL_AFTER,
	DO_COUNT,
};

#define ON(kind) (1U << (kind))
#define ON_ALL (ON(STORE_KINDS) - 1)

static const struct {
	const char *name;
	unsigned kinds;
} actions[DO_COUNT] = {
	[DO_FAIL] = { "fail", ON_ALL },
	[DO_UNAVAILABLE] = { "unavailable", ON_ALL },
	[DO_500] = { "500", ON_ALL },
	[DO_DENIED] = { "denied", ON_ALL },
	[DO_FULL] = { "full", ON_ALL },
	[DO_NOTFOUND] = { "notfound", ON(STORE_GET) | ON(STORE_HEAD) },
	[DO_LOST] = { "lost", ON_ALL },
	[DO_TRUNCATE] = { "truncate", ON(STORE_GET) | ON(STORE_LIST) },
	[DO_SHORT] = { "short", ON(STORE_GET) },
	[DO_CORRUPT] = { "corrupt", ON(STORE_GET) },
	[DO_PARTIAL] = { "partial", ON(STORE_DELETE) },
	[DO_KILL] = { "kill", ON_ALL },
	[DO_KILL_AFTER] = { "kill-after", ON_ALL },
};

static const char *const kind_names[STORE_KINDS] = { "put", "get", "head", "list", "delete" };

struct rule {
	enum store_kind kind;
	unsigned long first, last; /* calls, counted from 1 */
	enum action action;
};
VEC(rule_vec, struct rule);

struct fault {
	struct store_driver driver;
	struct store_driver *inner;
	struct rule_vec rules;
	atomic_ulong calls[STORE_KINDS];
};

static int parse_kind(const char *text, size_t len, enum store_kind *kind_r)
{
	for (int i = 0; i < STORE_KINDS; i++) {
		if (strlen(kind_names[i]) == len && memcmp(kind_names[i], text, len) == 0) {
			*kind_r = (enum store_kind)i;
			return 0;
		}
	}
	return -1;
}

static int parse_which(const char *text, size_t len, struct rule *rule)
{
	size_t digits = strspn(text, "0123456789");

	rule->first = 1;
	rule->last = (unsigned long)-1;
	if (len == 1 && text[0] == '*')
		return 0;
	if (digits == 0 || digits > 9)
		return -1;
	rule->first = strtoul(text, NULL, 10);
	if (len == digits)
		rule->last = rule->first;
	else if (len != digits + 1 || text[digits] != '+')
		return -1;
	return rule->first == 0 ? -1 : 0;
}

static int parse_action(const char *text, size_t len, struct rule *rule)
{
	for (int i = DO_NOTHING + 1; i < DO_COUNT; i++) {
		if (strlen(actions[i].name) == len && memcmp(actions[i].name, text, len) == 0) {
			rule->action = (enum action)i;
			return actions[i].kinds & ON(rule->kind) ? 0 : -1;
		}
	}
	return -1;
}

static int parse_rule(const char *text, size_t len, struct rule *rule)
{
	const char *at = memchr(text, '@', len);
	const char *equals = at ? memchr(at, '=', len - (size_t)(at - text)) : NULL;

	if (!equals || parse_kind(text, (size_t)(at - text), &rule->kind) < 0 ||
	    parse_which(at + 1, (size_t)(equals - at - 1), rule) < 0)
		return -1;
	return parse_action(equals + 1, len - (size_t)(equals + 1 - text), rule);
}

static int parse_rules(const char *text, struct rule_vec *rules, struct err *err)
{
	for (;;) {
		size_t len = strcspn(text, ",");
		struct rule rule;

		if (parse_rule(text, len, &rule) < 0)
			return err_set(err, ERR_CONFIG,
				       "fault: %s is not of the form kind@N=action",
				       quote_mem(text, len).s);
		vec_push(rules, rule);
		if (text[len] == '\0')
			return 0;
		text += len + 1;
	}
}

int store_fault_check(const char *rules, struct err *err)
{
	struct rule_vec parsed = { 0 };
	int ret = parse_rules(rules, &parsed, err);

	vec_free(&parsed);
	return ret;
}

static struct fault *fault_of(struct store_driver *driver)
{
	return (struct fault *)(void *)driver;
}

static enum action next_action(struct fault *fault, enum store_kind kind)
{
	unsigned long call = atomic_fetch_add(&fault->calls[kind], 1) + 1;

	for (size_t i = 0; i < fault->rules.count; i++) {
		const struct rule *rule = &fault->rules.items[i];

		if (rule->kind == kind && call >= rule->first && call <= rule->last)
			return rule->action;
	}
	return DO_NOTHING;
}

static void kill_self(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static int unavailable(struct err *err, const char *how)
{
	err_set(err, ERR_UNAVAILABLE, "injected: %s", how);
	return err_again(err);
}

/* What is decided before anything is done: -1 failed, 0 not there, 1 go on. */
static int before(enum action action, struct err *err)
{
	switch (action) {
	case DO_FAIL:
		return err_set(err, ERR_IO, "injected: failure");
	case DO_UNAVAILABLE:
		return unavailable(err, "the store does not answer");
	case DO_500:
		return unavailable(err, "status 500 InternalError");
	case DO_DENIED:
		return err_set(err, ERR_NOPERM, "injected: status 403 AccessDenied");
	case DO_FULL:
		return err_set(err, ERR_CANTCREATE, "injected: status 507, the store is full");
	case DO_NOTFOUND:
		return 0;
	case DO_KILL:
		kill_self();
		break;
	default:
		break;
	}
	return 1;
}

/* What comes after the call was done with `ret`. */
static int after(enum action action, int ret, struct err *err)
{
	if (action == DO_KILL_AFTER)
		kill_self();
	if (action == DO_LOST && ret >= 0)
		return unavailable(err, "the reply was lost");
	return ret;
}

static int fault_put(struct store_driver *driver, const struct store_put_args *args,
		     struct err *err)
{
	struct fault *fault = fault_of(driver);
	enum action action = next_action(fault, STORE_PUT);

	if (before(action, err) < 0)
		return -1;
	return after(action, fault->inner->ops->put(fault->inner, args, err), err);
}

static int damage(enum action action, struct spool *into, struct err *err)
{
	uint64_t size = spool_size(into);
	autofree char *data = xmalloc((size_t)size + 1);
	uint64_t got = 0;
	ssize_t n;

	while ((n = spool_read(into, got, data + got, (size_t)(size - got), err)) > 0)
		got += (uint64_t)n;
	if (n < 0)
		return -1;
	if (action == DO_CORRUPT && size > 0)
		data[size / 2] = (char)(data[size / 2] ^ 0x10);
	spool_reset(into);
	if (spool_write(into, data, (size_t)(action == DO_CORRUPT ? size : size / 2), err) < 0)
		return -1;
	if (action == DO_TRUNCATE)
		return err_set(err, ERR_DATA, "injected: %llu bytes of %llu were received",
			       (unsigned long long)(size / 2), (unsigned long long)size);
	return 1;
}

static int fault_get(struct store_driver *driver, const char *key, struct spool *into,
		     struct err *err)
{
	struct fault *fault = fault_of(driver);
	enum action action = next_action(fault, STORE_GET);
	int ret = before(action, err);

	if (ret <= 0)
		return ret;
	ret = fault->inner->ops->get(fault->inner, key, into, err);
	if (ret > 0 && (action == DO_TRUNCATE || action == DO_SHORT || action == DO_CORRUPT))
		return damage(action, into, err);
	return after(action, ret, err);
}

static int fault_head(struct store_driver *driver, const char *key, struct store_head *head_r,
		      struct err *err)
{
	struct fault *fault = fault_of(driver);
	enum action action = next_action(fault, STORE_HEAD);
	int ret = before(action, err);

	if (ret <= 0)
		return ret;
	ret = fault->inner->ops->head(fault->inner, key, head_r, err);
	if (ret > 0 && action == DO_LOST)
		store_head_free(head_r);
	return after(action, ret, err);
}

/* Every other entry only, in both meanings of half. */
struct half {
	const struct store_list_args *args;
	uint64_t seen;
};

static int count_entry(void *ctx, const struct store_object *object)
{
	(void)object;
	((struct half *)ctx)->seen++;
	return 0;
}

static int pass_entry(void *ctx, const struct store_object *object)
{
	struct half *half = ctx;

	if (half->seen == 0)
		return 1;
	half->seen--;
	return half->args->fn(half->args->ctx, object);
}

static int list_half(struct store_driver *inner, const struct store_list_args *args,
		     struct err *err)
{
	struct half half = { args, 0 };
	struct store_list_args own = *args;

	own.ctx = &half;
	own.fn = count_entry;
	if (inner->ops->list(inner, &own, err) < 0)
		return -1;
	half.seen /= 2;
	own.fn = pass_entry;
	if (inner->ops->list(inner, &own, err) < 0)
		return -1;
	return err_set(err, ERR_DATA, "injected: the listing was cut short");
}

static int fault_list(struct store_driver *driver, const struct store_list_args *args,
		      struct err *err)
{
	struct fault *fault = fault_of(driver);
	enum action action = next_action(fault, STORE_LIST);

	if (before(action, err) < 0)
		return -1;
	if (action == DO_TRUNCATE)
		return list_half(fault->inner, args, err);
	return after(action, fault->inner->ops->list(fault->inner, args, err), err);
}

static int remove_half(struct store_driver *inner, const char *const *keys, size_t count,
		       bool *deleted_r, struct err *err)
{
	for (size_t i = 1; i < count; i += 2) {
		if (inner->ops->remove(inner, &keys[i], 1, &deleted_r[i], err) < 0)
			return -1;
	}
	return unavailable(err, "some objects were not deleted");
}

static int fault_remove(struct store_driver *driver, const char *const *keys, size_t count,
			bool *deleted_r, struct err *err)
{
	struct fault *fault = fault_of(driver);
	enum action action = next_action(fault, STORE_DELETE);
	int ret;

	if (before(action, err) < 0)
		return -1;
	if (action == DO_PARTIAL)
		return remove_half(fault->inner, keys, count, deleted_r, err);
	ret = fault->inner->ops->remove(fault->inner, keys, count, deleted_r, err);
	if (action == DO_LOST)
		memset(deleted_r, 0, count * sizeof *deleted_r);
	return after(action, ret, err);
}

static void fault_close(struct store_driver *driver)
{
	struct fault *fault = fault_of(driver);

	fault->inner->ops->close(fault->inner);
	vec_free(&fault->rules);
	free(fault);
}

void store_fault_open(const struct store_driver_args *args, struct store_driver *inner,
		      struct store_driver **driver_r)
{
	struct fault *fault = xcalloc(1, sizeof *fault);
	static const struct store_driver_ops ops = {
		.put = fault_put,
		.get = fault_get,
		.head = fault_head,
		.list = fault_list,
		.remove = fault_remove,
		.close = fault_close,
	};

	fault->driver.ops = &ops;
	fault->driver.caps = inner->caps;
	fault->driver.name = inner->name;
	fault->inner = inner;
	/* Checked when the chain was parsed. */
	parse_rules(args->url->fault_rules, &fault->rules, NULL);
	*driver_r = &fault->driver;
}
