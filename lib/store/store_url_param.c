#include "store/store_url_param.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/quote.h"
#include "base/units.h"
#include "store/store_url_s3.h"

#define INHERIT_MS (-1)
#define INHERIT UINT32_MAX
#define BULK_DELETE_MAX 1000 /* what S3 takes in one request */

enum type {
	TIME,      /* time_msecs; NAME_msecs=<ms> is its deprecated form */
	NUMBER,    /* 0 to 1000000 */
	TEXT,      /* not empty, at most once */
	HEADER,    /* Name:value, repeatable */
	NAME,      /* header name, repeatable */
	TOKEN_VAR, /* addhdrvar */
	IGNORED,   /* known, without effect here */
};

struct param {
	const char *name;
	enum type type;
	size_t offset;
};

#define AT(field) offsetof(struct store_url_s3, field)

static const struct param params[] = {
	{ "absolute_timeout", TIME, AT(absolute_timeout_ms) },
	{ "addhdr", HEADER, AT(add_headers) },
	{ "addhdrvar", TOKEN_VAR, 0 },
	{ "auth_host", IGNORED, 0 },
	{ "auth_role", TEXT, AT(auth_role) },
	{ "bucket", TEXT, AT(bucket) },
	{ "bulk_delete", IGNORED, 0 },
	{ "bulk_delete_limit", NUMBER, AT(bulk_delete_limit) },
	{ "connect_timeout", TIME, AT(connect_timeout_ms) },
	{ "delete_max_retries", NUMBER, AT(remove.max_retries) },
	{ "delete_timeout", TIME, AT(remove.timeout_ms) },
	{ "loghdr", NAME, AT(log_headers) },
	{ "max_connect_retries", NUMBER, AT(max_connect_retries) },
	{ "max_retries", NUMBER, AT(default_limits.max_retries) },
	{ "no_trace_headers", IGNORED, 0 },
	{ "read_max_retries", NUMBER, AT(read.max_retries) },
	{ "read_timeout", TIME, AT(read.timeout_ms) },
	{ "reason_header_max_length", IGNORED, 0 },
	{ "region", TEXT, AT(region) },
	{ "slow_warn", TIME, AT(slow_warn_ms) },
	{ "timeout", TIME, AT(default_limits.timeout_ms) },
	{ "write_max_retries", NUMBER, AT(write.max_retries) },
	{ "write_timeout", TIME, AT(write.timeout_ms) },
};

static const char header_name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789-_";

void store_url_param_defaults(struct store_url_s3 *url)
{
	static const struct store_url_limits inherit = { INHERIT_MS, INHERIT };

	url->default_limits = (struct store_url_limits){ 10 * 1000, 4 };
	url->read = url->write = url->remove = inherit;
	url->connect_timeout_ms = INHERIT_MS;
	url->slow_warn_ms = 5 * 1000;
	url->max_connect_retries = 2;
	url->bulk_delete_limit = BULK_DELETE_MAX;
}

static void inherit(struct store_url_limits *limits, const struct store_url_limits *from)
{
	if (limits->timeout_ms == INHERIT_MS)
		limits->timeout_ms = from->timeout_ms;
	if (limits->max_retries == INHERIT)
		limits->max_retries = from->max_retries;
}

void store_url_param_inherit(struct store_url_s3 *url)
{
	inherit(&url->read, &url->default_limits);
	inherit(&url->write, &url->default_limits);
	inherit(&url->remove, &url->default_limits);
	if (url->connect_timeout_ms == INHERIT_MS)
		url->connect_timeout_ms = url->default_limits.timeout_ms;
	if (url->bulk_delete_limit > BULK_DELETE_MAX)
		url->bulk_delete_limit = BULK_DELETE_MAX;
}

static int set_time(const char *name, const char *value, int64_t *ms, struct err *err)
{
	if (units_parse_time(value, ms) < 0)
		return err_set(err, ERR_CONFIG, "parameter %s: %s %s", name, quote_str(value).s,
			       units_time_problem(value));
	return 0;
}

static int set_number(const char *name, const char *value, long max, long *number_r,
		      struct err *err)
{
	size_t digits = strspn(value, "0123456789");

	if (digits == 0 || digits > 9 || value[digits] != '\0' || atol(value) > max)
		return err_set(err, ERR_CONFIG, "parameter %s: %s is not a number from 0 to %ld",
			       name, quote_str(value).s, max);
	*number_r = atol(value);
	return 0;
}

static int set_text(const char *name, const char *value, char **text, struct err *err)
{
	if (value[0] == '\0')
		return err_set(err, ERR_CONFIG, "parameter %s is empty", name);
	if (value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				"0123456789-._:=,@+ ")] != '\0')
		return err_set(err, ERR_CONFIG, "parameter %s: %s has characters that it can't",
			       name, quote_str(value).s);
	if (*text)
		return err_set(err, ERR_CONFIG, "parameter %s is there twice", name);
	*text = xstrdup(value);
	return 0;
}

/* The value may be a token, so no message repeats it. */
static int add_header(const char *value, struct str_vec *headers, struct err *err)
{
	size_t name_len = strspn(value, header_name_chars);
	const char *rest = value + name_len + 1;

	if (name_len == 0 || value[name_len] != ':')
		return err_set(err, ERR_CONFIG, "parameter addhdr: not of the form Name:value");
	rest += strspn(rest, " ");
	if (*rest == '\0')
		return err_set(err, ERR_CONFIG, "parameter addhdr: %.*s has no value",
			       (int)(name_len > 64 ? 64 : name_len), value);
	vec_push(headers, xasprintf("%.*s: %s", (int)name_len, value, rest));
	return 0;
}

static int add_name(const char *value, struct str_vec *names, struct err *err)
{
	char *name;

	if (value[0] == '\0' || value[strspn(value, header_name_chars)] != '\0')
		return err_set(err, ERR_CONFIG, "parameter loghdr: %s is no header name",
			       quote_str(value).s);
	name = xstrdup(value);
	for (char *c = name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	vec_push(names, name);
	return 0;
}

static int check_token_var(const char *value, struct err *err)
{
	if (strcasecmp(value, "x-amz-security-token:%{auth:token}") == 0)
		return 0;
	return err_set(err, ERR_CONFIG,
		       "parameter addhdrvar: only x-amz-security-token:%%{auth:token} is known");
}

static int set(struct store_url_s3 *url, const struct param *param, bool msecs, const char *value,
	       struct err *err)
{
	char *field = (char *)url + param->offset;
	long number = 0;

	switch (param->type) {
	case TIME:
		if (!msecs)
			return set_time(param->name, value, (int64_t *)(void *)field, err);
		if (set_number(param->name, value, 999999999, &number, err) < 0)
			return -1;
		*(int64_t *)(void *)field = number;
		return 0;
	case NUMBER:
		if (set_number(param->name, value, 1000000, &number, err) < 0)
			return -1;
		*(unsigned *)(void *)field = (unsigned)number;
		return 0;
	case TEXT:
		return set_text(param->name, value, (char **)(void *)field, err);
	case HEADER:
		return add_header(value, (struct str_vec *)(void *)field, err);
	case NAME:
		return add_name(value, (struct str_vec *)(void *)field, err);
	case TOKEN_VAR:
		return check_token_var(value, err);
	case IGNORED:
		break;
	}
	return 0;
}

static const struct param *find(const char *name, size_t len, bool *msecs_r)
{
	for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
		size_t known = strlen(params[i].name);

		if (strncmp(params[i].name, name, known < len ? known : len) != 0 || len < known)
			continue;
		*msecs_r = params[i].type == TIME && len == known + 6 &&
			   memcmp(name + known, "_msecs", 6) == 0;
		if (len == known || *msecs_r)
			return &params[i];
	}
	return NULL;
}

static int unknown(const char *name, size_t len, struct err *err)
{
	/* A secret with a bare '?' or '&' in it ends up here. */
	if (len == 0 || len > 40 || strspn(name, "abcdefghijklmnopqrstuvwxyz_") != len)
		err_set(err, ERR_CONFIG, "the URL has an unknown parameter");
	else
		err_set(err, ERR_CONFIG, "unknown parameter '%.*s'", (int)len, name);
	return err_hint(err, "known are timeout, connect_timeout, absolute_timeout, "
			     "{read,write,delete}_timeout, {read_,write_,delete_,}max_retries, "
			     "max_connect_retries, slow_warn, bulk_delete_limit, addhdr, loghdr, "
			     "bucket, region");
}

int store_url_param_set(struct store_url_s3 *url, const char *text, size_t len, struct err *err)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;
	autofree char *value = NULL;
	bool msecs = false;
	const struct param *param = find(text, name_len, &msecs);

	if (!param)
		return unknown(text, name_len, err);
	if (!equals)
		return err_set(err, ERR_CONFIG, "parameter %s has no value", param->name);
	value = store_url_s3_decode(equals + 1, len - name_len - 1);
	if (!value)
		return err_set(err, ERR_CONFIG, "parameter %s has a broken %%-escape", param->name);
	return set(url, param, msecs, value, err);
}
