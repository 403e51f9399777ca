/* The doveadm client against a server that answers as told: what Dovecot 2.3.19 answers, and
 * what it never should. */
#include "../http/server.h"

#include "cluster/doveadm.h"

#define LIMIT_S 60
#define HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define USERS 4

struct fixture {
	struct server server;
	struct doveadm *doveadm;
	struct doveadm_user users[USERS];
	struct err err;
	struct buf answer;
};

/* `answer` is all that the server says; "": it closes the connection. */
static void begin_raw(struct fixture *f, const char *answer)
{
	char url[64];

	alarm(LIMIT_S);
	f->server.answers[0] = answer;
	server_start(&f->server);
	snprintf(url, sizeof url, "http://127.0.0.1:%d", f->server.port);
	assert_int_equal(doveadm_open(url, "key", &f->doveadm, &f->err), 0);
	f->users[0].username = "a@x";
	f->users[1].username = "b@x";
	f->users[2].username = "c*";
	f->users[3].username = "";
}

static void begin(struct fixture *f, const char *body)
{
	buf_printf(&f->answer, HEAD "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
	begin_raw(f, f->answer.data);
}

static void end(struct fixture *f)
{
	for (int i = 0; i < USERS; i++)
		doveadm_user_free(&f->users[i]);
	server_stop(&f->server);
	doveadm_close(&f->doveadm);
	buf_free(&f->server.seen);
	buf_free(&f->answer);
}

static void assert_seen(const struct fixture *f, const char *text)
{
	if (!strstr(buf_str(&f->server.seen), text))
		fail_msg("no %s in %s", text, buf_str(&f->server.seen));
}

static void test_users(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "[[\"doveadmResponse\",{\"a@x\":{\"uid\":\"5000\",\"user_n\":\"n\\\"\"}},\"0\"],"
		  "[\"error\",{\"type\":\"exitCode\", \"exitCode\":67},\"1\"]]\n");
	assert_int_equal(doveadm_users(f.doveadm, f.users, USERS, &f.err), 0);
	assert_int_equal(f.users[0].known, DOVEADM_KNOWN);
	assert_int_equal(f.users[0].fields.count, 2);
	assert_string_equal(f.users[0].fields.items[1].name, "user_n");
	assert_string_equal(f.users[0].fields.items[1].value, "n\"");
	assert_int_equal(f.users[1].known, DOVEADM_UNKNOWN);
	/* Masks and empty names are never asked for. */
	for (int i = 2; i < USERS; i++) {
		assert_int_equal(f.users[i].known, DOVEADM_NOT_TOLD);
		assert_int_equal(f.users[i].err.code, ERR_TEMP);
	}
	assert_int_equal(f.server.requests, 1);
	assert_seen(&f, "POST /doveadm/v1 ");
	assert_seen(&f, "Authorization: X-Dovecot-API a2V5\r\n");
	assert_seen(&f, "[[\"user\",{\"userMask\":[\"a@x\"]},\"0\"],"
			"[\"user\",{\"userMask\":[\"b@x\"]},\"1\"]]");
	end(&f);
}

static void test_no_answer_for_one(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	begin(&f, "[[\"error\",{\"type\":\"exitCode\",\"exitCode\":75},\"0\"],"
		  "[\"error\",{\"type\":\"unknownMethod\"},\"1\"]]");
	assert_int_equal(doveadm_users(f.doveadm, f.users, 2, &f.err), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(f.users[i].known, DOVEADM_NOT_TOLD);
		assert_int_equal(f.users[i].err.code, ERR_TEMP);
	}
	assert_non_null(strstr(f.users[0].err.msg, "exit code 75"));
	end(&f);
}

/* Whatever it is, no user is taken for known or unknown on the ground of it. */
static void test_senseless(void **state)
{
#define A(tag) "[\"doveadmResponse\",{\"a@x\":{}},\"" tag "\"]"
#define B(tag) "[\"error\",{\"exitCode\":67},\"" tag "\"]"
	static const char *const bodies[] = {
		"",
		"nonsense",
		"{}",
		"[]",
		"[" A("0") "]",                       /* one is missing */
		"[" A("0") "," B("1") "," B("2") "]", /* one too many */
		"[" A("1") "," B("0") "]",            /* in another order */
		"[" A("0") "," B("0") "]",
		"[[\"doveadmResponse\",{\"b@x\":{}},\"0\"]," B("1") "]", /* another user's */
		"[[\"doveadmResponse\",{\"userList\":[\"a@x\"]},\"0\"]," B("1") "]",
		"[[\"doveadmResponse\",[],\"0\"]," B("1") "]",
		"[[\"doveadmResponse\",{\"a@x\":{\"uid\":5}},\"0\"]," B("1") "]",
		"[[\"doveadmResponse\",{\"a@x\":{\"u\":\"1\",\"u\":\"2\"}},\"0\"]," B("1") "]",
		"[[\"doveadmResponse\",{\"a@x\":{\"u\":\"\xff\"}},\"0\"]," B("1") "]",
		"[[\"somethingElse\",{},\"0\"]," B("1") "]",
		"[[\"doveadmResponse\"]," B("1") "]",
		"[7," B("1") "]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		struct fixture f = { 0 };

		begin(&f, bodies[i]);
		if (doveadm_users(f.doveadm, f.users, 2, &f.err) != -1 || f.err.code != ERR_DATA)
			fail_msg("taken: %s (%s)", bodies[i], f.err.msg);
		assert_int_equal(f.users[0].fields.count, 0);
		end(&f);
	}
}

static void test_away(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	begin_raw(&f, "");
	assert_int_equal(doveadm_users(f.doveadm, f.users, 2, &f.err), -1);
	assert_int_equal(f.err.code, ERR_UNAVAILABLE);
	assert_null(strstr(f.err.msg, "a2V5"));
	end(&f);
}

static void test_refused(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	begin_raw(&f, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(doveadm_users(f.doveadm, f.users, 2, &f.err), -1);
	assert_int_equal(f.err.code, ERR_NOPERM);
	end(&f);
}

#define ROW(user) "{\"username\":\"" user "\",\"service\":\"imap\",\"pid\":\"1\",\"ip\":\"::1\"}"

static void test_who(void **state)
{
	static const struct {
		const char *body;
		int sessions; /* -1: an error */
	} rows[] = {
		{ "[[\"doveadmResponse\",[" ROW("a@x") "," ROW("A@x") "," ROW("b@x") "],\"0\"]]",
		  2 },
		{ "[[\"doveadmResponse\",[],\"0\"]]", 0 },
		{ "[[\"doveadmResponse\",[" ROW("a@x") ",{}],\"0\"]]", -1 },
		{ "[[\"doveadmResponse\",[{\"username\":\"a@x\"}],\"0\"]]", -1 },
		/* What Dovecot 2.3.19 says without separateConnections. */
		{ "[[\"doveadmResponse\",[" ROW("b@x") "]," ROW("a@x") ",\"0\"]]", -1 },
		{ "[[\"doveadmResponse\",{},\"0\"]]", -1 },
		{ "[[\"doveadmResponse\",[],\"1\"]]", -1 },
		{ "[[\"error\",{\"type\":\"exitCode\",\"exitCode\":67},\"0\"]]", -1 },
		{ "[]", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fixture f = { 0 };
		unsigned sessions = 99;
		int ret;

		begin(&f, rows[i].body);
		ret = doveadm_who(f.doveadm, "a@x", &sessions, &f.err);
		assert_int_equal(ret < 0 ? -1 : (int)sessions, rows[i].sessions);
		assert_seen(&f,
			    "[[\"who\",{\"mask\":[\"?@x\"],\"separateConnections\":true},\"0\"]]");
		end(&f);
	}
}

/* Names that doveadm would read as something else. */
static void test_who_masks(void **state)
{
	static const char *const rows[][2] = {
		{ "12.34", "?2.34" },
		{ "::1", "??1" },
		{ "a*b\\", "?"
			   "?b?" },
		{ "1/8", "??8" },
		{ "\xc3\xa4\xc3\xb6", "????" },
		{ "A-b_c+d.e@f", "?-b_c+d.e@f" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fixture f = { 0 };
		unsigned sessions = 99;
		char want[64];

		begin(&f, "[[\"doveadmResponse\",[" ROW("other") "],\"0\"]]");
		assert_int_equal(doveadm_who(f.doveadm, rows[i][0], &sessions, &f.err), 0);
		assert_int_equal(sessions, 0);
		snprintf(want, sizeof want, "{\"mask\":[\"%s\"],", rows[i][1]);
		assert_seen(&f, want);
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users),     cmocka_unit_test(test_no_answer_for_one),
		cmocka_unit_test(test_senseless), cmocka_unit_test(test_away),
		cmocka_unit_test(test_refused),   cmocka_unit_test(test_who),
		cmocka_unit_test(test_who_masks),
	};

	return cmocka_run_group_tests_name("doveadm", tests, NULL, NULL);
}
