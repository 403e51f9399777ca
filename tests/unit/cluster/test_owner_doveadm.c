/* Owners from a director's HTTP API: answers as Dovecot 2.3.19 gives them, and others. */
#include "owner_fixture.h"

#undef LIMIT_S
#include "doveadm_server.h"

#include "base/clock.h"

#define BACKEND(address, tag, vhosts, updown)                                                      \
	"{\"mail server ip\":\"" address "\",\"tag\":\"" tag "\",\"vhosts\":\"" vhosts             \
	"\",\"state\":\"" updown "\",\"state-changed\":\"-\",\"users\":\"7\"}"
#define BACKENDS_OF(one, three) "[" one "," BACKEND("127.0.0.12", "", "100", "up") "," three "]"
#define ONE BACKEND("127.0.0.11", "", "100", "up")
#define THREE BACKEND("127.0.0.13", "", "100", "up")
#define BACKENDS BACKENDS_OF(ONE, THREE)
#define HERE "127.0.0.11"

#define USER(current, expires, hashed)                                                             \
	"[{\"status\":\"" current "\",\"expires\":\"" expires "\",\"hashed\":\"" hashed            \
	"\",\"initial-config\":\"127.0.0.11\"}]"
#define UNASSIGNED(hashed) USER("n/a", "-1", hashed)

static void begin(struct asked *asked, struct api *api, const char *const *bodies)
{
	*api = (struct api){ 0 };
	api_start(api, true, bodies);
	asked_open(asked, api->url, HERE);
}

static void end(struct asked *asked, struct api *api)
{
	asked_close(asked);
	api_stop(api);
}

static void test_users(void **state)
{
	static const char *const bodies[] = {
		"[" OK_ANSWER("0", BACKENDS) "]",
		"[" OK_ANSWER("0", USER("127.0.0.11", "2100-01-01 00:00:00", "127.0.0.12")) "," OK_ANSWER("1", USER("127.0.0.13", "2100-01-01 00:00:00", "127.0.0.11")) "," OK_ANSWER(
			"2",
			UNASSIGNED(
				"127.0.0.11")) "," OK_ANSWER("3",
							     UNASSIGNED(
								     "127.0.0.12")) "," OK_ANSWER("4",
												  USER("127.0.0.13",
												       "2001-01-01 00:00:00",
												       "127.0.0.11")) "," EXIT_ANSWER("5",
																      "75") "," OK_ANSWER("6",
																			  "[]") "," OK_ANSWER("7",
																					      BACKENDS) "]",
		NULL,
	};
	struct asked asked;
	struct api api;

	(void)state;
	begin(&asked, &api, bodies);
	assert_int_equal(
		ask(&asked, "here@x", "moved@x", "Hashed@X", "other@x", "old@x", "no@x", "empty@x"),
		0);
	assert_answer(&asked, 0, OWNER_HERE, "127.0.0.11");
	assert_answer(&asked, 1, OWNER_ELSEWHERE, "127.0.0.13");
	assert_true(asked.answers[1].expires_s > 4000000000);
	assert_answer(&asked, 2, OWNER_HERE, "127.0.0.11");
	assert_int_equal(asked.answers[2].expires_s, 0);
	assert_answer(&asked, 3, OWNER_WOULD_BE_ELSEWHERE, "127.0.0.12");
	assert_answer(&asked, 4, OWNER_UNKNOWN, "not for long");
	assert_answer(&asked, 5, OWNER_UNKNOWN, "exit code 75");
	assert_answer(&asked, 6, OWNER_UNKNOWN, "no sense");
	assert_int_equal(api.server.requests, 2);
	assert_int_equal(api.server.connections, 1);
	/* The name as it is: the director brings it into its own form. */
	assert_asked(&api, "[\"directorStatus\",{\"user\":\"Hashed@X\"},\"2\"]");
	assert_asked(&api, "[\"directorStatus\",{},\"7\"]]");
	end(&asked, &api);
}

/* A name of digits would be taken for a hash: Dovecot is asked for the hash of the name. */
static void test_digits(void **state)
{
	static const char *const bodies[] = {
		"[" OK_ANSWER("0", "[{\"hash\":\"2189216526\"}]") "," EXIT_ANSWER("1", "64") "]",
		"[" OK_ANSWER("0", BACKENDS) "]",
		"[" OK_ANSWER("0", UNASSIGNED("127.0.0.12")) "," OK_ANSWER(
			"1",
			UNASSIGNED(
				"127.0."
				"0.12")) "," OK_ANSWER("2",
						       UNASSIGNED(
							       "127.0.0.12")) "," OK_ANSWER("3",
											    BACKENDS) "]",
		NULL,
	};
	struct asked asked;
	struct api api;

	(void)state;
	begin(&asked, &api, bodies);
	assert_int_equal(ask(&asked, "a@x", "12345", "007"), 0);
	assert_answer(&asked, 0, OWNER_WOULD_BE_ELSEWHERE, "127.0.0.12");
	assert_answer(&asked, 1, OWNER_WOULD_BE_ELSEWHERE, "127.0.0.12");
	assert_answer(&asked, 2, OWNER_UNKNOWN, "takes the name for a hash");
	assert_asked(&api, "[[\"directorMap\",{\"userMap\":true,\"host\":\"12345\"},\"0\"],");
	assert_asked(&api, "[\"directorStatus\",{\"user\":\"2189216526\"},\"1\"]");
	assert_null(strstr(buf_str(&api.server.seen), "\"user\":\"12345\""));
	assert_null(strstr(buf_str(&api.server.seen), "\"user\":\"007\""));
	end(&asked, &api);
}

/* Backends in groups: users of this host's group are asked for in it. */
static void test_tag(void **state)
{
#define TAGGED                                                                                     \
	BACKENDS_OF(BACKEND("127.0.0.11", "g1", "100", "up"),                                      \
		    BACKEND("127.0.0.13", "g1", "9", "up"))
	static const char *const bodies[] = {
		"[" OK_ANSWER("0", TAGGED) "]",
		"[" OK_ANSWER("0", UNASSIGNED("127.0.0.13")) "," OK_ANSWER("1", TAGGED) "]",
		NULL,
	};
	struct asked asked;
	struct api api;

	(void)state;
	begin(&asked, &api, bodies);
	assert_int_equal(ask(&asked, "a@x"), 0);
	assert_answer(&asked, 0, OWNER_WOULD_BE_ELSEWHERE, "127.0.0.13");
	assert_asked(&api, "{\"user\":\"a@x\",\"tag\":\"g1\"}");
	end(&asked, &api);
}

/* Drained, down or gone while users were looked up. */
static void test_backends_change(void **state)
{
#define USERS_THEN(backends)                                                                       \
	"[" OK_ANSWER("0", UNASSIGNED("127.0.0.12")) "," OK_ANSWER("1", backends) "]"
	static const struct {
		const char *before, *after;
		const char *says;
	} rows[] = {
		{ "[" OK_ANSWER("0", BACKENDS) "]",
		  USERS_THEN(BACKENDS_OF(BACKEND("127.0.0.11", "", "0", "up"), THREE)),
		  "takes no users" },
		{ "[" OK_ANSWER("0", BACKENDS) "]",
		  USERS_THEN(BACKENDS_OF(BACKEND("127.0.0.11", "", "100", "down"), THREE)),
		  "takes no users" },
		{ "[" OK_ANSWER("0", BACKENDS_OF(BACKEND("127.0.0.11", "", "0", "up"), THREE)) "]",
		  USERS_THEN(BACKENDS), "takes no users" },
		{ "[" OK_ANSWER("0", BACKENDS) "]", USERS_THEN("[" ONE "," THREE "]"),
		  "127.0.0.12" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct asked asked;
		struct api api;

		begin(&asked, &api, (const char *const[]){ rows[i].before, rows[i].after, NULL });
		assert_int_equal(ask(&asked, "a@x"), 0);
		assert_answer(&asked, 0, OWNER_UNKNOWN, rows[i].says);
		end(&asked, &api);
	}
}

static void test_nothing_known(void **state)
{
	static const struct {
		const char *bodies[3];
		enum err_code code;
		const char *says;
	} rows[] = {
		{ { "[" OK_ANSWER("0", "[" THREE "]") "]" }, ERR_CONFIG, "none of the director's" },
		{ { "[" OK_ANSWER("0", "[]") "]" }, ERR_CONFIG, "none of the director's" },
		{ { "[" OK_ANSWER("0", BACKENDS) "]", USERS_THEN("[" THREE "]") },
		  ERR_CONFIG,
		  "none of" },
		{ { "[" OK_ANSWER("0", BACKENDS) "]", USERS_THEN("[]") }, ERR_CONFIG, "none of" },
		{ { "[" OK_ANSWER("0", BACKENDS) "]", USERS_THEN("{}") }, ERR_DATA, "no sense" },
		{ { "[" OK_ANSWER("0", BACKENDS) "]",
		    "[" OK_ANSWER("0", UNASSIGNED("127.0.0.12")) "]" },
		  ERR_DATA,
		  "1 answers to 2" },
		{ { "[" OK_ANSWER("0", BACKENDS) "]",
		    "[" OK_ANSWER("1", "[]") "," OK_ANSWER("0", "[]") "]" },
		  ERR_DATA,
		  "no sense" },
		{ { "[" OK_ANSWER("0", BACKENDS) "]", "[[\"doveadm" }, ERR_DATA, "JSON" },
		{ { "[" EXIT_ANSWER("0", "75") "]" }, ERR_TEMP, "exit code 75" },
		{ { "[" OK_ANSWER("0", "[{}]") "]" }, ERR_DATA, "no sense" },
		{ { "[" OK_ANSWER("0", "[" BACKEND("here", "", "x", "up") "]") "]" },
		  ERR_DATA,
		  "no sense" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct asked asked;
		struct api api;

		begin(&asked, &api, rows[i].bodies);
		assert_int_equal(ask(&asked, "a@x"), -1);
		assert_nothing(&asked, rows[i].code, rows[i].says);
		end(&asked, &api);
	}
}

static void test_senseless_users(void **state)
{
	static const char *const users[] = {
		"[]",
		"{}",
		"[{}]",
		"[" UNASSIGNED("127.0.0.12") "]",
		UNASSIGNED("127.0.0"),
		USER("127.0.0", "2100-01-01 00:00:00", "127.0.0.12"),
		USER("", "", ""),
		USER("", "", "127.0.0.12"),
		USER("", "-1", "127.0.0.12"),
		USER("n/a", "", "127.0.0.12"),
		USER("n/a", "2100-01-01 00:00:00", "127.0.0.12"),
		USER("127.0.0.12", "garbage", ""),
		USER("127.0.0.12", "", "127.0.0.12"),
		USER("127.0.0.12", "-1", "127.0.0.12"),
		USER("127.0.0.12", "2100-01-01 00:00:00 or so", "127.0.0.12"),
		USER("N/A", "-1", "127.0.0.12"),
		USER("-", "-1", "127.0.0.12"),
		"[{\"status\":\"n/a\",\"expires\":-1,\"hashed\":\"127.0.0.12\"}]",
		"[{\"status\":\"n/a\",\"hashed\":\"127.0.0.12\"}]",
	};

	(void)state;
	for (size_t i = 0; i < ROWS(users); i++) {
		autofree char *body = xasprintf(
			"[[\"doveadmResponse\",%s,\"0\"]," OK_ANSWER("1", BACKENDS) "]", users[i]);
		struct asked asked;
		struct api api;

		begin(&asked, &api,
		      (const char *const[]){ "[" OK_ANSWER("0", BACKENDS) "]", body, NULL });
		assert_int_equal(ask(&asked, "a@x"), 0);
		assert_answer(&asked, 0, OWNER_UNKNOWN, "");
		end(&asked, &api);
	}
}

static void test_away(void **state)
{
	struct asked asked;
	struct api api = { 0 };
	int64_t began_ms;

	(void)state;
	asked_open(&asked, "http://127.0.0.1:1", HERE);
	assert_int_equal(ask(&asked, "a@x", "b@x"), -1);
	assert_nothing(&asked, ERR_UNAVAILABLE, "127.0.0.1");
	asked_close(&asked);

	api_start_raw(&api, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	asked_open(&asked, api.url, HERE);
	assert_int_equal(ask(&asked, "a@x", "b@x"), -1);
	assert_nothing(&asked, ERR_NOPERM, "401");
	assert_null(strstr(asked.err.msg, "a2V5"));
	end(&asked, &api);

	api = (struct api){ .server.keep_open = true };
	api_start_raw(&api, "HTTP/1.1 200 OK\r\n");
	asked_open(&asked, api.url, HERE);
	began_ms = clock_mono_ms();
	assert_int_equal(ask(&asked, "a@x", "b@x"), -1);
	assert_nothing(&asked, ERR_UNAVAILABLE, "no answer in time");
	assert_true(clock_mono_ms() - began_ms >= 300);
	end(&asked, &api);
}

/* What was answered before the director went away stays known, the rest is not asked for. */
static void test_goes_away_half_way(void **state)
{
	enum { COUNT = 5001 };
	autobuf struct buf first = { 0 };
	autofree struct owner_answer *answers = xcalloc(COUNT, sizeof *answers);
	struct asked asked;
	struct api api;

	(void)state;
	buf_putc(&first, '[');
	for (int i = 0; i < 5000; i++)
		buf_printf(&first, "[\"doveadmResponse\"," UNASSIGNED("127.0.0.12") ",\"%d\"],", i);
	buf_puts(&first, OK_ANSWER("5000", BACKENDS) "]");
	begin(&asked, &api,
	      (const char *const[]){ "[" OK_ANSWER("0", BACKENDS) "]", buf_str(&first), "[]",
				     NULL });
	for (int i = 0; i < COUNT; i++)
		answers[i].user = "a@x";
	assert_int_equal(owner_lookup(asked.owner, answers, COUNT, &asked.err), 0);
	assert_int_equal(answers[0].where, OWNER_WOULD_BE_ELSEWHERE);
	assert_int_equal(answers[4999].where, OWNER_WOULD_BE_ELSEWHERE);
	assert_int_equal(answers[5000].where, OWNER_UNKNOWN);
	assert_int_equal(answers[5000].err.code, ERR_DATA);
	end(&asked, &api);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users),         cmocka_unit_test(test_digits),
		cmocka_unit_test(test_tag),           cmocka_unit_test(test_backends_change),
		cmocka_unit_test(test_nothing_known), cmocka_unit_test(test_senseless_users),
		cmocka_unit_test(test_away),          cmocka_unit_test(test_goes_away_half_way),
	};

	return cmocka_run_group_tests_name("owner by doveadm", tests, NULL, NULL);
}
