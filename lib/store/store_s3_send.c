#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/quote.h"
#include "store/store_s3.h"
#include "store/store_s3_xml.h"

#define ERROR_BODY_MAX 65536

static void add_header(struct str_vec *headers, const char *name, const char *value)
{
	vec_push(headers, xasprintf("%s: %s", name, value));
}

/* SHA-256 of the payload, which is signed along with everything else. */
static int add_payload_hash(struct str_vec *headers, const struct spool *body, struct err *err)
{
	unsigned char sha[32];
	autobuf struct buf hex = { 0 };
	autospool struct spool *nothing = body ? NULL : spool_from("", 0);

	if (spool_sha256(body ? body : nothing, sha, err) < 0)
		return -1;
	buf_hex(&hex, sha, sizeof sha);
	add_header(headers, "x-amz-content-sha256", buf_str(&hex));
	return 0;
}

static int make_headers(const struct store_s3 *s3, const struct store_s3_call *call,
			struct str_vec *headers, struct err *err)
{
	if (add_payload_hash(headers, call->body, err) < 0)
		return -1;
	if (s3->session_token)
		add_header(headers, "x-amz-security-token", s3->session_token);
	for (size_t i = 0; i < s3->url.add_headers.count; i++)
		vec_push(headers, xstrdup(s3->url.add_headers.items[i]));
	for (size_t i = 0; call->headers && i < call->headers->count; i++)
		vec_push(headers, xstrdup(call->headers->items[i]));
	return 0;
}

static void make_url(const struct store_s3 *s3, const struct store_s3_call *call, struct buf *url)
{
	buf_puts(url, s3->base);
	if (call->key) {
		http_encode(url, s3->url.prefix, true);
		http_encode(url, call->key, true);
	}
	if (call->query)
		buf_printf(url, "?%s", call->query);
}

static void add_log_headers(const struct store_s3 *s3, const struct http_response *response,
			    struct err *err)
{
	for (size_t i = 0; i < s3->url.log_headers.count; i++) {
		const char *name = s3->url.log_headers.items[i];
		const char *value = http_response_header(response, name);

		if (value)
			err_prefix(err, "[%s: %s]", name, quote_str(value).s);
	}
}

static const char *hint_of(const char *code, int status)
{
	static const struct {
		const char *code, *hint;
	} hints[] = {
		{ "SignatureDoesNotMatch", "the secret key is wrong" },
		{ "InvalidAccessKeyId", "the access key is wrong" },
		{ "AccessDenied", "the key has no right to do this, or is wrong" },
		{ "NoSuchBucket", "make the bucket, or correct bucket= in the URL" },
		{ "RequestTimeTooSkewed", "set this host's clock" },
		{ "AuthorizationHeaderMalformed", "region= in the URL is not the server's" },
		{ "PermanentRedirect", "the bucket is in another region" },
		{ "QuotaExceeded", "the bucket's quota is used up" },
	};

	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
		if (strcmp(code, hints[i].code) == 0)
			return hints[i].hint;
	}
	return status >= 500 ? "the server failed; try again later" : NULL;
}

static enum err_code code_of(int status, const char *code)
{
	if (status == 507 || strcmp(code, "QuotaExceeded") == 0)
		return ERR_CANTCREATE;
	return status == 401 || status == 403 ? ERR_NOPERM : ERR_UNAVAILABLE;
}

/* The text of an error's body; it may be anything. */
static void read_error(const struct spool *into, struct store_s3_error *error_r)
{
	char body[ERROR_BODY_MAX];
	ssize_t n = into ? spool_read(into, 0, body, sizeof body, NULL) : 0;

	*error_r = (struct store_s3_error){ .code = "" };
	if (n > 0 && body[0] == '<')
		store_s3_xml_error(body, (size_t)n, error_r);
}

static int refused(const struct store_s3 *s3, const struct http_response *response,
		   const struct spool *into, struct err *err)
{
	struct store_s3_error error;
	const char *hint;

	read_error(into, &error);
	if (error.code[0] != '\0')
		err_set(err, code_of(response->status, error.code), "HTTP status %d, %s%s%s",
			response->status, error.code, error.message[0] ? ": " : "", error.message);
	else
		err_set(err, code_of(response->status, ""), "HTTP status %d", response->status);
	hint = hint_of(error.code, response->status);
	if (!hint && response->status == 403)
		hint = "is the key right, and does it have the right to do this?";
	if (hint)
		err_hint(err, "%s", hint);
	if (http_retry_status(response->status))
		err_again(err);
	add_log_headers(s3, response, err);
	return -1;
}

static void warn(const struct store_s3 *s3, const struct store_s3_call *call,
		 const struct http_response *response)
{
	static const char *const kinds[] = { "put", "get", "head", "list", "delete" };
	autofree char *text = NULL;

	if (!s3->warn)
		return;
	if (response->tries > 1)
		text = xasprintf("%s: %s %s: %u tries", s3->driver.name, kinds[call->kind],
				 quote_str(call->key ? call->key : "").s, response->tries);
	else if (s3->url.slow_warn_ms > 0 && response->duration_ms >= s3->url.slow_warn_ms)
		text = xasprintf("%s: %s %s: slow, %lld ms", s3->driver.name, kinds[call->kind],
				 quote_str(call->key ? call->key : "").s,
				 (long long)response->duration_ms);
	if (text)
		s3->warn(s3->warn_ctx, text);
}

static void count(const struct store_s3 *s3, const struct store_s3_call *call,
		  const struct http_response *response)
{
	uint64_t bytes = call->body   ? spool_size(call->body)
			 : call->into ? spool_size(call->into)
				      : 0;

	for (unsigned i = 0; i < response->tries; i++)
		store_count(s3->stats, call->kind, i == 0 ? bytes : 0);
	if (response->tries > 1)
		atomic_fetch_add_explicit(&s3->stats->retries[call->kind], response->tries - 1,
					  memory_order_relaxed);
}

/* What a proxy or a broken server calls a success is not always one. */
static int check_success(const struct store_s3_call *call, struct err *err)
{
	struct store_s3_error error;

	if (call->kind == STORE_GET || call->kind == STORE_HEAD)
		return 1;
	read_error(call->into, &error);
	if (error.code[0] == '\0')
		return 1;
	err_set(err, ERR_UNAVAILABLE, "HTTP status 200 with an error: %s: %s", error.code,
		error.message);
	return err_again(err);
}

static int perform(struct store_s3 *s3, const struct store_s3_call *call,
		   struct http_response *response_r, struct err *err)
{
	struct http_retry_policy retry = {
		.max_retries = call->limits->max_retries,
		.max_connect_retries = s3->url.max_connect_retries,
		.absolute_timeout_ms = s3->url.absolute_timeout_ms,
	};
	struct http_sign sign = { s3->url.region, s3->access_key, s3->secret_key };
	struct str_vec headers = { 0 };
	autobuf struct buf url = { 0 };
	struct http_request request = {
		.method = call->method,
		.headers = &headers,
		.body = call->body,
		.sign = &sign,
		.retry = &retry,
		.connect_timeout_ms = s3->url.connect_timeout_ms,
		.idle_timeout_ms = call->limits->timeout_ms,
		.into = call->into,
		.into_max = call->into_max,
	};
	int ret;

	make_url(s3, call, &url);
	request.url = buf_str(&url);
	ret = make_headers(s3, call, &headers, err);
	if (ret == 0) {
		ret = http_perform(s3->pool, &request, response_r, err);
		count(s3, call, response_r);
		warn(s3, call, response_r);
	}
	str_vec_free(&headers);
	return ret;
}

/* "Not there" says nothing while the bucket may be missing as a whole, and the
 * answer to a HEAD has no room to tell which of them is. 0 it is there, -1. */
static int check_bucket(struct store_s3 *s3, struct err *err)
{
	struct store_s3_call call = {
		.kind = STORE_HEAD,
		.method = HTTP_HEAD,
		.limits = &s3->url.read,
	};
	autoresponse struct http_response response = { 0 };

	if (atomic_load(&s3->has_bucket))
		return 0;
	return store_s3_send(s3, &call, &response, err) < 0 ? -1 : 0;
}

/* 404 of a key: 0 when there is no such object, -1 when it means something else. */
static int missing(struct store_s3 *s3, const struct store_s3_call *call,
		   const struct http_response *response, struct err *err)
{
	struct store_s3_error error;

	read_error(call->into, &error);
	if (strcmp(error.code, "NoSuchKey") == 0)
		return 0;
	if (error.code[0] != '\0')
		return refused(s3, response, call->into, err);
	return check_bucket(s3, err);
}

int store_s3_send(struct store_s3 *s3, const struct store_s3_call *call,
		  struct http_response *response_r, struct err *err)
{
	*response_r = (struct http_response){ 0 };
	if (perform(s3, call, response_r, err) < 0)
		return -1;
	if (response_r->status >= 200 && response_r->status <= 299) {
		atomic_store(&s3->has_bucket, true);
		return check_success(call, err);
	}
	if (response_r->status == 404 && call->key)
		return missing(s3, call, response_r, err);
	if (response_r->status == 404 && call->method == HTTP_HEAD) {
		err_set(err, ERR_UNAVAILABLE, "HTTP status 404, NoSuchBucket");
		return err_hint(err, "make the bucket, or correct bucket= in the URL");
	}
	return refused(s3, response_r, call->into, err);
}
