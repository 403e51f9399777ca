#include "conf/settings_parse.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/vec.h"
#include "conf/settings.h"

static int refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_CONFIG, "%s", why);
}

int settings_parse_text(const char *text, void *field, struct err *err)
{
	(void)err;
	*(char **)field = *text != '\0' ? xstrdup(text) : NULL;
	return 0;
}

int settings_parse_words(const char *text, void *field, struct err *err)
{
	struct str_vec *words = field;

	(void)err;
	for (;;) {
		size_t len;

		text += strspn(text, " \t");
		len = strcspn(text, " \t");
		if (len == 0)
			return 0;
		vec_push(words, xstrndup(text, len));
		text += len;
	}
}

int settings_parse_size(const char *text, void *field, struct err *err)
{
	return units_parse_size(text, field) < 0 ? refuse(err, units_size_problem(text)) : 0;
}

int settings_parse_time(const char *text, void *field, struct err *err)
{
	return units_parse_time(text, field) < 0 ? refuse(err, units_time_problem(text)) : 0;
}

/* Decimal digits only, at most `max`. */
static int parse_digits(const char *text, uint64_t max, uint64_t *num_r)
{
	uint64_t num = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(num, 10, &num) ||
		    __builtin_add_overflow(num, (uint64_t)(*text - '0'), &num) || num > max)
			return -1;
	}
	*num_r = num;
	return 0;
}

int settings_parse_count(const char *text, void *field, struct err *err)
{
	uint64_t num;

	if (parse_digits(text, INT_MAX, &num) < 0)
		return refuse(err, "is not a number (accepted: 0 to 2147483647)");
	*(unsigned *)field = (unsigned)num;
	return 0;
}

int settings_parse_parallel(const char *text, void *field, struct err *err)
{
	uint64_t num;

	if (parse_digits(text, 1000, &num) < 0 || num == 0)
		return refuse(err, "is not a number from 1 to 1000");
	*(unsigned *)field = (unsigned)num;
	return 0;
}

/* Whether no component is empty, "." or "..". */
static bool is_normalised(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (len == 0 || (path[0] == '.' && (len == 1 || (len == 2 && path[1] == '.'))))
			return false;
		if (path[len] == '\0')
			return true;
		path += len + 1;
	}
}

static int parse_directory(const char *text, size_t len, char **path_r, struct err *err)
{
	autofree char *path = NULL;

	while (len > 1 && text[len - 1] == '/')
		len--;
	path = xstrndup(text, len);
	if (path[0] != '/' || !is_normalised(path + 1))
		return refuse(err, "is not an absolute directory other than / "
				   "(accepted: /dir/dir, without //, . and ..)");
	*path_r = steal_ptr(&path);
	return 0;
}

int settings_parse_directory(const char *text, void *field, struct err *err)
{
	return *text == '\0' ? 0 : parse_directory(text, strlen(text), field, err);
}

int settings_parse_directories(const char *text, void *field, struct err *err)
{
	struct str_vec *paths = field;

	settings_parse_words(text, paths, NULL);
	for (size_t i = 0; i < paths->count; i++) {
		autofree char *word = paths->items[i];

		paths->items[i] = NULL;
		if (parse_directory(word, strlen(word), &paths->items[i], err) < 0)
			return -1;
	}
	return 0;
}

int settings_parse_below_home(const char *text, void *field, struct err *err)
{
	const struct str_vec *paths = field;

	settings_parse_words(text, field, NULL);
	for (size_t i = 0; i < paths->count; i++) {
		if (!is_normalised(paths->items[i]))
			return refuse(err, "is not a list of paths below the home "
					   "(accepted: dir or dir/dir, without //, . and ..)");
	}
	return 0;
}

int settings_parse_merging(const char *text, void *field, struct err *err)
{
	enum settings_merging *merging = field;

	if (strcmp(text, "v2") == 0)
		*merging = SETTINGS_MERGING_V2;
	else if (strcmp(text, "none") == 0)
		*merging = SETTINGS_MERGING_NONE;
	else
		return refuse(err, "is no way of merging (accepted: v2, none)");
	return 0;
}

/* "+1d", "-1h", "0". */
static int parse_adjustment(const char *text, int64_t *seconds_r)
{
	bool negative = *text == '-';
	int64_t ms;

	if (units_parse_time(text + (*text == '-' || *text == '+'), &ms) < 0 || ms % 1000 != 0)
		return -1;
	*seconds_r = negative ? -ms / 1000 : ms / 1000;
	return 0;
}

static int parse_percent(const char *text, unsigned *percent_r)
{
	size_t len = strlen(text);
	autofree char *digits = xstrndup(text, len > 0 ? len - 1 : 0);
	uint64_t num;

	if (len == 0 || text[len - 1] != '%' || parse_digits(digits, 100, &num) < 0)
		return -1;
	*percent_r = (unsigned)num;
	return 0;
}

static int read_priority_weights(const struct str_vec *words,
				 struct settings_priority_weight *weights)
{
	if (words->count != (size_t)2 * SETTINGS_PRIORITIES)
		return -1;
	for (size_t i = 0; i < SETTINGS_PRIORITIES; i++) {
		if (parse_percent(words->items[2 * i], &weights[i].percent) < 0 ||
		    parse_adjustment(words->items[2 * i + 1], &weights[i].adjust_s) < 0)
			return -1;
	}
	return 0;
}

int settings_parse_priority_weights(const char *text, void *field, struct err *err)
{
	struct str_vec words CLEANUP(str_vec_free) = { 0 };

	settings_parse_words(text, &words, NULL);
	if (read_priority_weights(&words, field) < 0)
		return refuse(err, "is not a percentage and a time for each of the 4 priorities "
				   "(accepted: e.g. 10% +1d 10% +1d 50% +1h 100% 0; or nothing)");
	return 0;
}

static int parse_addend(const char *text, int64_t *num_r)
{
	uint64_t num;

	if (*text != '+' || parse_digits(text + 1, INT_MAX, &num) < 0)
		return -1;
	*num_r = (int64_t)num;
	return 0;
}

int settings_parse_size_weights(const char *text, void *field, struct err *err)
{
	struct str_vec words CLEANUP(str_vec_free) = { 0 };
	struct settings_size_weights *weights = field;

	settings_parse_words(text, &words, NULL);
	if (words.count != 4 || units_parse_size(words.items[0], &weights->low_bytes) < 0 ||
	    parse_addend(words.items[1], &weights->low_add) < 0 ||
	    units_parse_size(words.items[2], &weights->high_bytes) < 0 ||
	    parse_addend(words.items[3], &weights->high_add) < 0 || weights->low_bytes == 0 ||
	    weights->low_bytes >= weights->high_bytes)
		return refuse(err, "is not two growing sizes, each with what it adds "
				   "(accepted: e.g. 2M +30 1G +120; or nothing)");
	return 0;
}

/* (uid_t)-1 means "unchanged" to the kernel: nobody's number. */
#define ID_MAX (UINT32_MAX - 1)

int settings_parse_uid(const char *text, void *field, struct err *err)
{
	struct passwd entry, *found = NULL;
	char memory[16384];
	uint64_t num;

	if (parse_digits(text, ID_MAX, &num) == 0) {
		*(uid_t *)field = (uid_t)num;
		return 0;
	}
	getpwnam_r(text, &entry, memory, sizeof memory, &found);
	if (!found)
		return refuse(err, "is no user of this host (accepted: a user's name or number)");
	*(uid_t *)field = found->pw_uid;
	return 0;
}

int settings_parse_gid(const char *text, void *field, struct err *err)
{
	struct group entry, *found = NULL;
	char memory[65536];
	uint64_t num;

	if (parse_digits(text, ID_MAX, &num) == 0) {
		*(gid_t *)field = (gid_t)num;
		return 0;
	}
	getgrnam_r(text, &entry, memory, sizeof memory, &found);
	if (!found)
		return refuse(err, "is no group of this host (accepted: a group's name or number)");
	*(gid_t *)field = found->gr_gid;
	return 0;
}
