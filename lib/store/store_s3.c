#include "store/store_s3.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/store_url_s3.h"

#define META_PREFIX "x-amz-meta-dovecot-"
#define ANSWER_MAX 65536
#define OBJECT_MAX ((uint64_t)1 << 40)

/* A header's value is printable ASCII, and blanks at its ends or in a row do not
 * survive. What is not that, and '%', travels percent-encoded. */
static void encode_meta(struct buf *out, const char *value)
{
	for (const char *c = value; *c != '\0'; c++) {
		bool fragile = *c == ' ' && (c == value || c[1] == '\0' || c[1] == ' ');

		if (*c < 0x20 || *c > 0x7e || *c == '%' || fragile)
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
		else
			buf_putc(out, *c);
	}
}

static int s3_put(struct store_driver *driver, const struct store_put_args *args, struct err *err)
{
	struct store_s3 *s3 = store_s3_of(driver);
	autospool struct spool *answer = spool_new(NULL, ANSWER_MAX);
	autoresponse struct http_response response = { 0 };
	struct str_vec headers = { 0 };
	int ret;

	vec_push(&headers, xstrdup("Content-Type: application/octet-stream"));
	for (size_t i = 0; i < args->meta_count; i++) {
		autobuf struct buf value = { 0 };

		encode_meta(&value, args->meta[i].value);
		vec_push(&headers,
			 xasprintf(META_PREFIX "%s: %s", args->meta[i].key, buf_str(&value)));
	}
	ret = store_s3_send(s3,
			    &(struct store_s3_call){
				    .kind = STORE_PUT,
				    .method = HTTP_PUT,
				    .key = args->key,
				    .body = args->content,
				    .headers = &headers,
				    .limits = &s3->url.write,
				    .into = answer,
				    .into_max = ANSWER_MAX,
			    },
			    &response, err);
	str_vec_free(&headers);
	if (ret == 0)
		return err_set(err, ERR_UNAVAILABLE, "HTTP status 404");
	/* Every object has one: without it, who answered is no object store. */
	if (ret > 0 && !http_response_header(&response, "etag"))
		return err_set(err, ERR_DATA, "HTTP status %d, but no ETag", response.status);
	return ret < 0 ? -1 : 0;
}

static int s3_get(struct store_driver *driver, const char *key, struct spool *into, struct err *err)
{
	struct store_s3 *s3 = store_s3_of(driver);
	autoresponse struct http_response response = { 0 };
	int ret = store_s3_send(s3,
				&(struct store_s3_call){
					.kind = STORE_GET,
					.method = HTTP_GET,
					.key = key,
					.limits = &s3->url.read,
					.into = into,
					.into_max = OBJECT_MAX,
				},
				&response, err);

	if (ret <= 0)
		spool_reset(into);
	return ret;
}

static void read_meta(const struct http_response *response, struct store_head *head)
{
	for (size_t i = 0; i < response->headers.count; i++) {
		const struct http_header *header = &response->headers.items[i];
		autobuf struct buf value = { 0 };

		if (strncmp(header->name, META_PREFIX, sizeof META_PREFIX - 1) != 0 ||
		    http_decode(&value, header->value, strlen(header->value)) < 0)
			continue;
		head->meta = xreallocarray(head->meta, head->meta_count + 1, sizeof *head->meta);
		head->meta[head->meta_count++] = (struct store_meta){
			.key = xstrdup(header->name + sizeof META_PREFIX - 1),
			.value = buf_steal(&value),
		};
	}
}

static int s3_head(struct store_driver *driver, const char *key, struct store_head *head_r,
		   struct err *err)
{
	struct store_s3 *s3 = store_s3_of(driver);
	autoresponse struct http_response response = { 0 };
	const char *length;
	char *end = NULL;
	int ret = store_s3_send(s3,
				&(struct store_s3_call){
					.kind = STORE_HEAD,
					.method = HTTP_HEAD,
					.key = key,
					.limits = &s3->url.read,
				},
				&response, err);

	*head_r = (struct store_head){ 0 };
	if (ret <= 0)
		return ret;
	length = http_response_header(&response, "content-length");
	if (length)
		head_r->size_bytes = strtoull(length, &end, 10);
	if (!length || end == length || *end != '\0')
		return err_set(err, ERR_DATA, "the answer has no Content-Length");
	read_meta(&response, head_r);
	return 1;
}

static void s3_close(struct store_driver *driver)
{
	struct store_s3 *s3 = store_s3_of(driver);

	http_pool_free(&s3->pool);
	store_url_s3_free(&s3->url);
	free(s3->driver.name);
	free(s3->base);
	free(s3->spool_dir);
	free(s3->access_key);
	if (s3->secret_key)
		explicit_bzero(s3->secret_key, strlen(s3->secret_key));
	free(s3->secret_key);
	free(s3->session_token);
	free(s3);
}

static const struct store_driver_ops s3_ops = {
	.put = s3_put,
	.get = s3_get,
	.head = s3_head,
	.list = store_s3_list,
	.remove = store_s3_remove,
	.close = s3_close,
};

static char *make_base(const struct store_url_s3 *url)
{
	autobuf struct buf base = { 0 };

	buf_printf(&base, "%s://%s/", url->tls ? "https" : "http", url->host);
	if (url->path_style) {
		http_encode(&base, url->bucket, false);
		buf_putc(&base, '/');
	}
	return buf_steal(&base);
}

int store_s3_open(const struct store_driver_args *args, struct store_driver **driver_r,
		  struct err *err)
{
	const struct store_options *options = args->options;
	struct store_s3 *s3 = xcalloc(1, sizeof *s3);

	s3->driver.ops = &s3_ops;
	s3->driver.caps = STORE_CAP_METADATA;
	s3->driver.name = store_url_name(args->url);
	s3->stats = args->stats;
	s3->warn = options->warn;
	s3->warn_ctx = options->warn_ctx;
	s3->url = args->url->s3;
	args->url->s3 = (struct store_url_s3){ 0 };
	s3->base = make_base(&s3->url);
	if (s3->url.aws) {
		vec_push(&s3->url.log_headers, xstrdup("x-amz-request-id"));
		vec_push(&s3->url.log_headers, xstrdup("x-amz-id-2"));
	}
	if (store_s3_credentials(s3, options->credentials_file, err) < 0) {
		s3_close(&s3->driver);
		return -1;
	}
	s3->pool = http_pool_new(options->max_parallel ? options->max_parallel
						       : STORE_PARALLEL_DEFAULT);
	*driver_r = &s3->driver;
	return 0;
}
