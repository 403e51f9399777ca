#include "cluster/lines.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static int await(const struct lines *lines, short events, struct err *err)
{
	struct pollfd pollfd = { .fd = lines->fd, .events = events };
	int64_t left_ms = lines->deadline_ms - clock_mono_ms();
	int ret = 0;

	if (lines->deadline_ms == 0)
		return 0;
	if (left_ms > 0)
		ret = poll(&pollfd, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
	if (ret > 0 || (ret < 0 && errno == EINTR))
		return 0;
	if (ret < 0)
		return err_sys(err, errno, "wait");
	err_set(err, ERR_UNAVAILABLE, "no answer in time");
	return err_again(err);
}

static int fill(struct lines *lines, struct err *err)
{
	ssize_t n;

	if (await(lines, POLLIN, err) < 0)
		return -1;
	n = read(lines->fd, lines->buf + lines->len, LINES_MAX - lines->len);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return 0;
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		return err_sys(err, errno, "read");
	if (n > 0)
		lines->len += (size_t)n;
	return 1;
}

int lines_next(struct lines *lines, const char **line_r, struct err *err)
{
	char *end;
	int ret;

	while (!(end = memchr(lines->buf + lines->at, '\n', lines->len - lines->at))) {
		memmove(lines->buf, lines->buf + lines->at, lines->len - lines->at);
		lines->len -= lines->at;
		lines->at = 0;
		if (lines->len == LINES_MAX)
			return err_set(err, ERR_DATA, "a line is longer than %d bytes", LINES_MAX);
		ret = fill(lines, err);
		if (ret == 0 && lines->len > 0)
			return err_set(err, ERR_DATA, "the last line has no end");
		if (ret <= 0)
			return ret;
	}
	*end = '\0';
	*line_r = lines->buf + lines->at;
	if (strlen(*line_r) != (size_t)(end - *line_r))
		return err_set(err, ERR_DATA, "a line has a NUL");
	lines->at = (size_t)(end - lines->buf) + 1;
	return 1;
}

int lines_send(struct lines *lines, const char *text, size_t len, struct err *err)
{
	while (len > 0) {
		ssize_t n;

		if (await(lines, POLLOUT, err) < 0)
			return -1;
		n = send(lines->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
			err_set(err, ERR_UNAVAILABLE, "the connection has ended");
			return err_again(err);
		}
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_sys(err, errno, "send");
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}
