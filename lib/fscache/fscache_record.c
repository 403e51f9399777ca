#include "fscache/fscache_record.h"

#include <string.h>

#include "fscache/fscache_name.h"

/* " 123". Once for each object that is added: printf takes longer than all of the rest. */
static void put_number(struct buf *out, uint64_t n)
{
	char digits[21], *at = digits + sizeof digits;

	do
		*--at = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	*--at = ' ';
	buf_append(out, at, (size_t)(digits + sizeof digits - at));
}

static void put_totals(struct buf *out, const struct fscache_totals *totals)
{
	put_number(out, totals->bytes);
	put_number(out, totals->files);
	put_number(out, totals->cursor);
	put_number(out, totals->hits);
	put_number(out, totals->misses);
	put_number(out, totals->passed);
	put_number(out, totals->evictions);
}

void fscache_record_format(struct buf *out, const struct fscache_record *record)
{
	buf_putc(out, (char)record->kind);
	put_number(out, (uint64_t)record->when_s);
	switch (record->kind) {
	case FSCACHE_ADDED:
	case FSCACHE_REMOVED:
	case FSCACHE_SPARED:
		put_number(out, record->bytes);
		put_number(out, record->inode);
		if (record->kind != FSCACHE_ADDED)
			put_number(out, record->cursor);
		break;
	case FSCACHE_COUNTED:
		put_number(out, record->totals.hits);
		put_number(out, record->totals.passed);
		break;
	case FSCACHE_CHECKPOINT:
		put_number(out, record->offset);
		put_totals(out, &record->totals);
		break;
	}
	if (record->kind != FSCACHE_COUNTED) {
		buf_putc(out, ' ');
		buf_puts(out, record->name);
	}
	buf_putc(out, '\n');
}

/* " 123" from *at, which then stands behind it. */
static bool number(const char **at, uint64_t *n_r)
{
	const char *c = *at;
	uint64_t n = 0;

	if (*c++ != ' ' || *c < '0' || *c > '9')
		return false;
	for (; *c >= '0' && *c <= '9'; c++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*c - '0'), &n))
			return false;
	}
	*at = c;
	*n_r = n;
	return true;
}

/* Whether all are printable ASCII and none is a blank; eight at once, since a rescan has a
 * million names. */
static bool is_printable(const char *at, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
	uint64_t bad = 0;

	for (; end - at >= 8; at += 8) {
		uint64_t eight;

		memcpy(&eight, at, sizeof eight);
		/* 128 and more, 127, and what is below 33. */
		bad |= eight | (eight + ones) | ~((eight | high) - ones * 33);
	}
	for (; at < end; at++)
		bad |= *at <= ' ' || *at > '~' ? high : 0;
	return (bad & high) == 0;
}

/* " word" up to the end of the line. */
static bool word(const char *at, const char *end, const char **word_r)
{
	if (*at++ != ' ' || at == end || end - at > FSCACHE_NAME_MAX)
		return false;
	*word_r = at;
	return is_printable(at, end);
}

bool fscache_record_parse(const char *line, size_t len, struct fscache_record *record_r)
{
	const char *at = line + 1, *end = line + len;
	struct fscache_totals *totals = &record_r->totals;
	uint64_t when;

	if (len < 2 || len >= FSCACHE_RECORD_MAX || !number(&at, &when) || when > INT64_MAX)
		return false;
	record_r->kind = (enum fscache_record_kind)line[0];
	record_r->when_s = (int64_t)when;
	switch (line[0]) {
	case FSCACHE_ADDED:
		return number(&at, &record_r->bytes) && number(&at, &record_r->inode) &&
		       word(at, end, &record_r->name);
	case FSCACHE_REMOVED:
	case FSCACHE_SPARED:
		return number(&at, &record_r->bytes) && number(&at, &record_r->inode) &&
		       number(&at, &record_r->cursor) && word(at, end, &record_r->name);
	case FSCACHE_COUNTED:
		return number(&at, &totals->hits) && number(&at, &totals->passed) && at == end;
	case FSCACHE_CHECKPOINT:
		return number(&at, &record_r->offset) && number(&at, &totals->bytes) &&
		       number(&at, &totals->files) && number(&at, &totals->cursor) &&
		       number(&at, &totals->hits) && number(&at, &totals->misses) &&
		       number(&at, &totals->passed) && number(&at, &totals->evictions) &&
		       word(at, end, &record_r->name);
	default:
		return false;
	}
}

/* Damage must not make a total jump to the other end of its range. */
static void add(uint64_t *to, uint64_t n)
{
	if (__builtin_add_overflow(*to, n, to))
		*to = UINT64_MAX;
}

static void subtract(uint64_t *from, uint64_t n)
{
	*from = *from > n ? *from - n : 0;
}

bool fscache_record_apply(struct fscache_totals *totals, const struct fscache_record *record,
			  uint64_t start)
{
	switch (record->kind) {
	case FSCACHE_ADDED:
		add(&totals->bytes, record->bytes);
		add(&totals->files, 1);
		add(&totals->misses, 1);
		break;
	case FSCACHE_REMOVED:
	case FSCACHE_SPARED:
		if (record->cursor <= totals->cursor || record->cursor > start)
			return false;
		totals->cursor = record->cursor;
		if (record->kind == FSCACHE_SPARED)
			break;
		subtract(&totals->bytes, record->bytes);
		subtract(&totals->files, 1);
		add(&totals->evictions, 1);
		break;
	case FSCACHE_COUNTED:
		add(&totals->hits, record->totals.hits);
		add(&totals->passed, record->totals.passed);
		break;
	case FSCACHE_CHECKPOINT:
		break;
	}
	return true;
}
