#include "bundle/bundle_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define PREFIX "bundle."
#define SECS_HEX_MAX 11 /* an int64_t of microseconds holds no more */
#define USECS_HEX 5

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The length of the run of digits at `s`, at most `max`, and its value. */
static size_t hex_run(const char *s, size_t max, uint64_t *value_r)
{
	size_t len = 0;

	*value_r = 0;
	while (len < max && hex_value(s[len]) >= 0)
		*value_r = *value_r << 4 | (uint64_t)hex_value(s[len++]);
	return len;
}

static bool take_time(const char **at, int64_t *time_us_r)
{
	uint64_t secs, usecs;
	size_t len = hex_run(*at, SECS_HEX_MAX, &secs);

	if (len == 0 || (len > 1 && **at == '0') || (*at)[len] != '.')
		return false;
	*at += len + 1;
	if (hex_run(*at, USECS_HEX, &usecs) != USECS_HEX || usecs >= 1000000)
		return false;
	*at += USECS_HEX;
	if (secs > (uint64_t)INT64_MAX / 1000000 - 1)
		return false;
	*time_us_r = (int64_t)(secs * 1000000 + usecs);
	return true;
}

static bool take_unique(const char **at, char unique_r[BUNDLE_UNIQUE_HEX + 1])
{
	for (size_t i = 0; i < BUNDLE_UNIQUE_HEX; i++) {
		if (hex_value((*at)[i]) < 0)
			return false;
		unique_r[i] = (*at)[i];
	}
	unique_r[BUNDLE_UNIQUE_HEX] = '\0';
	*at += BUNDLE_UNIQUE_HEX;
	return true;
}

static bool take(const char **at, const char *literal)
{
	size_t len = strlen(literal);

	if (strncmp(*at, literal, len) != 0)
		return false;
	*at += len;
	return true;
}

bool bundle_name_parse(const char *name, struct bundle_name *name_r)
{
	const char *at = name;

	memset(name_r, 0, sizeof *name_r);
	if (!take(&at, PREFIX) || !take_time(&at, &name_r->base_time_us) || !take(&at, ".") ||
	    !take_unique(&at, name_r->base_unique))
		return false;
	if (*at == '\0')
		return true;
	name_r->is_diff = true;
	return take(&at, "-") && take_unique(&at, name_r->diff_unique) && *at == '\0';
}

void bundle_name_unique(char unique_r[BUNDLE_UNIQUE_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char random[BUNDLE_UNIQUE_HEX / 2];

	clock_random(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++) {
		unique_r[2 * i] = digits[random[i] >> 4];
		unique_r[2 * i + 1] = digits[random[i] & 15];
	}
	unique_r[BUNDLE_UNIQUE_HEX] = '\0';
}

void bundle_name_base(struct buf *out, int64_t time_ns, const char *unique)
{
	int64_t us = time_ns > 0 ? time_ns / 1000 : 0;

	buf_printf(out, PREFIX "%" PRIx64 ".%05" PRIx64 ".%s", (uint64_t)(us / 1000000),
		   (uint64_t)(us % 1000000), unique);
}

void bundle_name_diff(struct buf *out, const char *base, const char *unique)
{
	buf_printf(out, "%s-%s", base, unique);
}

const char *bundle_name_own_unique(const struct bundle_name *name)
{
	return name->is_diff ? name->diff_unique : name->base_unique;
}

#define TRY_KEPT 16 /* hex digits of the unique part; the others are nanoseconds */

void bundle_name_try(const char *unique, int64_t time_ns, char try_r[BUNDLE_UNIQUE_HEX + 1])
{
	snprintf(try_r, BUNDLE_UNIQUE_HEX + 1, "%.*s%016" PRIx64, TRY_KEPT, unique,
		 (uint64_t)time_ns);
}

bool bundle_name_is_try_of(const struct bundle_name *name, const char *unique)
{
	return strncmp(bundle_name_own_unique(name), unique, TRY_KEPT) == 0;
}

/* Of a diff by another program the digits may be anything. */
int64_t bundle_name_time_us(const struct bundle_name *name)
{
	return name->is_diff ? (int64_t)(strtoull(name->diff_unique + TRY_KEPT, NULL, 16) / 1000)
			     : name->base_time_us;
}

bool bundle_name_is_earlier_try(const struct bundle_name *a, const struct bundle_name *b)
{
	return bundle_name_is_try_of(a, bundle_name_own_unique(b)) &&
	       bundle_name_time_us(a) < bundle_name_time_us(b);
}

int bundle_name_compare(const struct bundle_name *a, const struct bundle_name *b)
{
	int order;

	if (a->base_time_us != b->base_time_us)
		return a->base_time_us < b->base_time_us ? -1 : 1;
	order = strcmp(a->base_unique, b->base_unique);
	/* A base's own diff part is "": it comes before every diff. */
	return order != 0 ? order : strcmp(a->diff_unique, b->diff_unique);
}
