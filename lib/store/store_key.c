#include "store/store_key.h"

#include <stdbool.h>
#include <string.h>

#include "base/quote.h"
#include "base/utf8.h"
#include "store/store.h"

static const char *component_problem(const char *at, size_t len)
{
	if (len == 0)
		return "has an empty component";
	if (len == 1 && at[0] == '.')
		return "has a component '.'";
	if (len == 2 && at[0] == '.' && at[1] == '.')
		return "has a component '..'";
	return NULL;
}

static const char *bytes_problem(const char *key, size_t len)
{
	if (len > STORE_KEY_MAX)
		return "is longer than 1024 bytes";
	if (!utf8_is_valid(key, len))
		return "is not UTF-8";
	/* No XML document can hold these, so a batched delete could not name them. */
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)key[i] < 0x20 || key[i] == 0x7f)
			return "has a control character";
	}
	return NULL;
}

static const char *key_problem(const char *key, bool is_prefix)
{
	size_t len = strlen(key);
	const char *problem = bytes_problem(key, len);

	while (!problem) {
		size_t part = strcspn(key, "/");

		if (is_prefix && part == 0 && key[0] == '\0')
			break;
		problem = component_problem(key, part);
		if (key[part] == '\0')
			break;
		key += part + 1;
	}
	return problem;
}

int store_key_check(const char *key, struct err *err)
{
	const char *problem = key_problem(key, false);

	if (problem)
		return err_set(err, ERR_USAGE, "the object name %s %s", quote_str(key).s, problem);
	return 0;
}

int store_key_check_prefix(const char *prefix, struct err *err)
{
	const char *problem = key_problem(prefix, true);

	if (problem)
		return err_set(err, ERR_USAGE, "the prefix %s %s", quote_str(prefix).s, problem);
	return 0;
}
