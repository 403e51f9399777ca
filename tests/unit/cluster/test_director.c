/* What a director's answers prove, as a table; in doubt nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/director.h"

#define NOW 1000000
#define LATER (NOW + 900)
#define SOON (NOW + 30)
#define HERE "10.0.0.1"

/* Backends as text: "10.0.0.1 100 up, …" */
static void read_hosts(const char *text, struct director_host_vec *hosts)
{
	char address[64], vhosts[16], updown[16];
	int used;

	while (sscanf(text, "%63s %15s %15[a-z]%n", address, vhosts, updown, &used) == 3) {
		assert_int_equal(director_host_add(hosts, address, "", vhosts,
						   strcmp(updown, "up") == 0, NULL),
				 0);
		text += used;
		text += *text == ',';
	}
}

static const char *const usual = "10.0.0.1 100 up,10.0.0.2 100 up,10.0.0.3 100 up";
static const char *const drained = "10.0.0.1 0 up,10.0.0.2 100 up,10.0.0.3 100 up";
static const char *const down = "10.0.0.1 100 down,10.0.0.2 100 up,10.0.0.3 100 up";
static const char *const other_down = "10.0.0.1 100 up,10.0.0.2 100 down,10.0.0.3 100 up";
static const char *const other_drained = "10.0.0.1 100 up,10.0.0.2 0 up,10.0.0.3 100 up";
static const char *const other_gone = "10.0.0.1 100 up,10.0.0.3 100 up";

static const struct {
	const char *current;
	int64_t expires_s;
	const char *hashed;
	const char *const *before, *const *after;
	enum owner_where where;
	const char *says; /* of the host, or of the reason */
} rows[] = {
	{ HERE, LATER, HERE, &usual, &usual, OWNER_HERE, HERE },
	{ HERE, LATER, "10.0.0.2", &usual, &usual, OWNER_HERE, HERE },
	{ HERE, SOON, "10.0.0.2", &usual, &usual, OWNER_HERE, HERE },
	{ HERE, LATER, "10.0.0.2", &drained, &drained, OWNER_HERE, HERE },
	{ HERE, LATER, "10.0.0.2", &down, &down, OWNER_HERE, HERE },
	{ HERE, LATER, "", &usual, &usual, OWNER_HERE, HERE },
	{ "", 0, HERE, &usual, &usual, OWNER_HERE, HERE },
	{ "", 0, "::ffff:10.0.0.1", &usual, &usual, OWNER_HERE, HERE },

	{ "10.0.0.2", LATER, "10.0.0.3", &usual, &usual, OWNER_ELSEWHERE, "10.0.0.2" },
	{ "10.0.0.2", LATER, HERE, &usual, &usual, OWNER_ELSEWHERE, "10.0.0.2" },
	{ "10.0.0.2", LATER, "10.0.0.3", &drained, &drained, OWNER_ELSEWHERE, "10.0.0.2" },
	{ "10.0.0.2", LATER, "10.0.0.3", &other_drained, &usual, OWNER_ELSEWHERE, "10.0.0.2" },
	/* It ends soon: what matters is where the user goes then. */
	{ "10.0.0.2", SOON, "10.0.0.3", &usual, &usual, OWNER_ELSEWHERE, "10.0.0.2" },
	{ "10.0.0.2", SOON, HERE, &usual, &usual, OWNER_UNKNOWN, "not for long" },
	{ "10.0.0.2", 0, HERE, &usual, &usual, OWNER_UNKNOWN, "not for long" },
	{ "10.0.0.2", LATER, HERE, &other_down, &usual, OWNER_UNKNOWN, "not up" },
	{ "10.0.0.2", LATER, HERE, &usual, &other_down, OWNER_UNKNOWN, "not up" },
	{ "10.0.0.2", LATER, HERE, &other_gone, &usual, OWNER_UNKNOWN, "not up" },
	{ "10.0.0.2", LATER, HERE, &usual, &other_gone, OWNER_UNKNOWN, "not up" },
	{ "10.0.0.9", LATER, "10.0.0.2", &usual, &usual, OWNER_UNKNOWN, "not up" },

	{ "", 0, "10.0.0.2", &usual, &usual, OWNER_WOULD_BE_ELSEWHERE, "10.0.0.2" },
	{ "", 0, "", &usual, &usual, OWNER_UNKNOWN, "no host" },
	/* Where this host takes nobody, everybody is hashed elsewhere. */
	{ "", 0, "10.0.0.2", &drained, &drained, OWNER_UNKNOWN, "this host takes no users" },
	{ "", 0, "10.0.0.2", &usual, &drained, OWNER_UNKNOWN, "this host takes no users" },
	{ "", 0, "10.0.0.2", &drained, &usual, OWNER_UNKNOWN, "this host takes no users" },
	{ "", 0, "10.0.0.2", &down, &usual, OWNER_UNKNOWN, "this host takes no users" },
	{ "", 0, "10.0.0.2", &usual, &down, OWNER_UNKNOWN, "this host takes no users" },
	{ "", 0, "10.0.0.2", &other_down, &usual, OWNER_UNKNOWN, "10.0.0.2" },
	{ "", 0, "10.0.0.2", &usual, &other_down, OWNER_UNKNOWN, "10.0.0.2" },
	{ "", 0, "10.0.0.2", &other_drained, &usual, OWNER_UNKNOWN, "10.0.0.2" },
	{ "", 0, "10.0.0.2", &usual, &other_gone, OWNER_UNKNOWN, "10.0.0.2" },
	{ "", 0, "10.0.0.9", &usual, &usual, OWNER_UNKNOWN, "10.0.0.9" },
};

static void test_judge(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct director_host_vec before = { 0 }, after = { 0 };
		struct owner_answer answer = { .user = "u" };
		struct director_user user;
		struct host here;
		struct director_view view = { &here, &before, &after, NOW };
		const char *text;

		assert_int_equal(host_parse(HERE, &here), 0);
		read_hosts(*rows[i].before, &before);
		read_hosts(*rows[i].after, &after);
		assert_int_equal(director_user_set(&user, rows[i].current, rows[i].expires_s,
						   rows[i].hashed, NULL),
				 0);
		director_judge(&view, &user, &answer);
		text = answer.where == OWNER_UNKNOWN ? answer.err.msg : answer.host;
		if (answer.where != rows[i].where || !strstr(text, rows[i].says))
			fail_msg("row %zu: %s %s", i, owner_where_name(answer.where), text);
		assert_int_equal(answer.err.code != ERR_NONE, answer.where == OWNER_UNKNOWN);
		assert_int_equal(answer.expires_s, rows[i].expires_s);
		vec_free(&before);
		vec_free(&after);
	}
}

static void test_need(void **state)
{
	struct director_host_vec hosts = { 0 };
	const struct director_host *found;
	struct err err = { 0 };
	struct host here;

	(void)state;
	read_hosts(usual, &hosts);
	assert_int_equal(host_parse("10.0.0.3", &here), 0);
	assert_int_equal(director_host_need(&hosts, &here, &found, &err), 0);
	assert_string_equal(found->host.text, "10.0.0.3");
	assert_int_equal(host_parse("10.0.0.33", &here), 0);
	assert_int_equal(director_host_need(&hosts, &here, &found, &err), -1);
	assert_int_equal(err.code, ERR_CONFIG);
	assert_non_null(strstr(err.msg, "10.0.0.1, 10.0.0.2, 10.0.0.3"));
	vec_free(&hosts);
}

static void test_senseless(void **state)
{
	struct director_host_vec hosts = { 0 };
	struct director_user user;

	(void)state;
	assert_int_equal(director_host_add(&hosts, "", "", "100", true, NULL), -1);
	assert_int_equal(director_host_add(&hosts, "10.0.0.1", "", "", true, NULL), -1);
	assert_int_equal(director_host_add(&hosts, "10.0.0.1", "", "-1", true, NULL), -1);
	assert_int_equal(director_host_add(&hosts, "10.0.0.1", "", "1x", true, NULL), -1);
	assert_int_equal(hosts.count, 0);
	assert_int_equal(director_user_set(&user, "10.0.0", 0, "", NULL), -1);
	assert_int_equal(director_user_set(&user, "", 0, "somewhere else", NULL), -1);
	assert_true(director_takes_for_hash("0"));
	assert_true(director_takes_for_hash("99999999999999999999"));
	assert_false(director_takes_for_hash("1a"));
	assert_false(director_takes_for_hash(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_need),
		cmocka_unit_test(test_senseless),
	};

	return cmocka_run_group_tests_name("director", tests, NULL, NULL);
}
