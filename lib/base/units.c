#include "base/units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum verdict { VALID, BAD, TOO_LARGE, NO_UNIT };

struct time_unit {
	const char *name;
	int64_t ms;
};

/* In the order that decides what an abbreviation means: "m" is minutes. */
static const struct time_unit time_units[] = {
	{ "secs", 1000 },     { "seconds", 1000 },  { "mins", 60000 },      { "minutes", 60000 },
	{ "msecs", 1 },       { "mseconds", 1 },    { "millisecs", 1 },     { "milliseconds", 1 },
	{ "hours", 3600000 }, { "days", 86400000 }, { "weeks", 604800000 },
};

static enum verdict parse_number(const char **text, uint64_t *num_r)
{
	const char *p = *text;
	uint64_t num = 0;

	if (*p < '0' || *p > '9')
		return BAD;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(num, 10, &num) ||
		    __builtin_add_overflow(num, (uint64_t)(*p - '0'), &num))
			return TOO_LARGE;
	}
	while (*p == ' ')
		p++;
	*text = p;
	*num_r = num;
	return VALID;
}

static int upper(char c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

static enum verdict parse_size(const char *text, uint64_t *bytes_r)
{
	static const char letters[] = "BKMGT";
	const char *p = text, *letter;
	unsigned int shift = 0;
	uint64_t num;
	enum verdict verdict = parse_number(&p, &num);

	if (verdict != VALID)
		return verdict;
	letter = *p != '\0' ? strchr(letters, upper(*p)) : NULL;
	if (letter) {
		shift = (unsigned int)(letter - letters) * 10;
		p++;
	}
	if (shift > 0 && upper(*p) == 'I')
		p++;
	if (shift > 0 && upper(*p) == 'B')
		p++;
	if (*p != '\0')
		return BAD;
	return __builtin_mul_overflow(num, (uint64_t)1 << shift, bytes_r) ? TOO_LARGE : VALID;
}

static const struct time_unit *find_time_unit(const char *abbreviation)
{
	size_t len = strlen(abbreviation);

	for (size_t i = 0; i < sizeof time_units / sizeof time_units[0]; i++) {
		if (strncasecmp(abbreviation, time_units[i].name, len) == 0)
			return &time_units[i];
	}
	return NULL;
}

static enum verdict parse_time(const char *text, int64_t *ms_r)
{
	const struct time_unit *unit;
	const char *p = text;
	uint64_t num;
	enum verdict verdict = parse_number(&p, &num);

	if (verdict != VALID)
		return verdict;
	if (*p == '\0') {
		*ms_r = 0;
		return num == 0 ? VALID : NO_UNIT;
	}
	unit = find_time_unit(p);
	if (!unit)
		return BAD;
	if (num > (uint64_t)(UNITS_TIME_MAX_MS / unit->ms))
		return TOO_LARGE;
	*ms_r = (int64_t)num * unit->ms;
	return VALID;
}

int units_parse_size(const char *text, uint64_t *bytes_r)
{
	return parse_size(text, bytes_r) == VALID ? 0 : -1;
}

int units_parse_time(const char *text, int64_t *ms_r)
{
	return parse_time(text, ms_r) == VALID ? 0 : -1;
}

const char *units_size_problem(const char *text)
{
	uint64_t bytes;

	if (parse_size(text, &bytes) == TOO_LARGE)
		return "is too large";
	return "is not a size (accepted: a number of bytes, or with K, M, G or T, e.g. 512M)";
}

const char *units_time_problem(const char *text)
{
	int64_t ms;

	switch (parse_time(text, &ms)) {
	case NO_UNIT:
		return "is missing units (add e.g. 's' for seconds)";
	case TOO_LARGE:
		return "is too large";
	default:
		return "is not a time (accepted: a number with ms, s, min, h, d or w, e.g. 5min)";
	}
}

struct units_text units_format_size(uint64_t bytes)
{
	static const char letters[] = "KMGT";
	struct units_text text;
	size_t unit = 0;

	while (bytes != 0 && bytes % 1024 == 0 && unit < strlen(letters)) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text.s, sizeof text.s, "%" PRIu64 "%.1s", bytes,
		 unit > 0 ? letters + unit - 1 : "");
	return text;
}

struct units_text units_format_size_short(uint64_t bytes)
{
	static const char letters[] = "KMGTPE";
	struct units_text text;
	double value = (double)bytes;
	size_t unit = 0;

	/* 999.5 would be shown as 1000: that is 1.0 of the next unit. */
	while (value >= 999.5 && unit < strlen(letters)) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(text.s, sizeof text.s, "%" PRIu64, bytes);
	else
		snprintf(text.s, sizeof text.s, "%.*f%c", value < 9.95 ? 1 : 0, value,
			 letters[unit - 1]);
	return text;
}

struct units_text units_format_time(int64_t ms)
{
	static const struct time_unit shown[] = {
		{ "d", 86400000 },
		{ "h", 3600000 },
		{ "min", 60000 },
		{ "s", 1000 },
	};
	struct units_text text;

	for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
		if (ms != 0 && ms % shown[i].ms == 0) {
			snprintf(text.s, sizeof text.s, "%" PRId64 "%s", ms / shown[i].ms,
				 shown[i].name);
			return text;
		}
	}
	snprintf(text.s, sizeof text.s, ms == 0 ? "0" : "%" PRId64 "ms", ms);
	return text;
}
