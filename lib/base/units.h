/* Sizes and times as people write them, read exactly as Dovecot 2.3 reads its
 * settings (settings_get_size() and settings_get_time_msecs()). */
#pragma once

#include <stdint.h>

/* A size: digits, then optionally B, K, M, G or T in either case (multiples of
 * 1024; K to T may be followed by i, B or iB). "512M", "1 GiB", "1000".
 * Returns 0, or -1 when it is anything else or over 2^64 - 1. */
int units_parse_size(const char *text, uint64_t *bytes_r);

/* A time: digits, then any beginning of msecs, millisecs, secs, mins, hours,
 * days or weeks (or their longer spellings: "5 min", "300s", "1d", "250ms");
 * only 0 may go without a unit. "m" is minutes. Returns 0, or -1 when it is
 * anything else or over UNITS_TIME_MAX_MS. */
int units_parse_time(const char *text, int64_t *ms_r);
#define UNITS_TIME_MAX_MS (4294967295 * 1000)

/* Why a text was refused by the two above, as the end of a sentence: "has no
 * unit (add e.g. 's' for seconds)", "is too large", "is not a size (…)". */
const char *units_size_problem(const char *text);
const char *units_time_problem(const char *text);

struct units_text {
	char s[32];
};

/* The exact value in its largest whole unit: 512M, 1536K, 1000; 5min, 1500ms,
 * 8h, 0. Reading it back gives the same value. */
struct units_text units_format_size(uint64_t bytes);
struct units_text units_format_time(int64_t ms);

/* For a column or a progress line: three digits or so, rounded: 1.2M, 988K. */
struct units_text units_format_size_short(uint64_t bytes);
