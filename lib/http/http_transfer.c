#include "http/http_transfer.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/quote.h"

/* A body in memory is handed to libcurl as it is up to this size; a larger one is
 * read in pieces, so that its progress is seen. libcurl also asks the server's
 * leave ("Expect: 100-continue") for more than this, never for less. */
#define DIRECT_BODY_MAX (1024 * 1024)

#define HEADER_BYTES_MAX 65536
#define ERROR_BODY_MAX 65536 /* what is read of an answer that is not 2xx */
#define BUFFER_BYTES 131072

#define set(easy, option, value)                                                                   \
	do {                                                                                       \
		if (curl_easy_setopt(easy, option, value) != CURLE_OK)                             \
			abort(); /* a libcurl without what we were built for */                    \
	} while (0)

static bool is_success(int status)
{
	return status >= 200 && status <= 299;
}

/* ---- callbacks ---- */

static size_t give_body(char *out, size_t size, size_t count, void *ctx)
{
	struct http_transfer *transfer = ctx;
	ssize_t n = spool_read(transfer->request->body, transfer->body_at, out, size * count,
			       &transfer->local);

	if (n < 0)
		return CURL_READFUNC_ABORT;
	transfer->body_at += (uint64_t)n;
	transfer->progress_ms = clock_mono_ms();
	return (size_t)n;
}

static int rewind_body(void *ctx, curl_off_t offset, int origin)
{
	struct http_transfer *transfer = ctx;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	transfer->body_at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
	struct http_transfer *transfer = ctx;
	struct spool *into = transfer->request->into;
	uint64_t max = transfer->request->into_max;
	size_t len = size * count;

	transfer->progress_ms = clock_mono_ms();
	if (!into)
		return len;
	if (!is_success(transfer->response->status) && max > ERROR_BODY_MAX)
		max = ERROR_BODY_MAX;
	if (len > max - spool_size(into)) {
		/* The head has told the error; an endless text must not hold us. */
		transfer->is_cut = !is_success(transfer->response->status);
		if (!transfer->is_cut)
			err_set(&transfer->local, ERR_DATA, "the answer is longer than %llu bytes",
				(unsigned long long)max);
		return 0;
	}
	return spool_write(into, data, len, &transfer->local) < 0 ? 0 : len;
}

static void begin_answer(struct http_transfer *transfer, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);

	transfer->response->status = space && line + len - space > 3 ? atoi(space + 1) : 0;
	transfer->has_length = false;
	http_transfer_free_headers(&transfer->response->headers);
}

static void take_line(struct http_transfer *transfer, const char *data, size_t len)
{
	const char *colon = memchr(data, ':', len);
	size_t start, end = len;
	struct http_header header;

	if (!colon)
		return;
	start = (size_t)(colon - data) + 1;
	while (end > start && strchr("\r\n \t", data[end - 1]))
		end--;
	while (start < end && strchr(" \t", data[start]))
		start++;
	header.name = xstrndup(data, (size_t)(colon - data));
	for (char *c = header.name; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	header.value = xstrndup(data + start, end - start);
	vec_push(&transfer->response->headers, header);
	if (strcmp(header.name, "content-length") == 0 ||
	    strcmp(header.name, "transfer-encoding") == 0)
		transfer->has_length = true;
}

static size_t take_header(char *data, size_t size, size_t count, void *ctx)
{
	struct http_transfer *transfer = ctx;
	size_t len = size * count;

	transfer->progress_ms = clock_mono_ms();
	transfer->header_bytes += len;
	if (transfer->header_bytes > HEADER_BYTES_MAX) {
		err_set(&transfer->local, ERR_DATA, "the answer's headers are too long");
		return 0;
	}
	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
		begin_answer(transfer, data, len);
	else
		take_line(transfer, data, len);
	return len;
}

/* ---- setting up ---- */

static void set_body(struct http_transfer *transfer)
{
	const struct spool *body = transfer->request->body;
	const void *memory = body ? spool_memory(body) : "";
	curl_off_t size = body ? (curl_off_t)spool_size(body) : 0;
	CURL *easy = transfer->easy;

	if (memory && size <= DIRECT_BODY_MAX) {
		set(easy, CURLOPT_POSTFIELDSIZE_LARGE, size);
		set(easy, CURLOPT_POSTFIELDS, memory);
		return;
	}
	set(easy, CURLOPT_UPLOAD, 1L);
	set(easy, CURLOPT_INFILESIZE_LARGE, size);
	set(easy, CURLOPT_READFUNCTION, give_body);
	set(easy, CURLOPT_READDATA, (void *)transfer);
	set(easy, CURLOPT_SEEKFUNCTION, rewind_body);
	set(easy, CURLOPT_SEEKDATA, (void *)transfer);
}

static void set_method(struct http_transfer *transfer)
{
	switch (transfer->request->method) {
	case HTTP_GET:
		set(transfer->easy, CURLOPT_HTTPGET, 1L);
		return;
	case HTTP_HEAD:
		set(transfer->easy, CURLOPT_NOBODY, 1L);
		return;
	case HTTP_PUT:
		set_body(transfer);
		set(transfer->easy, CURLOPT_CUSTOMREQUEST, "PUT");
		return;
	case HTTP_POST:
		set_body(transfer);
		set(transfer->easy, CURLOPT_CUSTOMREQUEST, "POST");
		return;
	}
}

static void set_headers(struct http_transfer *transfer)
{
	const struct str_vec *headers = transfer->request->headers;

	for (size_t i = 0; headers && i < headers->count; i++) {
		struct curl_slist *longer = curl_slist_append(transfer->headers, headers->items[i]);

		if (!longer)
			abort();
		transfer->headers = longer;
	}
	set(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
}

static int set_signature(CURL *easy, const struct http_sign *sign, struct err *err)
{
	autofree char *provider = xasprintf("aws:amz:%s:s3", sign->region);

	if (curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, provider) != CURLE_OK)
		return err_set(err, ERR_CONFIG, "requests can't be signed for the region %s",
			       quote_str(sign->region).s);
	set(easy, CURLOPT_USERNAME, sign->access_key);
	set(easy, CURLOPT_PASSWORD, sign->secret_key);
	return 0;
}

static void set_transport(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	set(easy, CURLOPT_PATH_AS_IS, 1L); /* it is signed as it is given */
	set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	set(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	set(easy, CURLOPT_NOPROXY, "*");
	set(easy, CURLOPT_NOSIGNAL, 1L);
	set(easy, CURLOPT_TCP_NODELAY, 1L);
	set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	set(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
	set(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
	set(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)transfer->request->connect_timeout_ms);
	set(easy, CURLOPT_ERRORBUFFER, transfer->error);
	set(easy, CURLOPT_PRIVATE, (void *)transfer);
	set(easy, CURLOPT_WRITEFUNCTION, take_body);
	set(easy, CURLOPT_WRITEDATA, (void *)transfer);
	set(easy, CURLOPT_HEADERFUNCTION, take_header);
	set(easy, CURLOPT_HEADERDATA, (void *)transfer);
}

int http_transfer_prepare(struct http_transfer *transfer, struct err *err)
{
	const struct http_request *request = transfer->request;

	if (curl_easy_setopt(transfer->easy, CURLOPT_URL, request->url) != CURLE_OK)
		return err_set(err, ERR_USAGE, "the URL is too long");
	set_transport(transfer);
	set_method(transfer);
	set_headers(transfer);
	return request->sign ? set_signature(transfer->easy, request->sign, err) : 0;
}

int64_t http_transfer_due_ms(const struct http_transfer *transfer)
{
	int64_t idle_ms = transfer->request->idle_timeout_ms;
	int64_t due_ms = idle_ms > 0 ? transfer->progress_ms + idle_ms : INT64_MAX;

	if (transfer->deadline_ms > 0 && transfer->deadline_ms < due_ms)
		due_ms = transfer->deadline_ms;
	return due_ms;
}

/* ---- outcomes ---- */

static bool is_connected(CURL *easy)
{
	curl_off_t pretransfer_us = 0;

	curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
	return pretransfer_us > 0;
}

static enum http_outcome outcome_of(const struct http_transfer *transfer)
{
	switch (transfer->code) {
	case CURLE_OK:
		return HTTP_ANSWERED;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return is_connected(transfer->easy) ? HTTP_BROKEN : HTTP_UNREACHABLE;
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
	case CURLE_SEND_FAIL_REWIND:
		return HTTP_BROKEN;
	default:
		return HTTP_IMPOSSIBLE;
	}
}

static const char *hint_of(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return "check the host's name and the resolver";
	case CURLE_COULDNT_CONNECT:
		return "check host and port, and whether the service runs";
	case CURLE_SSL_CONNECT_ERROR:
		return "does that port speak TLS? if not, the URL begins with http://";
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return "this host does not trust the server's certificate: install the authority "
		       "that signed it (update-ca-certificates)";
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return "what answers there does not speak HTTP: check scheme and port";
	default:
		return NULL;
	}
}

static void describe(const struct http_transfer *transfer, struct err *err)
{
	const char *hint = hint_of(transfer->code);

	if (transfer->timed_out) {
		err_set(err, ERR_UNAVAILABLE, "no answer in time");
		err->sys = ETIMEDOUT;
		err_hint(err, "where the store is slow, raise timeout= in its URL");
	} else {
		err_set(err, ERR_UNAVAILABLE, "%s",
			transfer->error[0] ? transfer->error : curl_easy_strerror(transfer->code));
	}
	if (hint)
		err_hint(err, "%s", hint);
	if (transfer->outcome != HTTP_IMPOSSIBLE)
		err_again(err);
}

/* An answer that would look the same had it been cut. */
static bool is_unbounded(const struct http_transfer *transfer)
{
	int status = transfer->response->status;

	return transfer->request->method != HTTP_HEAD && is_success(status) && status != 204 &&
	       !transfer->has_length;
}

void http_transfer_finish(struct http_transfer *transfer, struct err *err)
{
	if (transfer->is_cut)
		transfer->code = CURLE_OK;
	if (transfer->code == CURLE_OK && is_unbounded(transfer))
		err_set(&transfer->local, ERR_DATA, "the answer does not say how long it is");
	if (transfer->local.code != ERR_NONE) {
		transfer->outcome = HTTP_IMPOSSIBLE;
		*err = transfer->local;
		return;
	}
	transfer->outcome = outcome_of(transfer);
	if (transfer->outcome != HTTP_ANSWERED)
		describe(transfer, err);
}

void http_transfer_free_headers(struct http_header_vec *headers)
{
	for (size_t i = 0; i < headers->count; i++) {
		free(headers->items[i].name);
		free(headers->items[i].value);
	}
	vec_free(headers);
}
