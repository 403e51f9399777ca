/*
 * What s3sink does wrong, and when: rules such as
 *     kind=put nth=3 count=1 do=500
 * matched against every request. Locking is the caller's.
 */
#ifndef S3SINK_RULES_H
#define S3SINK_RULES_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	KIND_PUT,
	KIND_GET,
	KIND_HEAD,
	KIND_LIST,
	KIND_DELETE,
	KIND_DELETE_MANY,
	KIND_OTHER, /* buckets */
	KIND_COUNT,
};

static const char *const kind_names[KIND_COUNT] = { "put",    "get",         "head", "list",
						    "delete", "delete_many", "other" };

enum action {
	DO_NOTHING,
	DO_403,
	DO_404,
	DO_429,
	DO_500,
	DO_503,
	DO_RESET,         /* RST, nothing was done */
	DO_CLOSE,         /* FIN, nothing was done */
	DO_LOST_REPLY,    /* done, then FIN without an answer */
	DO_TRUNCATE_BODY, /* done, then half of the promised answer */
	DO_CORRUPT,       /* done, one bit of the answer's body is wrong */
	DO_GARBAGE,       /* 200 with an <Error> document, nothing was done */
	DO_EMPTY,         /* 200 with no body, nothing was done */
	DO_BAD_XML,       /* 200 with a document that ends in the middle */
	DO_HUGE_XML,      /* 200 with a listing that goes on for 4 GiB */
	DO_DOCTYPE,       /* 200 with a document that has a DOCTYPE and an entity */
	DO_FOREIGN_KEYS,  /* a listing of names outside the prefix, some hostile */
	DO_NO_TOKEN,      /* a truncated listing without a token */
	DO_SAME_TOKEN,    /* a truncated listing whose token leads to itself */
	DO_PARTIAL,       /* delete_many: every other key is refused */
	DO_COUNT,
};

static const char *const action_names[DO_COUNT] = {
	"nothing",       "403",          "404",
	"429",           "500",          "503",
	"reset",         "close",        "close-before-reply",
	"truncate-body", "corrupt",      "garbage",
	"200-empty",     "bad-xml",      "huge-xml",
	"doctype",       "foreign-keys", "no-token",
	"same-token",    "partial",
};

struct rule {
	unsigned kinds; /* a bit for each enum kind */
	unsigned nth, count;
	unsigned seen, hits;
	unsigned delay_ms;
	enum action action;
	char key_part[128];
};

struct rules {
	struct rule *all;
	size_t count;
};

static inline int rules_name_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

static inline int rules_number(const char *text, unsigned *value_r)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || value > 1000000000)
		return -1;
	*value_r = (unsigned)value;
	return 0;
}

static inline int rules_kinds(const char *text, unsigned *kinds_r)
{
	if (strcmp(text, "any") == 0) {
		*kinds_r = (1U << KIND_COUNT) - 1;
		return 0;
	}
	int kind = rules_name_index(kind_names, KIND_COUNT, text);
	if (kind >= 0)
		*kinds_r = 1U << kind;
	return kind < 0 ? -1 : 0;
}

static inline int rules_action(const char *text, struct rule *rule)
{
	if (strncmp(text, "slow=", 5) == 0)
		return rules_number(text + 5, &rule->delay_ms);
	int action = rules_name_index(action_names, DO_COUNT, text);
	if (action >= 0)
		rule->action = (enum action)action;
	return action < 0 ? -1 : 0;
}

static inline int rules_word(char *word, struct rule *rule)
{
	char *value = strchr(word, '=');
	if (value == NULL)
		return -1;
	*value++ = '\0';
	if (strcmp(word, "kind") == 0)
		return rules_kinds(value, &rule->kinds);
	if (strcmp(word, "nth") == 0)
		return rules_number(value, &rule->nth);
	if (strcmp(word, "count") == 0)
		return rules_number(value, &rule->count);
	if (strcmp(word, "do") == 0)
		return rules_action(value, rule);
	if (strcmp(word, "key") != 0 || strlen(value) >= sizeof(rule->key_part))
		return -1;
	memcpy(rule->key_part, value, strlen(value) + 1);
	return 0;
}

/* One rule from one line, which is changed. 0, or -1: not a rule. */
static inline int rules_add(struct rules *rules, char *line)
{
	struct rule rule = { .kinds = (1U << KIND_COUNT) - 1, .nth = 1, .count = 1 };
	char *save = NULL;
	for (char *w = strtok_r(line, " \t\r", &save); w; w = strtok_r(NULL, " \t\r", &save)) {
		if (rules_word(w, &rule) < 0)
			return -1;
	}
	if (rule.nth == 0 || (rule.action == DO_NOTHING && rule.delay_ms == 0))
		return -1;
	struct rule *all = realloc(rules->all, (rules->count + 1) * sizeof(*all));
	if (all == NULL)
		abort();
	rules->all = all;
	all[rules->count++] = rule;
	return 0;
}

/* What happens to this request: delays add up, the first other action wins. */
static inline enum action rules_match(struct rules *rules, enum kind kind, const char *key,
				      unsigned *delay_ms_r)
{
	enum action action = DO_NOTHING;
	*delay_ms_r = 0;
	for (size_t i = 0; i < rules->count; i++) {
		struct rule *r = &rules->all[i];
		if ((r->kinds & 1U << kind) == 0 || strstr(key, r->key_part) == NULL)
			continue;
		r->seen++;
		if (r->seen < r->nth || (r->count > 0 && r->seen - r->nth >= r->count))
			continue;
		r->hits++;
		*delay_ms_r += r->delay_ms;
		if (action == DO_NOTHING)
			action = r->action;
	}
	return action;
}

#endif
