#include "common/common_check.h"

#include "common/common_output.h"

typedef unsigned long long ull;

void common_check_free(struct common_check *check)
{
	buf_free(&check->problems);
	buf_free(&check->perf);
}

enum common_check_code common_check_judge(uint64_t value, const uint64_t limits[2])
{
	if (value > limits[1])
		return COMMON_CHECK_CRITICAL;
	return value > limits[0] ? COMMON_CHECK_WARNING : COMMON_CHECK_OK;
}

/* Critical is worse than unknown: it is known to be bad. */
static void worsen(struct common_check *check, enum common_check_code code)
{
	static const int order[] = {
		[COMMON_CHECK_OK] = 0,
		[COMMON_CHECK_WARNING] = 1,
		[COMMON_CHECK_UNKNOWN] = 2,
		[COMMON_CHECK_CRITICAL] = 3,
	};

	if (order[code] > order[check->code])
		check->code = code;
}

struct buf *common_check_problem(struct common_check *check, enum common_check_code code)
{
	worsen(check, code);
	if (check->problems.len > 0)
		buf_puts(&check->problems, ", ");
	return &check->problems;
}

void common_check_safe(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f || *s == '|')
			buf_putc(out, '_');
		else
			buf_putc(out, *s);
	}
}

void common_check_age(struct buf *out, uint64_t age_s)
{
	if (age_s >= 2 * 86400)
		buf_printf(out, "%llu days", (ull)(age_s / 86400));
	else if (age_s >= 2 * 3600)
		buf_printf(out, "%llu hours", (ull)(age_s / 3600));
	else if (age_s >= 120)
		buf_printf(out, "%llu minutes", (ull)(age_s / 60));
	else
		buf_printf(out, "%llu seconds", (ull)age_s);
}

/* A quote in it is doubled, '=' may not be in it. */
void common_check_label(struct buf *perf, const char *what, const char *path)
{
	buf_printf(perf, " '%s ", what);
	for (; *path != '\0'; path++) {
		const char one[] = { *path, '\0' };

		common_check_safe(perf, *path == '=' ? "_" : one);
		if (*path == '\'')
			buf_putc(perf, '\'');
	}
	buf_putc(perf, '\'');
}

void common_check_begin(const struct common_check *check, const char *title, struct buf *out)
{
	static const char *const names[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

	buf_printf(out, "%s %s - ", title, names[check->code]);
	if (check->problems.len > 0)
		buf_printf(out, "%s; ", buf_str(&check->problems));
}

int common_check_plugin(const char *title, const struct tool *tool, int code)
{
	const struct common_check check = { COMMON_CHECK_UNKNOWN };
	autobuf struct buf text = { 0 };

	if (code <= COMMON_CHECK_UNKNOWN)
		return code;
	common_check_begin(&check, title, &text);
	buf_printf(&text, "%s failed: ", tool->spec->program);
	common_check_safe(&text, tool->first_err.msg);
	if (tool->first_err.hint[0] != '\0') {
		buf_puts(&text, " (");
		common_check_safe(&text, tool->first_err.hint);
		buf_putc(&text, ')');
	}
	buf_putc(&text, '\n');
	common_output_write(NULL, &text, NULL);
	return COMMON_CHECK_UNKNOWN;
}
