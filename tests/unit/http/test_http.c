/* The pool against a server that answers as told: methods, bodies, headers,
 * limits, broken connections, time-outs, and many threads at once. */
#include "server.h"

#include "base/clock.h"
#include "base/mem.h"
#include "http/http.h"

#define OK_ABC "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Two:  a b \r\n\r\nabc"
#define LIMIT_S 60

static const struct http_retry_policy once = { 0, 0, 0 };
static const struct http_retry_policy thrice = { 2, 2, 0 };

struct fixture {
	struct server server;
	struct http_pool *pool;
	struct http_request request;
	struct http_response response;
	struct err err;
	char url[64];
};

static struct fixture *begin(struct fixture *f)
{
	alarm(LIMIT_S);
	server_start(&f->server);
	snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d/a/../b%%20c?x=", f->server.port);
	f->pool = http_pool_new(4);
	f->request.url = f->url;
	if (!f->request.retry)
		f->request.retry = &once;
	f->request.into = spool_new(NULL, 1 << 20);
	f->request.into_max = f->request.into_max ? f->request.into_max : 1 << 20;
	return f;
}

static int perform(struct fixture *f)
{
	return http_perform(f->pool, &f->request, &f->response, &f->err);
}

static void end(struct fixture *f)
{
	server_stop(&f->server);
	http_pool_free(&f->pool);
	http_response_free(&f->response);
	spool_free((struct spool **)(void *)&f->request.into);
	buf_free(&f->server.seen);
}

static void body_is(const struct fixture *f, const char *text)
{
	assert_int_equal(spool_size(f->request.into), strlen(text));
	assert_memory_equal(spool_memory(f->request.into), text, strlen(text));
}

static void test_get(void **state)
{
	struct fixture f = { .server.answers = { OK_ABC } };

	(void)state;
	begin(&f);
	assert_int_equal(perform(&f), 0);
	assert_int_equal(f.response.status, 200);
	body_is(&f, "abc");
	assert_string_equal(http_response_header(&f.response, "x-two"), "a b");
	assert_null(http_response_header(&f.response, "x-three"));
	assert_int_equal(f.response.tries, 1);
	end(&f);
}

/* The path goes out as it is given: that is what is signed. */
static void test_request_line(void **state)
{
	struct fixture f = { .server.answers = { OK_ABC } };

	(void)state;
	begin(&f);
	assert_int_equal(perform(&f), 0);
	server_stop(&f.server);
	assert_non_null(strstr(f.server.seen.data, "GET /a/../b%20c?x= HTTP/1.1\r\n"));
	server_start(&f.server);
	end(&f);
}

static void put_of(size_t len, bool expects)
{
	struct fixture f = {
		.server.answers = { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
		.request.method = HTTP_PUT,
	};
	autofree char *data = xmalloc(len + 1);
	autospool struct spool *body = NULL;

	memset(data, 'x', len);
	body = spool_from(data, len);
	f.request.body = body;
	begin(&f);
	assert_int_equal(perform(&f), 0);
	server_stop(&f.server);
	assert_ptr_equal(strstr(f.server.seen.data, "PUT "), f.server.seen.data);
	assert_int_equal(strstr(f.server.seen.data, "\r\nExpect:") != NULL, expects);
	assert_int_equal(f.server.seen.len - (size_t)(strstr(f.server.seen.data, "\r\n\r\n") + 4 -
						      f.server.seen.data),
			 len);
	server_start(&f.server);
	end(&f);
}

static void test_put(void **state)
{
	(void)state;
	put_of(0, false);
	put_of(1000, false);
	put_of(1024 * 1024, false);
	put_of(3 * 1024 * 1024, true);
}

static void test_head_has_no_body(void **state)
{
	struct fixture f = {
		.server.answers = { "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n" },
		.request.method = HTTP_HEAD,
	};

	(void)state;
	begin(&f);
	assert_int_equal(perform(&f), 0);
	assert_string_equal(http_response_header(&f.response, "content-length"), "77");
	end(&f);
}

static void test_chunked(void **state)
{
	struct fixture f = {
		.server.answers = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				    "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
				    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				    "3\r\nabc\r\n2\r\nd" },
	};

	(void)state;
	begin(&f);
	assert_int_equal(perform(&f), 0);
	body_is(&f, "abcde");
	http_response_free(&f.response);
	assert_int_equal(perform(&f), -1);
	end(&f);
}

static const struct {
	const char *answer;
	enum err_code code;
	bool again;
	const char *says;
} broken[] = {
	{ "", ERR_UNAVAILABLE, true, "" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", ERR_UNAVAILABLE, true, "" },
	{ "HTTP/1.1 200 OK\r\n\r\nabc", ERR_DATA, false, "does not say how long" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n", ERR_UNAVAILABLE, true, "" },
	{ "SSH-2.0-OpenSSH_9.2\r\n", ERR_UNAVAILABLE, false, "" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", ERR_UNAVAILABLE, false, "" },
};

static void test_broken_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		struct fixture f = { .server.answers = { broken[i].answer } };

		begin(&f);
		if (perform(&f) != -1)
			fail_msg("row %zu is taken", i);
		if (f.err.code != broken[i].code || f.err.again != broken[i].again ||
		    !strstr(f.err.msg, broken[i].says))
			fail_msg("row %zu: %d %d %s", i, f.err.code, f.err.again, f.err.msg);
		end(&f);
	}
}

static void test_body_over_the_cap(void **state)
{
	struct fixture f = { .server.answers = { OK_ABC, OK_ABC }, .request.into_max = 2 };

	(void)state;
	begin(&f);
	assert_int_equal(perform(&f), -1);
	assert_int_equal(f.err.code, ERR_DATA);
	assert_string_equal(f.err.msg, "the answer is longer than 2 bytes");
	http_response_free(&f.response);
	f.request.into_max = 3;
	assert_int_equal(perform(&f), 0);
	end(&f);
}

/* What explains an error is cut, not refused: the status counts. */
static void test_long_error_text(void **state)
{
	autofree char *answer = xcalloc(1, 200100);
	struct fixture f = { .server.answers = { answer } };

	(void)state;
	strcpy(answer, "HTTP/1.1 403 Forbidden\r\nContent-Length: 200000\r\n\r\n");
	memset(answer + strlen(answer), 'x', 200000);
	begin(&f);
	assert_int_equal(perform(&f), 0);
	assert_int_equal(f.response.status, 403);
	assert_true(spool_size(f.request.into) <= 65536);
	end(&f);
}

static void test_endless_headers(void **state)
{
	autofree char *answer = xcalloc(1, 200100);
	struct fixture f = { .server.answers = { answer } };
	char *at = answer + sprintf(answer, "HTTP/1.1 200 OK\r\n");

	(void)state;
	for (int i = 0; i < 2000; i++)
		at += sprintf(at, "X-Header-%d: %060d\r\n", i, i);
	begin(&f);
	assert_int_equal(perform(&f), -1);
	end(&f);
}

static void test_tried_again(void **state)
{
	struct fixture f = {
		.server.answers = { "HTTP/1.1 503 Slow\r\nContent-Length: 4\r\nA: b\r\n\r\nslow",
				    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", OK_ABC },
		.request.retry = &thrice,
	};
	autospool struct spool *body = spool_from("body", 4);
	int64_t began_ms = clock_mono_ms();

	(void)state;
	f.request.method = HTTP_PUT;
	f.request.body = body;
	begin(&f);
	assert_int_equal(perform(&f), 0);
	assert_int_equal(f.response.status, 200);
	assert_int_equal(f.response.tries, 3);
	assert_null(http_response_header(&f.response, "a"));
	body_is(&f, "abc");
	assert_true(clock_mono_ms() - began_ms >= 550);
	assert_true(f.response.duration_ms >= 550);
	end(&f);
}

static void test_last_5xx_is_an_answer(void **state)
{
	struct fixture f = {
		.server.answers = { "HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops" },
	};

	(void)state;
	begin(&f);
	assert_int_equal(perform(&f), 0);
	assert_int_equal(f.response.status, 500);
	body_is(&f, "oops");
	end(&f);
}

static void test_nobody_listens(void **state)
{
	struct fixture f = { .server.answers = { OK_ABC }, .request.retry = &thrice };

	(void)state;
	begin(&f);
	server_stop(&f.server);
	assert_int_equal(perform(&f), -1);
	assert_int_equal(f.err.code, ERR_UNAVAILABLE);
	assert_true(f.err.again);
	assert_int_equal(f.response.tries, 3);
	assert_non_null(strstr(f.err.hint, "port"));
	server_start(&f.server);
	end(&f);
}

static void test_silence(void **state)
{
	struct fixture f = {
		.server.answers = { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc" },
		.server.keep_open = true,
		.request.idle_timeout_ms = 150,
	};
	int64_t began_ms = clock_mono_ms(), took_ms;

	(void)state;
	begin(&f);
	assert_int_equal(perform(&f), -1);
	took_ms = clock_mono_ms() - began_ms;
	assert_true(took_ms >= 150 && took_ms < 5000);
	assert_int_equal(f.err.code, ERR_UNAVAILABLE);
	assert_true(f.err.again);
	assert_string_equal(f.err.msg, "no answer in time");
	end(&f);
}

static void test_absolute_limit(void **state)
{
	static const struct http_retry_policy limited = { 4, 2, 200 };
	struct fixture f = {
		.server.answers = { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc" },
		.server.keep_open = true,
		.request.retry = &limited,
	};

	(void)state;
	begin(&f);
	assert_int_equal(perform(&f), -1);
	assert_true(f.response.duration_ms >= 200 && f.response.duration_ms < 5000);
	assert_int_equal(f.response.tries, 1);
	end(&f);
}

static void test_connections_are_kept(void **state)
{
	struct fixture f = {
		.server.answers = { OK_ABC, OK_ABC, OK_ABC },
		.server.keep_open = true,
	};

	(void)state;
	begin(&f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(perform(&f), 0);
		http_response_free(&f.response);
	}
	server_stop(&f.server);
	assert_int_equal(f.server.requests, 3);
	assert_int_equal(f.server.connections, 1);
	server_start(&f.server);
	end(&f);
}

/* One that waits for its next try holds up no other, even with one place. */
struct waiting {
	struct fixture *fixture;
	int ret;
};

static void *wait_in_thread(void *ctx)
{
	struct waiting *waiting = ctx;

	waiting->ret = perform(waiting->fixture);
	return NULL;
}

static void test_waits_hold_no_place(void **state)
{
	static const struct http_retry_policy four = { 2, 0, 0 };
	struct fixture slow = {
		.server.answers = { "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
				    "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", OK_ABC },
		.request.retry = &four,
	};
	struct fixture fast = { .server.answers = { OK_ABC } };
	struct waiting waiting = { &slow, -1 };
	pthread_t thread;
	int64_t began_ms;

	(void)state;
	begin(&slow);
	begin(&fast);
	http_pool_free(&slow.pool);
	http_pool_free(&fast.pool);
	slow.pool = fast.pool = http_pool_new(1);
	began_ms = clock_mono_ms();
	assert_int_equal(pthread_create(&thread, NULL, wait_in_thread, &waiting), 0);
	assert_int_equal(perform(&fast), 0);
	assert_true(clock_mono_ms() - began_ms < 500);
	pthread_join(thread, NULL);
	assert_int_equal(waiting.ret, 0);
	assert_int_equal(slow.response.tries, 3);
	fast.pool = NULL;
	end(&fast);
	end(&slow);
}

static void test_encoding(void **state)
{
	autobuf struct buf out = { 0 };

	(void)state;
	http_encode(&out, "a/b c+@~%\xc3\xa9-._", true);
	assert_string_equal(buf_str(&out), "a/b%20c%2B%40~%25%C3%A9-._");
	buf_truncate(&out, 0);
	http_encode(&out, "/", false);
	assert_string_equal(buf_str(&out), "%2F");
	buf_truncate(&out, 0);
	assert_int_equal(http_decode(&out, "a%2fb%C3%A9+", 12), 0);
	assert_string_equal(buf_str(&out), "a/b\xc3\xa9+");
	assert_int_equal(http_decode(&out, "%", 1), -1);
	assert_int_equal(http_decode(&out, "%4", 2), -1);
	assert_int_equal(http_decode(&out, "%4g", 3), -1);
	assert_int_equal(http_decode(&out, "%00", 3), -1);
	assert_int_equal(http_decode(&out, "%41", 2), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_request_line),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_head_has_no_body),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_broken_answers),
		cmocka_unit_test(test_body_over_the_cap),
		cmocka_unit_test(test_long_error_text),
		cmocka_unit_test(test_endless_headers),
		cmocka_unit_test(test_tried_again),
		cmocka_unit_test(test_last_5xx_is_an_answer),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_absolute_limit),
		cmocka_unit_test(test_connections_are_kept),
		cmocka_unit_test(test_waits_hold_no_place),
		cmocka_unit_test(test_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
