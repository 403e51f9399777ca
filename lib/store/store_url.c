#include "store/store_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quote.h"
#include "base/units.h"
#include "store/store_fault.h"
#include "store/store_url_s3.h"

static const char accepted[] = "accepted are compress:, fscache:, posix:, s3: and aws-s3:";

/* The text up to the next ':' without it; moves past it. NULL where there is no ':'. */
static char *take_part(const char **at)
{
	const char *colon = strchr(*at, ':');
	char *part;

	if (!colon)
		return NULL;
	part = xstrndup(*at, (size_t)(colon - *at));
	*at = colon + 1;
	return part;
}

struct algorithm {
	const char *name;
	int level_max; /* 0: has no levels */
};

static const struct algorithm algorithms[] = {
	{ "zstd", 22 },
	{ "gz", 9 },
	{ "lz4", 9 },
	{ "none", 0 },
};

static const struct algorithm *find_algorithm(const char *name)
{
	for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
		if (strcmp(algorithms[i].name, name) == 0)
			return &algorithms[i];
	}
	return NULL;
}

static int parse_level(const struct algorithm *algorithm, const char **at, int *level_r,
		       struct err *err)
{
	size_t digits = strspn(*at, "0123456789");
	int level;

	if (digits == 0 || (*at)[digits] != ':')
		return 0;
	level = digits > 2 ? 100 : atoi(*at);
	if (level < 1 || level > algorithm->level_max)
		return err_set(err, ERR_CONFIG, "compress:%s: level %.*s is not in 1 to %d",
			       algorithm->name, (int)(digits > 8 ? 8 : digits), *at,
			       algorithm->level_max);
	*level_r = level;
	*at += digits + 1;
	return 0;
}

static int parse_compress(const char **at, struct store_url *url, struct err *err)
{
	autofree char *part = take_part(at);
	const char *name = part;
	const struct algorithm *algorithm;

	if (url->compression.name[0] != '\0')
		return err_set(err, ERR_CONFIG, "compress: is there twice");
	if (!part)
		return err_set(err, ERR_CONFIG, "compress: is not followed by a store");
	if (strncmp(name, "maybe-", 6) == 0)
		name += 6;
	algorithm = find_algorithm(name);
	if (!algorithm)
		return err_set(err, ERR_CONFIG,
			       "compress: unknown algorithm %s; accepted are zstd, gz, lz4, none",
			       quote_str(name).s);
	snprintf(url->compression.name, sizeof url->compression.name, "%s", algorithm->name);
	return parse_level(algorithm, at, &url->compression.level, err);
}

static int parse_fscache(const char **at, struct store_url *url, struct err *err)
{
	autofree char *size = take_part(at);

	if (url->fscache_path)
		return err_set(err, ERR_CONFIG, "fscache: is there twice");
	if (size)
		url->fscache_path = take_part(at);
	if (!url->fscache_path)
		return err_set(err, ERR_CONFIG, "fscache: must be followed by size:path:store");
	if (units_parse_size(size, &url->fscache_limit_bytes) < 0)
		return err_set(err, ERR_CONFIG, "fscache: size %s %s", quote_str(size).s,
			       units_size_problem(size));
	if (url->fscache_path[0] != '/')
		return err_set(err, ERR_CONFIG, "fscache: path %s is not absolute",
			       quote_str(url->fscache_path).s);
	return 0;
}

static int parse_fault(const char **at, struct store_url *url, struct err *err)
{
	if (url->fault_rules)
		return err_set(err, ERR_CONFIG, "fault: is there twice");
	url->fault_rules = take_part(at);
	if (!url->fault_rules)
		return err_set(err, ERR_CONFIG, "fault: must be followed by rules:store");
	return store_fault_check(url->fault_rules, err);
}

static int parse_posix(const char *dir, struct store_url *url, struct err *err)
{
	url->driver = STORE_URL_POSIX;
	url->posix_dir = xstrdup(dir);
	if (dir[0] != '/')
		return err_set(err, ERR_CONFIG, "posix: directory %s is not absolute",
			       quote_str(dir).s);
	return 0;
}

/* The name of a part may be anything that was pasted at the wrong place, a key
 * included, so only what looks like a driver's name is repeated. */
static int unknown_part(const char *part, struct err *err)
{
	size_t len = strspn(part, "abcdefghijklmnopqrstuvwxyz0123456789-");

	if (len == 0 || len > 16 || part[len] != '\0')
		return err_set(err, ERR_CONFIG, "the store's URL has an unknown part; %s",
			       accepted);
	return err_set(err, ERR_CONFIG, "unknown store driver '%s:'; %s", part, accepted);
}

/* 1 when the chain goes on, 0 at its end, -1. */
static int parse_one(const char **at, struct store_url *url, struct err *err)
{
	autofree char *part = take_part(at);

	if (!part)
		return err_set(err, ERR_CONFIG, "the store's URL ends before a driver; %s",
			       accepted);
	if (strcmp(part, "compress") == 0)
		return parse_compress(at, url, err) < 0 ? -1 : 1;
	if (strcmp(part, "fscache") == 0)
		return parse_fscache(at, url, err) < 0 ? -1 : 1;
	if (strcmp(part, "fault") == 0)
		return parse_fault(at, url, err) < 0 ? -1 : 1;
	if (strcmp(part, "posix") == 0)
		return parse_posix(*at, url, err);
	if (strcmp(part, "s3") != 0 && strcmp(part, "aws-s3") != 0)
		return unknown_part(part, err);
	url->driver = STORE_URL_S3;
	url->s3.aws = part[0] == 'a';
	if (store_url_s3_parse(*at, &url->s3, err) < 0)
		return err_prefix(err, "%s", part);
	return 0;
}

int store_url_parse(const char *chain, struct store_url *url_r, struct err *err)
{
	int ret;

	*url_r = (struct store_url){ 0 };
	do
		ret = parse_one(&chain, url_r, err);
	while (ret > 0);
	if (ret < 0)
		store_url_free(url_r);
	return ret;
}

void store_url_free(struct store_url *url)
{
	free(url->fscache_path);
	free(url->fault_rules);
	free(url->posix_dir);
	store_url_s3_free(&url->s3);
	*url = (struct store_url){ 0 };
}

char *store_url_name(const struct store_url *url)
{
	if (url->driver == STORE_URL_POSIX)
		return xasprintf("posix %s", url->posix_dir);
	return xasprintf("s3 %s at %s", url->s3.bucket, url->s3.host);
}
