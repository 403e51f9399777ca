#include "tool/tool_users.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/quote.h"

/* Longer than any name: what is longer is passed over without being held. */
#define LINE_MAX_BYTES 4096

VEC(stream_vec, FILE *);

struct tool_lists {
	struct stream_vec streams; /* in the order of tool->user_files */
};

int tool_users_open(struct tool *tool, struct err *err)
{
	tool->lists = xcalloc(1, sizeof *tool->lists);
	for (size_t i = 0; i < tool->user_files.count; i++) {
		const char *name = tool->user_files.items[i];
		FILE *stream = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");

		if (!stream)
			return err_sys(err, errno, "open the list of users %s", quote_str(name).s);
		vec_push(&tool->lists->streams, stream);
	}
	return 0;
}

void tool_users_close(struct tool *tool)
{
	str_vec_free(&tool->user_files);
	if (!tool->lists)
		return;
	for (size_t i = 0; i < tool->lists->streams.count; i++) {
		if (tool->lists->streams.items[i] != stdin)
			fclose(tool->lists->streams.items[i]);
	}
	vec_free(&tool->lists->streams);
	free(tool->lists);
	tool->lists = NULL;
}

/* The next line without its newline. 1, 0 at the end, -1 for one that can be no
 * name, which was read to its end. */
static int read_line(FILE *stream, char line[LINE_MAX_BYTES + 1])
{
	bool is_bad = false;
	size_t len = 0;
	int c;

	while ((c = getc_unlocked(stream)) != EOF && c != '\n') {
		if (c == '\0' || len == LINE_MAX_BYTES)
			is_bad = true;
		else
			line[len++] = (char)c;
	}
	line[len] = '\0';
	if (is_bad)
		return -1;
	return c != EOF || len > 0 ? 1 : 0;
}

static int bad_line(struct tool *tool, const char *name, uint64_t number)
{
	struct err err = { 0 };

	err_set(&err, ERR_USAGE, "line %llu can be no user name", (unsigned long long)number);
	return tool_error(tool, name, &err);
}

/* 1 where fn said stop. */
static int each_line(struct tool *tool, size_t index, tool_user_fn *fn, void *ctx, int *code)
{
	FILE *stream = tool->lists->streams.items[index];
	const char *name = stream == stdin ? "standard input" : tool->user_files.items[index];
	char line[LINE_MAX_BYTES + 1];
	struct err err = { 0 };
	uint64_t number = 0;
	int ret;

	while ((ret = read_line(stream, line)) != 0) {
		number++;
		if (ret < 0)
			*code = tool_worst(*code, bad_line(tool, name, number));
		else if (line[0] != '\0' && fn(ctx, line) < 0)
			return 1;
	}
	if (ferror(stream)) {
		err_sys(&err, errno, "read the list of users");
		*code = tool_worst(*code, tool_error(tool, name, &err));
	}
	return 0;
}

int tool_each_user(struct tool *tool, tool_user_fn *fn, void *ctx)
{
	int code = 0;

	for (size_t i = 0; i < tool->users.count; i++) {
		if (fn(ctx, tool->users.items[i]) < 0)
			return 0;
	}
	for (size_t i = 0; i < tool->lists->streams.count; i++) {
		if (each_line(tool, i, fn, ctx, &code) != 0)
			break;
	}
	return code;
}
