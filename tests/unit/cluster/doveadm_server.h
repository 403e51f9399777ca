/* A stand-in for doveadm's HTTP API: says what it is told, whole or cut. */
#pragma once

#include "../http/server.h"

#include "cluster/doveadm.h"

#define LIMIT_S 60
#define CLOSE_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define KEEP_HEAD "HTTP/1.1 200 OK\r\n"

#define OK_ANSWER(tag, content) "[\"doveadmResponse\"," content ",\"" tag "\"]"
#define EXIT_ANSWER(tag, code)                                                                     \
	"[\"error\",{\"type\":\"exitCode\", \"exitCode\":" code "},\"" tag "\"]"

struct api {
	struct server server;
	struct buf answers[SERVER_ANSWERS];
	char url[64];
};

/* The bodies of answers to come, in order, NULL ends; on one connection if `keep`. */
static inline void api_start(struct api *api, bool keep, const char *const *bodies)
{
	alarm(LIMIT_S);
	api->server.keep_open = keep;
	for (int i = 0; i < SERVER_ANSWERS && bodies[i]; i++) {
		buf_printf(&api->answers[i], "%sContent-Length: %zu\r\n\r\n%s",
			   keep ? KEEP_HEAD : CLOSE_HEAD, strlen(bodies[i]), bodies[i]);
		api->server.answers[i] = api->answers[i].data;
	}
	server_start(&api->server);
	snprintf(api->url, sizeof api->url, "http://127.0.0.1:%d", api->server.port);
}

/* One answer as it is, head and all; "" closes the connection. */
static inline void api_start_raw(struct api *api, const char *answer)
{
	alarm(LIMIT_S);
	api->server.answers[0] = answer;
	server_start(&api->server);
	snprintf(api->url, sizeof api->url, "http://127.0.0.1:%d", api->server.port);
}

static inline void api_stop(struct api *api)
{
	server_stop(&api->server);
	buf_free(&api->server.seen);
	for (int i = 0; i < SERVER_ANSWERS; i++)
		buf_free(&api->answers[i]);
}

static inline void assert_asked(const struct api *api, const char *text)
{
	if (!strstr(buf_str(&api->server.seen), text))
		fail_msg("no %s in %s", text, buf_str(&api->server.seen));
}
