/* A server that says exactly what it is told: one answer for each connection or
 * request, in order, and notes what it was asked. */
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

#define SERVER_ANSWERS 8

struct server {
	const char *answers[SERVER_ANSWERS]; /* "" closes the connection without one, NULL ends */
	bool keep_open; /* say nothing more, but do not close after an answer */
	int drip_ms;    /* then a blank each so many, up to 500, while somebody listens */
	int fd, port;
	pthread_t thread;
	struct buf seen; /* all requests */
	int requests, connections;
};

/* Reads one request, head and body; false at the end of the connection. */
static inline bool server_read(struct server *server, int fd)
{
	struct buf request = { 0 };
	size_t want = 0;
	bool whole = false;

	while (!whole) {
		ssize_t n = read(fd, buf_reserve(&request, 65536), 65536);
		const char *head_end, *length;

		if (n <= 0)
			break;
		request.len += (size_t)n;
		request.data[request.len] = '\0';
		head_end = strstr(request.data, "\r\n\r\n");
		if (!head_end)
			continue;
		length = strstr(request.data, "Content-Length: ");
		if (strstr(request.data, "Expect: 100-continue") && want == 0)
			(void)!write(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		want = (size_t)(head_end + 4 - request.data) +
		       (length ? (size_t)atol(length + 16) : 0);
		whole = request.len >= want;
	}
	buf_append(&server->seen, request.data, request.len);
	buf_free(&request);
	server->requests += whole;
	return whole;
}

static inline void server_drip(const struct server *server, int fd)
{
	struct pollfd other = { .fd = fd, .events = POLLIN };

	for (int i = 0; i < 500 && poll(&other, 1, server->drip_ms) == 0; i++) {
		if (send(fd, " ", 1, MSG_NOSIGNAL) != 1)
			return;
	}
}

static inline void *server_main(void *ctx)
{
	struct server *server = ctx;
	int fd = -1;

	for (int i = 0; i < SERVER_ANSWERS && server->answers[i]; i++) {
		const char *answer = server->answers[i];

		while (fd < 0 || !server_read(server, fd)) {
			if (fd >= 0)
				close(fd);
			fd = accept(server->fd, NULL, NULL);
			if (fd < 0)
				return NULL;
			server->connections++;
		}
		for (size_t len = strlen(answer); len > 0;) {
			ssize_t n = send(fd, answer, len, MSG_NOSIGNAL);

			if (n <= 0)
				break;
			answer += n;
			len -= (size_t)n;
		}
		if (server->drip_ms > 0)
			server_drip(server, fd);
		if (!server->keep_open) {
			close(fd);
			fd = -1;
		}
	}
	/* Ended by shutdown() of the listening socket in server_stop(). */
	while (accept(server->fd, NULL, NULL) >= 0)
		;
	if (fd >= 0)
		close(fd);
	return NULL;
}

static inline void server_start(struct server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof address;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(server->fd, 16), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
	server->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&server->thread, NULL, server_main, server), 0);
}

static inline void server_stop(struct server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
}
