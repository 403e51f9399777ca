/* The event log: levels, silence, and the sinks. */
#include "capture.h"

#include <fcntl.h>
#include <syslog.h>

#include "base/clock.h"
#include "base/log.h"
#include "tool/log_sink.h"
#include "json/json.h"

static unsigned evaluated;

static uint64_t count_evaluation(void)
{
	return ++evaluated;
}

static void test_silent(void **state)
{
	struct log without_sink = { .level = LOG_LEVEL_DEBUG };

	(void)state;
	evaluated = 0;
	log_error(NULL, "event", log_uint("n", count_evaluation()));
	log_error(&without_sink, "event", log_uint("n", count_evaluation()));
	assert_int_equal(evaluated, 0);
}

static void count_event(void *ctx, const struct log_event *event)
{
	(*(unsigned *)ctx) += 1 + (unsigned)event->field_count * 100;
}

static void test_levels(void **state)
{
	static const struct {
		enum log_level level;
		unsigned events;
	} cases[] = { { 0, 0 },
		      { LOG_LEVEL_ERROR, 1 },
		      { LOG_LEVEL_WARNING, 2 },
		      { LOG_LEVEL_INFO, 3 },
		      { LOG_LEVEL_DEBUG, 4 } };

	(void)state;
	for (size_t i = 0; i < ROWS(cases); i++) {
		unsigned sum = 0;
		struct log log = { .level = cases[i].level, .write = count_event, .ctx = &sum };

		log_error(&log, "e");
		log_warning(&log, "w");
		log_info(&log, "i");
		log_debug(&log, "d");
		assert_int_equal(sum, cases[i].events);
	}
}

static void test_field_count(void **state)
{
	unsigned sum = 0;
	struct log log = { .level = LOG_LEVEL_ERROR, .write = count_event, .ctx = &sum };

	(void)state;
	log_error(&log, "e", log_int("a", 1), log_bool("b", true), log_str("c", "d"));
	assert_int_equal(sum, 301);
}

/* One event of each kind of field, with hostile names and text. */
static void emit(struct log *log)
{
	log_info(log, "metacache_upload_finished", log_str("user", "a b\n\x1b[2J"),
		 log_uint("bytes", UINT64_MAX), log_int("delta", -3), log_bool("ok", true),
		 log_str("absent", NULL), log_str("plain", "x"));
}

static void test_text(void **state)
{
	int fd = capture_open();
	struct log_sink sink = { .format = LOG_SINK_TEXT, .fd = fd };
	struct log log = { .level = LOG_LEVEL_INFO };

	(void)state;
	log_sink_attach(&log, &sink);
	emit(&log);
	log_debug(&log, "not_wanted");
	assert_captured(fd, "2001-09-09T01:46:40Z info metacache_upload_finished "
			    "user=\"a b\\n\\x1b[2J\" bytes=18446744073709551615 delta=-3 ok=yes "
			    "plain=x\n");
	close(fd);
}

static void test_json(void **state)
{
	int fd = capture_open();
	struct log_sink sink = { .format = LOG_SINK_JSON, .fd = fd };
	struct log log = { .level = LOG_LEVEL_INFO };
	autojson struct json *root = NULL;
	struct err err = { 0 };
	const char *user;
	char *text;

	(void)state;
	log_sink_attach(&log, &sink);
	emit(&log);
	text = capture_read(fd);
	assert_ptr_equal(strstr(text, "{\"time\":\"2001-09-09T01:46:40Z\",\"level\":\"info\","
				      "\"event\":\"metacache_upload_finished\",\"user\":"),
			 text);
	assert_non_null(strstr(text, ",\"bytes\":18446744073709551615,\"delta\":-3,\"ok\":true,"
				     "\"plain\":\"x\"}\n"));
	/* 2^64 - 1 is beyond what the reader takes; the rest must be JSON. */
	memcpy(strstr(text, "18446744073709551615"), "                   1", 20);
	assert_int_equal(json_parse(text, strlen(text), &root, &err), 0);
	assert_int_equal(json_get_str(root, "user", &user, &err), 1);
	assert_string_equal(user, "a b\n\x1b[2J");
	free(text);
	close(fd);
}

/* syslog(3) repeats what it sends on stderr where LOG_PERROR asks for it. */
static void test_syslog(void **state)
{
	int fd = capture_open(), stderr_copy = dup(STDERR_FILENO);
	struct log_sink sink = { .format = LOG_SINK_TEXT, .to_syslog = true, .fd = -1 };
	struct log log = { .level = LOG_LEVEL_INFO };

	(void)state;
	log_sink_attach(&log, &sink);
	openlog("test", LOG_PERROR, LOG_USER);
	dup2(fd, STDERR_FILENO);
	emit(&log);
	dup2(stderr_copy, STDERR_FILENO);
	close(stderr_copy);
	closelog();
	assert_captured(fd, "test: metacache_upload_finished user=\"a b\\n\\x1b[2J\" "
			    "bytes=18446744073709551615 delta=-3 ok=yes plain=x\n");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent),      cmocka_unit_test(test_levels),
		cmocka_unit_test(test_field_count), cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),        cmocka_unit_test(test_syslog),
	};

	clock_set_for_test(INT64_C(1000000000) * 1000000000);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
