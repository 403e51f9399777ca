/* Single commands of doveadm's HTTP API, and what can be wrong with any answer. */
#include "doveadm_server.h"

#include "cluster/doveadm_director.h"

#define ROW(user, service)                                                                         \
	"{\"username\":\"" user "\",\"service\":\"" service "\",\"pid\":\"1\",\"ip\":\"::1\"}"

struct fixture {
	struct api api;
	struct doveadm *doveadm;
	struct err err;
};

static void begin_more(struct fixture *f, const char *const *bodies)
{
	api_start(&f->api, false, bodies);
	assert_int_equal(doveadm_open(f->api.url, "key", &f->doveadm, &f->err), 0);
}

static void begin(struct fixture *f, const char *body)
{
	begin_more(f, (const char *const[]){ body, NULL });
}

static void end(struct fixture *f)
{
	doveadm_close(&f->doveadm);
	api_stop(&f->api);
	*f = (struct fixture){ 0 };
}

static void test_open(void **state)
{
	static const char *const bad[] = {
		"",         "127.0.0.1:8080",        "ftp://h",
		"https:/h", "http://user:SECRET@h/", "https://SECRET@h"
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct doveadm *doveadm = NULL;
		struct err err = { 0 };

		if (doveadm_open(bad[i], "key", &doveadm, &err) == 0 || err.code != ERR_CONFIG)
			fail_msg("taken: %s", bad[i]);
		assert_null(strstr(err.msg, "SECRET"));
	}
}

/* ---- what can be wrong with any answer ---- */

static void test_faults(void **state)
{
	static const struct {
		const char *raw;
		enum err_code code;
		const char *says;
	} rows[] = {
		{ "", ERR_UNAVAILABLE, "" },
		{ "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", ERR_NOPERM, "401" },
		{ "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ERR_NOPERM, "403" },
		{ "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ERR_UNAVAILABLE, "404" },
		{ "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n[]", ERR_UNAVAILABLE, "500" },
		{ KEEP_HEAD "Content-Length: 50\r\n\r\n[[\"doveadmRes", ERR_UNAVAILABLE, "" },
		{ KEEP_HEAD "\r\n[]", ERR_DATA, "how long" },
		{ "* OK IMAP ready.\r\n", ERR_UNAVAILABLE, "" },
		{ KEEP_HEAD "Content-Length: 13\r\n\r\n[[\"doveadmRes", ERR_DATA, "JSON" },
		{ KEEP_HEAD "Content-Length: 2\r\n\r\n[]", ERR_DATA, "0 answers to 1" },
		{ KEEP_HEAD "Content-Length: 2\r\n\r\n{}", ERR_DATA, "0 answers to 1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fixture f = { 0 };
		unsigned sessions = 0;

		api_start_raw(&f.api, rows[i].raw);
		assert_int_equal(doveadm_open(f.api.url, "key", &f.doveadm, &f.err), 0);
		if (doveadm_who(f.doveadm, "a@x", &sessions, &f.err) == 0 ||
		    f.err.code != rows[i].code || !strstr(f.err.msg, rows[i].says))
			fail_msg("row %zu: %d %s", i, f.err.code, f.err.msg);
		assert_null(strstr(f.err.msg, "a2V5"));
		end(&f);
	}
}

static void test_slow(void **state)
{
	struct fixture f = { 0 };
	unsigned sessions = 0;

	(void)state;
	f.api.server.keep_open = true;
	api_start_raw(&f.api, KEEP_HEAD "Content-Length: 50\r\n\r\n[");
	assert_int_equal(doveadm_open(f.api.url, "key", &f.doveadm, &f.err), 0);
	doveadm_set_timeout_ms(f.doveadm, 100);
	assert_int_equal(doveadm_who(f.doveadm, "a@x", &sessions, &f.err), -1);
	assert_int_equal(f.err.code, ERR_UNAVAILABLE);
	assert_true(f.err.again);
	assert_non_null(strstr(f.err.msg, "no answer in time"));
	assert_string_equal(f.err.hint, "");
	end(&f);
}

/* Always some progress, and never an end. */
static void test_drip(void **state)
{
	struct fixture f = { 0 };
	unsigned sessions = 0;

	(void)state;
	f.api.server.drip_ms = 40;
	api_start_raw(&f.api, KEEP_HEAD "Content-Length: 501\r\n\r\n[");
	assert_int_equal(doveadm_open(f.api.url, "key", &f.doveadm, &f.err), 0);
	doveadm_set_timeout_ms(f.doveadm, 200);
	assert_int_equal(doveadm_who(f.doveadm, "a@x", &sessions, &f.err), -1);
	if (f.err.code != ERR_UNAVAILABLE || !strstr(f.err.msg, "no answer in time"))
		fail_msg("%d %s", f.err.code, f.err.msg);
	end(&f);
}

static void *ask_who(void *ctx)
{
	struct err err = { 0 };
	unsigned sessions = 0;

	return doveadm_who(ctx, "a@x", &sessions, &err) < 0 && err.code == ERR_UNAVAILABLE ? ctx
											   : NULL;
}

/* One waits in vain, and nobody after it, whether it stands in line by then or comes later. */
static void test_who_waits_once(void **state)
{
	struct fixture f = { 0 };
	pthread_t threads[3];
	unsigned sessions = 0;

	(void)state;
	f.api.server.keep_open = true;
	f.api.server.answers[1] =
		KEEP_HEAD "Content-Length: 30\r\n\r\n[[\"doveadmResponse\",[],\"0\"]]  ";
	api_start_raw(&f.api, KEEP_HEAD "Content-Length: 50\r\n\r\n[");
	assert_int_equal(doveadm_open(f.api.url, "key", &f.doveadm, &f.err), 0);
	doveadm_set_timeout_ms(f.doveadm, 200);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_who, f.doveadm), 0);
	for (size_t i = 0; i < 3; i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_non_null(failed);
	}
	assert_int_equal(doveadm_who(f.doveadm, "b@x", &sessions, &f.err), -1);
	assert_non_null(strstr(f.err.msg, "no answer in time"));
	assert_int_equal(f.api.server.requests, 1);
	end(&f);
}

/* What is over at once may be asked again. */
static void test_who_refused(void **state)
{
	static const char *const bodies[] = { "[]", "[" OK_ANSWER("0", "[]") "]", NULL };
	struct fixture f = { 0 };
	unsigned sessions = 9;

	(void)state;
	begin_more(&f, bodies);
	assert_int_equal(doveadm_who(f.doveadm, "a@x", &sessions, &f.err), -1);
	assert_int_equal(doveadm_who(f.doveadm, "a@x", &sessions, NULL), 0);
	assert_int_equal(sessions, 0);
	end(&f);
}

static void test_unreachable(void **state)
{
	struct doveadm *doveadm;
	struct err err = { 0 };
	unsigned sessions;

	(void)state;
	assert_int_equal(doveadm_open("http://127.0.0.1:1", "key", &doveadm, &err), 0);
	assert_int_equal(doveadm_who(doveadm, "a@x", &sessions, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	doveadm_close(&doveadm);
}

static void test_connection_is_kept(void **state)
{
	static const char *const bodies[] = { "[" OK_ANSWER("0", "[]") "]",
					      "[" OK_ANSWER("0", "[]") "]", NULL };
	struct fixture f = { 0 };
	unsigned sessions = 0;

	(void)state;
	api_start(&f.api, true, bodies);
	assert_int_equal(doveadm_open(f.api.url, "key", &f.doveadm, &f.err), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(doveadm_who(f.doveadm, "a@x", &sessions, &f.err), 0);
	assert_int_equal(f.api.server.requests, 2);
	assert_int_equal(f.api.server.connections, 1);
	end(&f);
}

/* Refused, each with the error that tells what to do. */
static void test_refusals(void **state)
{
	static const struct {
		const char *answer;
		enum err_code code;
	} rows[] = {
		{ EXIT_ANSWER("0", "75"), ERR_TEMP },
		{ EXIT_ANSWER("0", "64"), ERR_TEMP },
		{ "[\"error\",{\"type\":\"unAuthorized\", \"exitCode\":0},\"0\"]", ERR_NOPERM },
		{ "[\"error\",{\"type\":\"unknownMethod\", \"exitCode\":0},\"0\"]",
		  ERR_UNAVAILABLE },
		{ "[\"error\",[],\"0\"]", ERR_UNAVAILABLE },
		{ "[\"error\",{},\"1\"]", ERR_DATA },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fixture f = { 0 };
		char body[128];
		unsigned sessions = 0;

		snprintf(body, sizeof body, "[%s]", rows[i].answer);
		begin(&f, body);
		assert_int_equal(doveadm_who(f.doveadm, "a@x", &sessions, &f.err), -1);
		if (f.err.code != rows[i].code)
			fail_msg("row %zu: %d %s", i, f.err.code, f.err.msg);
		end(&f);
	}
}

/* ---- sessions and services ---- */

static void take_session(void *ctx, const struct doveadm_session *session)
{
	buf_printf(ctx, "%s %s;", session->username, session->service);
}

static void test_sessions(void **state)
{
	autobuf struct buf seen = { 0 };
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "[" OK_ANSWER("0", "[" ROW("b@x", "imap") "," ROW("A@x", "pop3") "," ROW(
					     "", "imap") "]") "]");
	assert_int_equal(doveadm_who_each(f.doveadm, NULL, take_session, &seen, &f.err), 0);
	assert_asked(&f.api, "[[\"who\",{\"separateConnections\":true},\"0\"]]");
	assert_string_equal(buf_str(&seen), "b@x imap;A@x pop3; imap;");
	end(&f);

	begin(&f, "[" OK_ANSWER("0", "[" ROW("b@x", "imap") ",[]]") "]");
	assert_int_equal(doveadm_who_each(f.doveadm, NULL, take_session, &seen, &f.err), -1);
	assert_int_equal(f.err.code, ERR_DATA);
	end(&f);
}

static void test_kick(void **state)
{
	static const struct {
		const char *answer;
		int users; /* -1: an error */
	} rows[] = {
		{ OK_ANSWER("0", "[{\"result\":\"a@x\"},{\"result\":\"b@x\"}]"), 2 },
		{ EXIT_ANSWER("0", "68"), 0 },
		{ EXIT_ANSWER("0", "75"), -1 },
		{ OK_ANSWER("0", "{}"), -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fixture f = { 0 };
		char body[128];
		unsigned users = 99;
		int ret;

		snprintf(body, sizeof body, "[%s]", rows[i].answer);
		begin(&f, body);
		ret = doveadm_kick(f.doveadm, "*@x", &users, &f.err);
		assert_int_equal(ret < 0 ? -1 : (int)users, rows[i].users);
		assert_int_equal(f.err.code != ERR_NONE, ret < 0);
		assert_asked(&f.api, "[[\"kick\",{\"mask\":[\"*@x\"]},\"0\"]]");
		end(&f);
	}
}

#define SERVICE(name, processes, stopped)                                                          \
	"{\"name\":\"" name "\",\"process_count\":\"" processes "\",\"doveadm_stop\":\"" stopped   \
	"\"}"

static void test_services(void **state)
{
	static const char *const bad[] = { SERVICE("imap", "", "n"), SERVICE("imap", "1", "?"),
					   "{\"name\":\"imap\"}", "[]" };
	struct doveadm_service_vec services = { 0 };
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "[" OK_ANSWER("0", "[" SERVICE("imap", "2", "n") "," SERVICE("imap-login", "0",
									       "y") "]") "]");
	assert_int_equal(doveadm_services(f.doveadm, &services, &f.err), 0);
	assert_int_equal(services.count, 2);
	assert_string_equal(services.items[1].name, "imap-login");
	assert_int_equal(services.items[0].processes, 2);
	assert_false(services.items[0].stopped);
	assert_true(services.items[1].stopped);
	vec_free(&services);
	end(&f);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char body[256];

		snprintf(body, sizeof body, "[[\"doveadmResponse\",[%s],\"0\"]]", bad[i]);
		begin(&f, body);
		assert_int_equal(doveadm_services(f.doveadm, &services, &f.err), -1);
		assert_int_equal(f.err.code, ERR_DATA);
		vec_free(&services);
		end(&f);
	}
}

static void test_service_stop(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "[" OK_ANSWER("0", "[]") "]");
	assert_int_equal(doveadm_service_stop(f.doveadm, "imap-login", &f.err), 0);
	assert_asked(&f.api, "[[\"serviceStop\",{\"service\":[\"imap-login\"]},\"0\"]]");
	end(&f);
	begin(&f, "[" EXIT_ANSWER("0", "68") "]");
	assert_int_equal(doveadm_service_stop(f.doveadm, "imap", &f.err), -1);
	assert_int_equal(f.err.code, ERR_NOTFOUND);
	end(&f);
	begin(&f, "[" EXIT_ANSWER("0", "75") "]");
	assert_int_equal(doveadm_service_stop(f.doveadm, "imap", &f.err), -1);
	assert_int_equal(f.err.code, ERR_TEMP);
	end(&f);
}

/* ---- a director ---- */

static void test_director_changes(void **state)
{
	static const char *const bodies[] = {
		"[" OK_ANSWER("0", "[]") "]",
		"[" OK_ANSWER("0", "[]") "]",
		"[" OK_ANSWER("0", "[]") "]",
		"[" OK_ANSWER("0", "[]") "]",
		"[" EXIT_ANSWER("0", "68") "]",
		"[" EXIT_ANSWER("0", "75") "]",
		NULL,
	};
	struct fixture f = { 0 };
	struct host host;

	(void)state;
	assert_int_equal(host_parse("127.0.0.11", &host), 0);
	begin_more(&f, bodies);
	assert_int_equal(doveadm_director_update(f.doveadm, &host, 0, &f.err), 0);
	assert_asked(&f.api,
		     "[[\"directorUpdate\",{\"vhostCount\":\"0\",\"host\":\"127.0.0.11\"},\"0\"]]");
	assert_int_equal(doveadm_director_down(f.doveadm, &host, &f.err), 0);
	assert_asked(&f.api, "[[\"directorDown\",{\"host\":\"127.0.0.11\"},\"0\"]]");
	assert_int_equal(doveadm_director_up(f.doveadm, &host, &f.err), 0);
	assert_asked(&f.api, "[[\"directorUp\",{\"host\":\"127.0.0.11\"},\"0\"]]");
	assert_int_equal(doveadm_director_flush(f.doveadm, &host, &f.err), 0);
	assert_asked(&f.api, "[[\"directorFlush\",{\"host\":\"127.0.0.11\"},\"0\"]]");
	assert_int_equal(doveadm_director_flush(f.doveadm, &host, &f.err), -1);
	assert_int_equal(f.err.code, ERR_NOTFOUND);
	assert_int_equal(doveadm_director_flush(f.doveadm, &host, &f.err), -1);
	assert_int_equal(f.err.code, ERR_TEMP);
	end(&f);
}

static void test_hashes(void **state)
{
	static const char *const users[] = { "12", "34", "56", "78" };
	struct doveadm_director_hash hashes[4];
	struct fixture f = { 0 };

	(void)state;
	begin(&f,
	      "[" OK_ANSWER("0", "[{\"hash\":\"2189216526\"}]") "," OK_ANSWER(
		      "1",
		      "[{\"hash\":\"12x\"}]") "," EXIT_ANSWER("2",
							      "64") "," OK_ANSWER("3",
										  "[{\"hash\":"
										  "\"12345678901234"
										  "567\"}]") "]");
	assert_int_equal(doveadm_director_hashes(f.doveadm, users, 4, hashes, &f.err), 0);
	assert_asked(&f.api, "[\"directorMap\",{\"userMap\":true,\"host\":\"12\"},\"0\"]");
	assert_string_equal(hashes[0].text, "2189216526");
	for (int i = 1; i < 4; i++)
		assert_string_equal(hashes[i].text, "");
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),           cmocka_unit_test(test_faults),
		cmocka_unit_test(test_slow),           cmocka_unit_test(test_drip),
		cmocka_unit_test(test_who_waits_once), cmocka_unit_test(test_who_refused),
		cmocka_unit_test(test_unreachable),    cmocka_unit_test(test_connection_is_kept),
		cmocka_unit_test(test_refusals),       cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_kick),           cmocka_unit_test(test_services),
		cmocka_unit_test(test_service_stop),   cmocka_unit_test(test_director_changes),
		cmocka_unit_test(test_hashes),
	};

	return cmocka_run_group_tests_name("doveadm commands", tests, NULL, NULL);
}
