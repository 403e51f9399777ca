/* The progress line: when it is drawn, what it says, that it goes away. */
#include "capture.h"

#include "base/clock.h"
#include "tool/print.h"
#include "tool/progress.h"

#define CLEARED "\r\033[K"

/* Add until something was drawn: at most five times a second, so it takes a while. */
static void add_until_drawn(struct progress *progress, int fd)
{
	int64_t limit_ms = clock_mono_ms() + 10000;

	while (lseek(fd, 0, SEEK_CUR) == 0) {
		assert_true(clock_mono_ms() < limit_ms);
		progress_add(progress, 1);
	}
}

static void test_line(void **state)
{
	int fd = capture_open();
	struct progress *progress = progress_new(&(struct progress_options){ .fd = fd,
									     .what = "us\x1b"
										     "ers",
									     .total = 0 });
	char *text;

	(void)state;
	progress_add(progress, 1);
	assert_captured(fd, ""); /* not before there is a rate */
	progress_set_total(progress, UINT64_MAX / 2);
	add_until_drawn(progress, fd);
	text = capture_read(fd);
	assert_int_equal(text[0], '\r');
	assert_non_null(strstr(text, "/9223372036854775807 us\\x1bers, "));
	assert_non_null(strstr(text, "/s, "));
	assert_non_null(strstr(text, " left\033[K"));
	free(text);
	progress_clear(progress);
	assert_captured(fd, CLEARED);
	progress_clear(progress);
	assert_captured(fd, "");
	add_until_drawn(progress, fd);
	free(capture_read(fd));
	progress_free(progress);
	assert_captured(fd, CLEARED);
	close(fd);
}

static void test_never_wraps(void **state)
{
	int fd = capture_open();
	struct progress *progress = progress_new(&(struct progress_options){
		.fd = fd, .what = "a long name of what is counted", .total = 1, .width = 20 });
	char *text;

	(void)state;
	add_until_drawn(progress, fd);
	text = capture_read(fd);
	assert_true(strcspn(text + 1, "\033") < 20);
	free(text);
	progress_free(progress);
	close(fd);
}

static void test_rows_come_after_the_line_is_gone(void **state)
{
	static const struct print_field fields[] = { { .name = "user" } };
	int fd = capture_open();
	struct progress *progress =
		progress_new(&(struct progress_options){ .fd = fd, .what = "users" });
	struct print_options options = {
		.format = PRINT_FLOW,
		.fd = fd,
		.rows = "users",
		.fields = fields,
		.field_count = 1,
		.live = true,
		.progress = progress,
	};
	struct printer *printer = print_new(&options, NULL);

	(void)state;
	add_until_drawn(progress, fd);
	free(capture_read(fd));
	assert_int_equal(print_row(printer, (struct print_value[]){ print_str("a") }, NULL), 0);
	assert_captured(fd, CLEARED "user=a\n");
	assert_int_equal(print_finish(&printer, NULL), 0);
	progress_free(progress);
	close(fd);
}

static void test_null_is_nobody_watching(void **state)
{
	(void)state;
	progress_add(NULL, 1);
	progress_set_total(NULL, 1);
	progress_clear(NULL);
	progress_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_never_wraps),
		cmocka_unit_test(test_rows_come_after_the_line_is_gone),
		cmocka_unit_test(test_null_is_nobody_watching),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
