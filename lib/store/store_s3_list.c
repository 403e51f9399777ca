#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/quote.h"
#include "store/store_s3.h"
#include "store/store_s3_xml.h"

#define PAGE_BYTES_MAX (16 * 1024 * 1024) /* 1,000 keys of 1,024 bytes, encoded, and more */
#define ANSWER_MAX (1024 * 1024)

static void make_query(const struct store_s3 *s3, const struct store_list_args *args,
		       const char *token, struct buf *query)
{
	/* Sorted by name, as the signature needs it. */
	if (token[0] != '\0') {
		buf_puts(query, "continuation-token=");
		http_encode(query, token, false);
		buf_putc(query, '&');
	}
	if (args->delimiter)
		buf_puts(query, "delimiter=%2F&");
	buf_printf(query, "encoding-type=url&list-type=2&max-keys=%d&prefix=", STORE_LIST_PAGE);
	http_encode(query, s3->url.prefix, false);
	http_encode(query, args->prefix, false);
}

static int list_page(struct store_s3 *s3, const struct store_list_args *args, struct spool *answer,
		     struct store_s3_page *page, struct err *err)
{
	autoresponse struct http_response response = { 0 };
	autobuf struct buf query = { 0 }, prefix = { 0 };
	int ret;

	make_query(s3, args, buf_str(&page->token), &query);
	ret = store_s3_send(s3,
			    &(struct store_s3_call){
				    .kind = STORE_LIST,
				    .method = HTTP_GET,
				    .query = buf_str(&query),
				    .limits = &s3->url.read,
				    .into = answer,
				    .into_max = PAGE_BYTES_MAX,
			    },
			    &response, err);
	if (ret < 0)
		return -1;
	buf_printf(&prefix, "%s%s", s3->url.prefix, args->prefix);
	return store_s3_xml_list(spool_memory(answer), (size_t)spool_size(answer), buf_str(&prefix),
				 strlen(s3->url.prefix), page, err);
}

/* Hand a page's entries on: 1 to stop, 0, or -1. Order over all pages is promised,
 * and a server that goes round in circles is found out by it. */
static int pass_on(const struct store_list_args *args, const struct store_s3_page *page,
		   struct buf *last, struct err *err)
{
	for (size_t i = 0; i < page->entries.count; i++) {
		const struct store_object *entry = &page->entries.items[i];
		int order = last->len > 0 ? strcmp(buf_str(last), entry->key) : -1;

		if (order > 0 || (order == 0 && !entry->is_prefix))
			return err_set(err, ERR_DATA,
				       "the answer makes no sense: %s comes again or too late",
				       quote_str(entry->key).s);
		/* Some servers repeat a prefix that two pages have a part in. */
		if (order == 0)
			continue;
		buf_truncate(last, 0);
		buf_puts(last, entry->key);
		if (args->fn(args->ctx, entry) != 0)
			return 1;
	}
	return 0;
}

int store_s3_list(struct store_driver *driver, const struct store_list_args *args, struct err *err)
{
	struct store_s3 *s3 = store_s3_of(driver);
	autospool struct spool *answer = spool_new(NULL, PAGE_BYTES_MAX);
	autobuf struct buf last_token = { 0 }, last_key = { 0 };
	struct store_s3_page page = { 0 };
	int ret = 0;

	for (unsigned pages = 0; ret == 0; pages++) {
		if (args->max_pages > 0 && pages == args->max_pages) {
			ret = 1;
			break;
		}
		ret = list_page(s3, args, answer, &page, err);
		if (ret == 0)
			ret = pass_on(args, &page, &last_key, err);
		if (ret < 0)
			break;
		if (ret > 0 || page.token.len == 0) {
			ret = 0;
			break;
		}
		if (strcmp(buf_str(&page.token), buf_str(&last_token)) == 0)
			ret = err_set(err, ERR_DATA,
				      "the answer makes no sense: the same token twice");
		buf_truncate(&last_token, 0);
		buf_puts(&last_token, buf_str(&page.token));
	}
	store_s3_page_free(&page);
	return ret;
}

/* ---- deleting ---- */

struct batch {
	const struct store_s3 *s3;
	const char *const *keys;
	size_t count;
	bool *deleted;
	struct err *err;
	int ret;
};

static void escape_xml(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '&')
			buf_puts(out, "&amp;");
		else if (*text == '<')
			buf_puts(out, "&lt;");
		else if (*text == '>')
			buf_puts(out, "&gt;");
		else
			buf_putc(out, *text);
	}
}

static void note_failed(void *ctx, const char *key, const struct store_s3_error *error)
{
	struct batch *batch = ctx;
	size_t cut = strlen(batch->s3->url.prefix);

	if (strcmp(error->code, "NoSuchKey") == 0)
		return;
	if (batch->ret == 0)
		batch->ret = err_set(batch->err,
				     strcmp(error->code, "AccessDenied") == 0 ? ERR_NOPERM
									      : ERR_UNAVAILABLE,
				     "%s was not deleted: %s: %s", quote_str(key).s, error->code,
				     error->message);
	for (size_t i = 0; i < batch->count; i++) {
		if (strlen(key) >= cut && strcmp(batch->keys[i], key + cut) == 0)
			batch->deleted[i] = false;
	}
}

static struct spool *make_body(const struct batch *batch)
{
	autobuf struct buf body = { 0 };

	buf_puts(&body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			"<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
			"<Quiet>true</Quiet>");
	for (size_t i = 0; i < batch->count; i++) {
		buf_puts(&body, "<Object><Key>");
		escape_xml(&body, batch->s3->url.prefix);
		escape_xml(&body, batch->keys[i]);
		buf_puts(&body, "</Key></Object>");
	}
	buf_puts(&body, "</Delete>");
	return spool_from(body.data, body.len);
}

static void add_md5(struct str_vec *headers, const struct spool *body)
{
	autobuf struct buf header = { 0 };
	unsigned char md5[16];

	hash_md5(spool_memory(body), (size_t)spool_size(body), md5);
	buf_puts(&header, "Content-MD5: ");
	base64_encode(&header, md5, sizeof md5);
	vec_push(headers, buf_steal(&header));
}

static int delete_batch(struct store_s3 *s3, struct batch *batch, struct err *err)
{
	autospool struct spool *body = make_body(batch), *answer = spool_new(NULL, ANSWER_MAX);
	autoresponse struct http_response response = { 0 };
	struct str_vec headers = { 0 };
	int ret;

	vec_push(&headers, xstrdup("Content-Type: application/xml"));
	add_md5(&headers, body);
	ret = store_s3_send(s3,
			    &(struct store_s3_call){
				    .kind = STORE_DELETE,
				    .method = HTTP_POST,
				    .query = "delete=",
				    .body = body,
				    .headers = &headers,
				    .limits = &s3->url.remove,
				    .into = answer,
				    .into_max = ANSWER_MAX,
			    },
			    &response, err);
	str_vec_free(&headers);
	if (ret < 0)
		return -1;
	for (size_t i = 0; i < batch->count; i++)
		batch->deleted[i] = true;
	if (store_s3_xml_deleted(spool_memory(answer), (size_t)spool_size(answer), note_failed,
				 batch, err) < 0) {
		memset(batch->deleted, 0, batch->count * sizeof *batch->deleted);
		return -1;
	}
	return batch->ret;
}

int store_s3_remove(struct store_driver *driver, const char *const *keys, size_t count,
		    bool *deleted_r, struct err *err)
{
	struct store_s3 *s3 = store_s3_of(driver);
	size_t limit = s3->url.bulk_delete_limit > 0 ? s3->url.bulk_delete_limit : 1;
	int result = 0;

	for (size_t at = 0; at < count; at += limit) {
		struct err failed = { 0 };
		struct batch batch = {
			.s3 = s3,
			.keys = keys + at,
			.count = count - at < limit ? count - at : limit,
			.deleted = deleted_r + at,
			.err = &failed,
		};

		if (delete_batch(s3, &batch, &failed) < 0 && result == 0) {
			if (err)
				*err = failed;
			result = -1;
		}
	}
	return result;
}
