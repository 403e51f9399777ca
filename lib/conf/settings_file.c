#include "conf/settings_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/quote.h"

#define FILE_MAX 1048576
#define LINE_MAX_BYTES 16000

struct reading {
	const char *pos;
	unsigned line; /* the one that was handed out last; from 1 */
	settings_file_fn *fn;
	void *ctx;
	struct err *err;
	unsigned failed_line; /* 0: none */
};

static int slurp(int fd, struct buf *text, struct err *err)
{
	ssize_t n;

	while ((n = read(fd, buf_reserve(text, 65536), 65536)) != 0) {
		if (n < 0 && errno != EINTR)
			return err_sys(err, errno, "read");
		if (n > 0)
			text->len += (size_t)n;
		if (text->len > FILE_MAX)
			return err_set(err, ERR_CONFIG, "larger than %d bytes", FILE_MAX);
	}
	buf_append(text, "", 0);
	if (strlen(buf_str(text)) != text->len)
		return err_set(err, ERR_CONFIG, "holds a NUL byte: no text file");
	return 0;
}

static int fail(struct reading *reading)
{
	reading->failed_line = reading->line;
	return 0;
}

/* inih asks for one line after another and calls on_pair() before it asks for the
 * next: so the line number is known there, which inih does not tell. */
static char *next_line(char *out, int size, void *ctx)
{
	struct reading *reading = ctx;
	size_t len = strcspn(reading->pos, "\n");

	if (*reading->pos == '\0' || reading->failed_line > 0)
		return NULL;
	reading->line++;
	if (len + 2 > (size_t)size) {
		err_set(reading->err, ERR_CONFIG, "longer than %d bytes", LINE_MAX_BYTES);
		fail(reading);
		return NULL;
	}
	memcpy(out, reading->pos, len);
	out[len] = '\0';
	reading->pos += len;
	if (*reading->pos == '\n')
		reading->pos++;
	return out;
}

static int on_pair(void *ctx, const char *section, const char *key, const char *value)
{
	struct reading *reading = ctx;
	autobuf struct buf unquoted = { 0 };
	size_t len = strlen(value);

	if (reading->failed_line > 0)
		return 0;
	if (*section != '\0') {
		err_set(reading->err, ERR_CONFIG, "this file has no sections, but here is one: %s",
			quote_str(section).s);
		return fail(reading);
	}
	if (len >= 2 && strchr("\"'", *value) && value[len - 1] == *value) {
		buf_append(&unquoted, value + 1, len - 2);
		value = buf_str(&unquoted);
	}
	if (reading->fn(reading->ctx, key, value, reading->line, reading->err) < 0)
		return fail(reading);
	return 1;
}

/* Debian's inih takes its options from variables of the process; what somebody
 * else in it wants of them is put back afterwards. */
static int parse(struct reading *reading)
{
	const bool use_stack = ini_use_stack, multiline = ini_allow_multiline;
	const int max_line = ini_max_line, initial_alloc = ini_initial_alloc;
	int ret;

	ini_use_stack = false;
	ini_allow_multiline = false;
	ini_max_line = ini_initial_alloc = LINE_MAX_BYTES + 3;
	ret = ini_parse_stream(next_line, reading, on_pair, reading);
	ini_use_stack = use_stack;
	ini_allow_multiline = multiline;
	ini_max_line = max_line;
	ini_initial_alloc = initial_alloc;
	return ret;
}

static int parse_text(const char *text, settings_file_fn *fn, void *ctx, struct err *err)
{
	struct reading reading = { .pos = text, .fn = fn, .ctx = ctx, .err = err };
	int bad_line = parse(&reading);

	if (bad_line > 0 && (unsigned)bad_line != reading.failed_line) {
		err_set(err, ERR_CONFIG, "neither a comment nor key = value");
		reading.failed_line = (unsigned)bad_line;
	}
	if (reading.failed_line > 0)
		return err_prefix(err, "line %u", reading.failed_line);
	return 0;
}

int settings_file_read(const char *file, settings_file_fn *fn, void *ctx, struct err *err)
{
	autobuf struct buf text = { 0 };
	autofd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int ret;

	if (fd < 0 && errno == ENOENT)
		return 0;
	ret = fd < 0 ? err_sys(err, errno, "open") : slurp(fd, &text, err);
	if (ret == 0)
		ret = parse_text(buf_str(&text), fn, ctx, err);
	if (ret < 0) {
		if (err && err->code != ERR_USAGE)
			err->code = ERR_CONFIG;
		return err_prefix(err, "%s", file);
	}
	return 1;
}
