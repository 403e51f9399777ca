/* Owners from the director-admin socket on this host, the one that doveadm director uses: lines of
 * fields with tabs between them (Dovecot 2.3, src/director/doveadm-connection.c).
 *
 *   VERSION director-doveadm 1 0          both sides, first
 *   HOST-LIST                             address vhosts users tag U|D changed …, then an empty
 * line USER-LOOKUP user tag                  current expires hashed initial; or TRYAGAIN */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/quote.h"
#include "cluster/director.h"
#include "cluster/lines.h"
#include "cluster/owner_driver.h"

#define HANDSHAKE "VERSION\tdirector-doveadm\t1\t0\n"
#define FIELDS_MAX 8
#define WINDOW 100 /* commands under way: neither side's socket fills up */

struct talk {
	struct lines lines;
	const struct owner *owner;
	const char *tag;
};

static int admin_driver_open(struct owner *owner, const char *path, struct err *err)
{
	struct sockaddr_un address;

	if (path[0] != '/' || strlen(path) >= sizeof address.sun_path)
		return err_set(err, ERR_CONFIG, "unix: expected the absolute path of a socket");
	owner->state = xstrdup(path);
	return 0;
}

static void admin_driver_close(struct owner *owner)
{
	free(owner->state);
}

static int connect_to(const char *path, struct err *err)
{
	autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0)
		return err_sys(err, errno, "make a socket");
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return steal_fd(&fd);
	err_sys(err, errno, "connect");
	if (err && err->code != ERR_NOPERM) {
		err->code = ERR_UNAVAILABLE;
		err_again(err);
	}
	return err_hint(err, "it is director-admin in Dovecot's base_dir, of a host with a "
			     "director that runs");
}

static int say(struct talk *talk, const char *text, size_t len, struct err *err)
{
	talk->lines.deadline_ms = clock_mono_ms() + talk->owner->settings->director_timeout_ms;
	return lines_send(&talk->lines, text, len, err);
}

static int hear(struct talk *talk, char line_r[LINES_MAX + 1], struct err *err)
{
	const char *line;
	int ret = lines_next(&talk->lines, &line, err);

	if (ret > 0) {
		snprintf(line_r, LINES_MAX + 1, "%s", line);
		return 0;
	}
	if (ret == 0) {
		err_set(err, ERR_UNAVAILABLE, "the connection has ended");
		err_again(err);
	}
	return -1;
}

/* Cuts the line at its tabs. The number of fields; no more than FIELDS_MAX are told. */
static size_t split(char *line, const char *fields[FIELDS_MAX])
{
	size_t count = 0;

	for (char *field; (field = strsep(&line, "\t")) != NULL; count++) {
		if (count < FIELDS_MAX)
			fields[count] = field;
	}
	return count;
}

static int senseless(const char *what, struct err *err)
{
	return err_set(err, ERR_DATA, "%s makes no sense", what);
}

static int greet(struct talk *talk, struct err *err)
{
	char line[LINES_MAX + 1];
	const char *fields[FIELDS_MAX];

	if (say(talk, HANDSHAKE, strlen(HANDSHAKE), err) < 0 || hear(talk, line, err) < 0)
		return -1;
	if (split(line, fields) < 4 || strcmp(fields[0], "VERSION") != 0 ||
	    strcmp(fields[1], "director-doveadm") != 0 || strcmp(fields[2], "1") != 0)
		return err_set(err, ERR_DATA, "it is no director-admin socket of a Dovecot 2.3");
	return 0;
}

static int list_hosts(struct talk *talk, struct director_host_vec *hosts, struct err *err)
{
	char line[LINES_MAX + 1];
	const char *fields[FIELDS_MAX];

	if (say(talk, "HOST-LIST\n", 10, err) < 0)
		return -1;
	for (;;) {
		if (hear(talk, line, err) < 0)
			return -1;
		if (*line == '\0')
			return 0;
		if (split(line, fields) < 5 ||
		    (strcmp(fields[4], "U") != 0 && strcmp(fields[4], "D") != 0))
			return senseless("the list of backends", err);
		if (director_host_add(hosts, fields[0], fields[3], fields[1], *fields[4] == 'U',
				      err) < 0)
			return -1;
	}
}

/* 1 taken, 0 the director can't tell for now, -1 the answer makes no sense. */
static int take_user(char *line, struct director_user *user_r, struct err *err)
{
	const char *fields[FIELDS_MAX];
	size_t count = split(line, fields);
	char *end;
	long long expires_s;

	if (count == 1 && strcmp(fields[0], "TRYAGAIN") == 0)
		return 0;
	if (count != 4)
		return senseless("its answer", err);
	expires_s = strtoll(fields[1], &end, 10);
	if (*fields[1] == '\0' || *end != '\0')
		return senseless("its answer", err);
	return director_user_set(user_r, fields[0], expires_s, fields[2], err) < 0 ? -1 : 1;
}

static int send_lookups(struct talk *talk, struct owner_answer *const *answers, size_t count,
			struct err *err)
{
	autobuf struct buf commands = { 0 };

	for (size_t i = 0; i < count; i++) {
		if (!director_takes_for_hash(answers[i]->user))
			buf_printf(&commands, "USER-LOOKUP\t%s\t%s\n", answers[i]->user, talk->tag);
	}
	return say(talk, buf_str(&commands), commands.len, err);
}

static int look_up_window(struct talk *talk, struct owner_answer *const *answers,
			  struct director_user *users, size_t count, struct err *err)
{
	char line[LINES_MAX + 1];

	if (send_lookups(talk, answers, count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		int ret;

		if (director_takes_for_hash(answers[i]->user)) {
			owner_driver_unknown(answers[i], ERR_TEMP,
					     "the director takes a name of digits for a hash");
			continue;
		}
		if (hear(talk, line, err) < 0)
			return -1;
		ret = take_user(line, &users[i], err);
		if (ret < 0)
			return -1;
		if (ret == 0)
			owner_driver_unknown(answers[i], ERR_TEMP,
					     "the director can't tell: try again");
	}
	return 0;
}

static int look_up_all(struct talk *talk, struct owner_answer *const *answers,
		       struct director_user *users, size_t count, struct err *err)
{
	for (size_t done = 0; done < count; done += WINDOW) {
		size_t now = count - done < WINDOW ? count - done : WINDOW;

		if (look_up_window(talk, answers + done, users + done, now, err) < 0)
			return -1;
	}
	return 0;
}

static int ask(struct talk *talk, struct owner_answer *const *answers, struct director_user *users,
	       size_t count, struct director_host_vec *before, struct director_host_vec *after,
	       struct err *err)
{
	const struct director_host *here;

	if (greet(talk, err) < 0 || list_hosts(talk, before, err) < 0 ||
	    director_host_need(before, &talk->owner->here, &here, err) < 0)
		return -1;
	talk->tag = here->tag;
	if (look_up_all(talk, answers, users, count, err) < 0 || list_hosts(talk, after, err) < 0)
		return -1;
	return director_host_need(after, &talk->owner->here, &here, err);
}

static int admin_driver_lookup(struct owner *owner, struct owner_answer *const *answers,
			       size_t count, struct err *err)
{
	const char *path = owner->state;
	autofree struct director_user *users = xcalloc(count, sizeof *users);
	struct director_host_vec before = { 0 }, after = { 0 };
	struct director_view view = { .here = &owner->here, .before = &before, .after = &after };
	autofd int fd = connect_to(path, err);
	struct talk talk = { .lines.fd = fd, .owner = owner };
	int ret = fd < 0 ? -1 : ask(&talk, answers, users, count, &before, &after, err);

	view.now_s = clock_now_ns() / 1000000000;
	for (size_t i = 0; ret == 0 && i < count; i++) {
		if (answers[i]->err.code == ERR_NONE)
			director_judge(&view, &users[i], answers[i]);
	}
	vec_free(&before);
	vec_free(&after);
	return ret < 0 ? err_prefix(err, "the director at %s", path) : 0;
}

const struct owner_driver owner_admin_driver = {
	.scheme = "unix:",
	.batch_max = 5000,
	.open = admin_driver_open,
	.close = admin_driver_close,
	.lookup = admin_driver_lookup,
};
