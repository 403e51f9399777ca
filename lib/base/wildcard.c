#include "base/wildcard.h"

#include <stddef.h>
#include <string.h>

bool wildcard_match(const char *mask, const char *s)
{
	const char *star = NULL, *star_s = NULL;

	while (*s != '\0') {
		if (*mask == '*') {
			star = mask++;
			star_s = s;
		} else if (*mask != '\0' && (*mask == '?' || *mask == *s)) {
			mask++;
			s++;
		} else if (star) {
			/* Only the last star needs to give way: whatever an
			 * earlier one could take, this one can take as well. */
			mask = star + 1;
			s = ++star_s;
		} else {
			return false;
		}
	}
	while (*mask == '*')
		mask++;
	return *mask == '\0';
}

bool wildcard_is_literal(const char *mask)
{
	return strpbrk(mask, "*?") == NULL;
}
