#include "fscache/fscache_record.h"

#include <inttypes.h>
#include <string.h>

#include "fscache/fscache_name.h"

void fscache_record_format(struct buf *out, const struct fscache_record *record)
{
	const struct fscache_totals *totals = &record->totals;

	buf_printf(out, "%c %" PRId64, record->kind, record->when_s);
	switch (record->kind) {
	case FSCACHE_ADDED:
		buf_printf(out, " %" PRIu64 " %" PRIu64 " %s\n", record->bytes, record->inode,
			   record->name);
		break;
	case FSCACHE_REMOVED:
	case FSCACHE_SPARED:
		buf_printf(out, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", record->bytes,
			   record->inode, record->cursor, record->name);
		break;
	case FSCACHE_COUNTED:
		buf_printf(out, " %" PRIu64 " %" PRIu64 "\n", totals->hits, totals->passed);
		break;
	case FSCACHE_CHECKPOINT:
		buf_printf(out,
			   " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
			   " %" PRIu64 " %" PRIu64 " %s\n",
			   record->offset, totals->bytes, totals->files, totals->cursor,
			   totals->hits, totals->misses, totals->passed, totals->evictions,
			   record->name);
		break;
	}
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

/* " word" up to the end of the line. */
static bool word(const char *at, const char *end, const char **word_r)
{
	if (*at++ != ' ' || at == end || end - at > FSCACHE_NAME_MAX)
		return false;
	for (const char *c = at; c < end; c++) {
		if (*c <= ' ' || *c > '~')
			return false;
	}
	*word_r = at;
	return true;
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
