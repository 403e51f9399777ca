/* Homes and states for the tests of lib/metacache. */
#pragma once

#include "../scratch.h"

#include "base/buf.h"
#include "base/mem.h"
#include "metacache/state.h"
#include "metacache/unit.h"

#define GUID_A "0123456789abcdef0123456789abcdef"
#define GUID_B "fedcba9876543210fedcba9876543210"
#define UNIQUE_1 "11111111111111111111111111111111"
#define UNIQUE_2 "22222222222222222222222222222222"
#define UNIQUE_3 "33333333333333333333333333333333"
#define UNIQUE_4 "44444444444444444444444444444444"
#define BASE_1 "bundle.6553f100.00001." UNIQUE_1
#define BASE_2 "bundle.6553f100.00002." UNIQUE_2
#define BASE_3 "bundle.6553f100.00003." UNIQUE_3
#define BASE_4 "bundle.6553f100.00004." UNIQUE_4

static inline const struct unit_rules *test_rules(void)
{
	static char *fts_names[] = { "fts-flatcurve", "lucene-indexes" };
	static char *special_names[] = { "INBOX", "Junk", "Spam" };
	static const struct str_vec fts = { fts_names, 2, 2 }, special = { special_names, 3, 3 };
	static const struct unit_rules rules = { &fts, &special };

	return &rules;
}

static inline void assert_message(const struct err *err, const char *part)
{
	if (!strstr(err->msg, part))
		fail_msg("\"%s\" does not say \"%s\"", err->msg, part);
}

static inline void scan_home(int homefd, struct home *home_r)
{
	struct err err = { 0 };

	if (unit_scan(homefd, test_rules(), home_r, &err) < 0)
		fail_msg("%s", err.msg);
}

/* "name,name" of a unit's files, for comparing. */
static inline void assert_files(const struct unit_file_vec *files, const char *expected)
{
	autobuf struct buf names = { 0 };

	for (size_t i = 0; i < files->count; i++)
		buf_printf(&names, "%s%s", i ? "," : "", files->items[i].name);
	assert_string_equal(buf_str(&names), expected);
}

static inline void add_name(struct str_vec *names, const char *name)
{
	vec_push(names, xstrdup(name));
}

static inline int open_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}
