/* Owners from a director-admin socket: what Dovecot 2.3.19 says there, and other things. */
#include "owner_fixture.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/clock.h"

#define HELLO "VERSION\tdirector-doveadm\t1\t0\n"
#define BACKENDS                                                                                   \
	"127.0.0.11\t100\t0\t\tU\t0\n127.0.0.12\t100\t5\t\tU\t0\n127.0.0.13\t100\t5\t\tU\t0\n\n"
#define DRAINED                                                                                    \
	"127.0.0.11\t0\t0\t\tU\t0\n127.0.0.12\t100\t5\t\tU\t0\n127.0.0.13\t100\t5\t\tD\t9\n\n"
#define TAGGED "127.0.0.11\t100\t0\tg1\tU\t0\n127.0.0.12\t100\t5\tg1\tU\t0\n\n"
#define HERE "127.0.0.11"
#define OTHER "\t0\t127.0.0.12\t127.0.0.12\n"

/* Says its greeting at once, `lists` to HOST-LIST in turn, `users` to all USER-LOOKUPs together,
 * then ends the connection if asked for more. Without a greeting it is silent. */
struct admin {
	const char *hello, *lists[2], *users;
	bool hangs; /* after what it has to say */
	int fd;
	pthread_t thread;
	struct buf seen;
};

static bool say(int fd, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return text && send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len &&
	       (len == 0 || text[len - 1] == '\n');
}

static bool answer(struct admin *admin, int fd, const char *line, int *lists)
{
	const char *users = admin->users;

	if (strncmp(line, "HOST-LIST", 9) == 0)
		return *lists < 2 && say(fd, admin->lists[(*lists)++]);
	if (strncmp(line, "USER-LOOKUP", 11) == 0) {
		admin->users = "";
		return say(fd, users);
	}
	return strncmp(line, "VERSION", 7) == 0;
}

static void serve(struct admin *admin, int fd)
{
	FILE *file = fdopen(dup(fd), "r");
	char *line = NULL;
	size_t size = 0;
	int lists = 0;

	say(fd, admin->hello);
	while (admin->hello && *admin->hello && getline(&line, &size, file) > 0) {
		buf_puts(&admin->seen, line);
		if (!answer(admin, fd, line, &lists))
			break;
	}
	while (admin->hangs && getline(&line, &size, file) > 0)
		;
	free(line);
	fclose(file);
}

static void *admin_main(void *ctx)
{
	struct admin *admin = ctx;
	int fd;

	while ((fd = accept(admin->fd, NULL, NULL)) >= 0) {
		serve(admin, fd);
		close(fd);
	}
	return NULL;
}

static void begin(void **state, struct asked *asked, struct admin *admin)
{
	const struct scratch *scratch = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	autofree char *director = xasprintf("unix:%s/admin", scratch->path);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", director + 5);
	unlink(address.sun_path);
	admin->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(admin->fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(admin->fd, 4), 0);
	assert_int_equal(pthread_create(&admin->thread, NULL, admin_main, admin), 0);
	asked_open(asked, director, HERE);
}

static void end(struct asked *asked, struct admin *admin)
{
	asked_close(asked);
	shutdown(admin->fd, SHUT_RDWR);
	pthread_join(admin->thread, NULL);
	close(admin->fd);
	buf_free(&admin->seen);
}

static void assert_seen(const struct admin *admin, const char *text)
{
	if (!strstr(buf_str(&admin->seen), text))
		fail_msg("no %s in %s", text, buf_str(&admin->seen));
}

static void test_users(void **state)
{
	struct admin admin = {
		.hello = HELLO,
		.lists = { BACKENDS, BACKENDS },
		.users = "127.0.0.11\t4102444800\t127.0.0.12\t127.0.0.12\n"
			 "127.0.0.13\t4102444800\t127.0.0.11\t127.0.0.11\n"
			 "\t0\t127.0.0.11\t127.0.0.11\n"
			 "\t0\t127.0.0.12\t127.0.0.12\n"
			 "127.0.0.13\t1000000000\t127.0.0.11\t127.0.0.11\n"
			 "TRYAGAIN\n"
			 "\t0\t\t\n",
	};
	struct asked asked;

	begin(state, &asked, &admin);
	assert_int_equal(ask(&asked, "here@x", "12345", "moved@x", "Hashed@X", "other@x", "old@x",
			     "again@x", "none@x"),
			 0);
	assert_answer(&asked, 0, OWNER_HERE, "127.0.0.11");
	assert_answer(&asked, 1, OWNER_UNKNOWN, "for a hash");
	assert_answer(&asked, 2, OWNER_ELSEWHERE, "127.0.0.13");
	assert_int_equal(asked.answers[2].expires_s, 4102444800);
	assert_answer(&asked, 3, OWNER_HERE, "127.0.0.11");
	assert_answer(&asked, 4, OWNER_WOULD_BE_ELSEWHERE, "127.0.0.12");
	assert_answer(&asked, 5, OWNER_UNKNOWN, "not for long");
	assert_answer(&asked, 6, OWNER_UNKNOWN, "try again");
	assert_answer(&asked, 7, OWNER_UNKNOWN, "no host");
	end(&asked, &admin);
}

static void test_commands(void **state)
{
	struct admin admin = { .hello = HELLO, .lists = { TAGGED, TAGGED }, .users = OTHER };
	struct asked asked;

	begin(state, &asked, &admin);
	assert_int_equal(ask(&asked, "a@x"), 0);
	assert_answer(&asked, 0, OWNER_WOULD_BE_ELSEWHERE, "127.0.0.12");
	assert_seen(&admin, HELLO "HOST-LIST\nUSER-LOOKUP\ta@x\tg1\nHOST-LIST\n");
	end(&asked, &admin);
}

static void test_drained(void **state)
{
	static const char *const lists[][2] = { { DRAINED, DRAINED },
						{ BACKENDS, DRAINED },
						{ DRAINED, BACKENDS } };

	for (size_t i = 0; i < ROWS(lists); i++) {
		struct admin admin = { .hello = HELLO,
				       .lists = { lists[i][0], lists[i][1] },
				       .users = OTHER "127.0.0.13\t4102444800\t127.0.0.11\t\n" };
		struct asked asked;

		begin(state, &asked, &admin);
		assert_int_equal(ask(&asked, "a@x", "b@x"), 0);
		assert_answer(&asked, 0, OWNER_UNKNOWN, "this host takes no users");
		assert_answer(&asked, 1, OWNER_UNKNOWN, "not up");
		end(&asked, &admin);
	}
}

static void test_nothing_known(void **state)
{
	static const struct {
		struct admin admin;
		enum err_code code;
		const char *says;
	} rows[] = {
		{ { .hello = "" }, ERR_UNAVAILABLE, "connection has ended" },
		{ { .hello = "\n" }, ERR_DATA, "no director-admin" },
		{ { .hello = "VERSION\tauth\t1\t0\n" }, ERR_DATA, "no director-admin" },
		{ { .hello = "VERSION\tdirector-doveadm\t2\t0\n" }, ERR_DATA, "no director-admin" },
		{ { .hello = HELLO }, ERR_UNAVAILABLE, "connection has ended" },
		{ { .hello = HELLO, .lists = { "\n" } }, ERR_CONFIG, "none of the director's" },
		{ { .hello = HELLO, .lists = { "127.0.0.1\t1" } }, ERR_DATA, "no end" },
		{ { .hello = HELLO, .lists = { "127.0.0.11\t100\n\n" } }, ERR_DATA, "no sense" },
		{ { .hello = HELLO, .lists = { "127.0.0.11\t1\t0\t\tX\t0\n\n" } },
		  ERR_DATA,
		  "no sense" },
		{ { .hello = HELLO, .lists = { "h h\t100\t0\t\tU\t0\n\n" } },
		  ERR_DATA,
		  "no sense" },
		{ { .hello = HELLO, .lists = { BACKENDS }, .users = OTHER OTHER },
		  ERR_UNAVAILABLE,
		  "connection has ended" },
		{ { .hello = HELLO, .lists = { BACKENDS, "\n" }, .users = OTHER "\t0\t\t\n" },
		  ERR_CONFIG,
		  "none of the director's" },
		{ { .hello = HELLO, .lists = { BACKENDS, BACKENDS }, .users = OTHER "\t0\n" },
		  ERR_DATA,
		  "no sense" },
		{ { .hello = HELLO, .lists = { BACKENDS, BACKENDS }, .users = OTHER "\t\t\t\n" },
		  ERR_DATA,
		  "no sense" },
		{ { .hello = HELLO, .lists = { BACKENDS, BACKENDS }, .users = OTHER "\t0x\t\t\n" },
		  ERR_DATA,
		  "no sense" },
		{ { .hello = HELLO,
		    .lists = { BACKENDS, BACKENDS },
		    .users = OTHER "x y\t0\t\t\n" },
		  ERR_DATA,
		  "no sense" },
		{ { .hello = HELLO,
		    .lists = { BACKENDS, BACKENDS },
		    .users = OTHER,
		    .hangs = true },
		  ERR_UNAVAILABLE,
		  "no answer in time" },
		{ { .hello = HELLO, .lists = { BACKENDS }, .users = OTHER OTHER, .hangs = true },
		  ERR_UNAVAILABLE,
		  "no answer in time" },
		{ { .hello = NULL, .hangs = true }, ERR_UNAVAILABLE, "no answer in time" },
	};

	for (size_t i = 0; i < ROWS(rows); i++) {
		struct admin admin = rows[i].admin;
		struct asked asked;

		begin(state, &asked, &admin);
		if (ask(&asked, "a@x", "b@x") == 0)
			fail_msg("row %zu is taken", i);
		assert_nothing(&asked, rows[i].code, rows[i].says);
		end(&asked, &admin);
	}
}

static void test_away(void **state)
{
	struct asked asked;

	(void)state;
	asked_open(&asked, "unix:/nosuch/director-admin", HERE);
	assert_int_equal(ask(&asked, "a@x"), -1);
	assert_nothing(&asked, ERR_UNAVAILABLE, "/nosuch/director-admin");
	asked_close(&asked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_users),   scratch_test(test_commands),
		scratch_test(test_drained), scratch_test(test_nothing_known),
		scratch_test(test_away),
	};

	return cmocka_run_group_tests_name("owner by director-admin", tests, NULL, NULL);
}
