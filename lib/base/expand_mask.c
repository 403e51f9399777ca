#include "base/expand.h"
#include "base/expand_token.h"

int expand_mask(const char *pattern, struct buf *mask_r, struct err *err)
{
	struct expand_token token;
	int ret;

	buf_truncate(mask_r, 0);
	while ((ret = expand_token_next(&pattern, &token, err)) > 0) {
		if (token.kind == EXPAND_LITERAL)
			buf_append(mask_r, token.text, token.len);
		else
			buf_putc(mask_r, token.kind == EXPAND_SLASH ? '/' : '*');
	}
	return ret;
}
