#include "store/store_s3_xml.h"

#include <expat.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/quote.h"
#include "base/utf8.h"
#include "http/http.h"

#define DEPTH_MAX 8
#define TEXT_MAX 8192
#define NAME_MAX_BYTES 48

enum kind { KIND_ERROR, KIND_LIST, KIND_DELETED };

struct xml {
	enum kind kind;
	XML_Parser parser;
	char path[DEPTH_MAX][NAME_MAX_BYTES];
	unsigned depth;
	bool has_root; /* the document is of the kind that was asked for */
	struct buf text;
	struct err *err;
	bool failed;
	struct buf key;
	/* of a listing */
	const char *prefix;
	struct store_s3_page *page; /* keys as they came until the end */
	struct buf size, modified, echo;
	bool has_truncated, truncated, is_encoded;
	/* of a batched delete */
	store_s3_failed_fn *failed_fn;
	void *ctx;
	/* of an error, or of one in a batched delete */
	struct store_s3_error *error;
};

static const char *const root_names[] = {
	[KIND_ERROR] = "Error",
	[KIND_LIST] = "ListBucketResult",
	[KIND_DELETED] = "DeleteResult",
};

static void fail(struct xml *xml, const char *what)
{
	if (!xml->failed)
		err_set(xml->err, ERR_DATA, "the answer makes no sense: %s", what);
	xml->failed = true;
	XML_StopParser(xml->parser, XML_FALSE);
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
			       const XML_Char *pubid, int has_internal)
{
	(void)name, (void)sysid, (void)pubid, (void)has_internal;
	fail(ctx, "it has a DOCTYPE");
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct xml *xml = ctx;

	(void)attributes;
	if (xml->depth >= DEPTH_MAX) {
		fail(xml, "it is nested too deep");
		return;
	}
	snprintf(xml->path[xml->depth++], NAME_MAX_BYTES, "%s", name);
	if (xml->depth == 1) {
		xml->has_root = strcmp(name, root_names[xml->kind]) == 0;
		if (!xml->has_root)
			fail(xml, "it is of another kind");
	}
	if (xml->depth == 2) {
		buf_truncate(&xml->key, 0);
		buf_truncate(&xml->size, 0);
		buf_truncate(&xml->modified, 0);
		if (xml->kind == KIND_DELETED)
			*xml->error = (struct store_s3_error){ .code = "" };
	}
	buf_truncate(&xml->text, 0);
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int len)
{
	struct xml *xml = ctx;

	if (xml->text.len + (size_t)len > TEXT_MAX) {
		fail(xml, "a text is too long");
		return;
	}
	buf_append(&xml->text, text, (size_t)len);
}

/* Whether the element that ends now is at this place below the root. */
static bool at(const struct xml *xml, const char *parent, const char *name)
{
	if (!parent)
		return xml->depth == 2 && strcmp(xml->path[1], name) == 0;
	return xml->depth == 3 && strcmp(xml->path[1], parent) == 0 &&
	       strcmp(xml->path[2], name) == 0;
}

static void keep(struct buf *to, const struct buf *text)
{
	buf_truncate(to, 0);
	buf_append(to, text->data, text->len);
}

static int64_t parse_time(const char *text)
{
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : 0;
}

/* A key or prefix is complete. */
static void end_entry(struct xml *xml, bool is_prefix)
{
	struct store_object entry = { .is_prefix = is_prefix };
	char *end;

	if (xml->key.len == 0) {
		fail(xml, "an entry has no key");
		return;
	}
	if (!is_prefix) {
		entry.size_bytes = strtoull(buf_str(&xml->size), &end, 10);
		if (xml->size.len == 0 || *end != '\0' || xml->size.data[0] == '-') {
			fail(xml, "an object has no size");
			return;
		}
		entry.modified = parse_time(buf_str(&xml->modified));
	}
	entry.key = xstrdup(buf_str(&xml->key));
	vec_push(&xml->page->entries, entry);
}

static void end_in_list(struct xml *xml)
{
	const char *text = buf_str(&xml->text);

	if (at(xml, "Contents", "Key") || at(xml, "CommonPrefixes", "Prefix"))
		keep(&xml->key, &xml->text);
	else if (at(xml, "Contents", "Size"))
		keep(&xml->size, &xml->text);
	else if (at(xml, "Contents", "LastModified"))
		keep(&xml->modified, &xml->text);
	else if (at(xml, NULL, "Contents"))
		end_entry(xml, false);
	else if (at(xml, NULL, "CommonPrefixes"))
		end_entry(xml, true);
	else if (at(xml, NULL, "NextContinuationToken"))
		keep(&xml->page->token, &xml->text);
	else if (at(xml, NULL, "Prefix"))
		keep(&xml->echo, &xml->text);
	else if (at(xml, NULL, "EncodingType"))
		xml->is_encoded = strcmp(text, "url") == 0;
	else if (at(xml, NULL, "IsTruncated")) {
		xml->has_truncated = true;
		xml->truncated = strcmp(text, "true") == 0;
		if (!xml->truncated && strcmp(text, "false") != 0)
			fail(xml, "IsTruncated is neither true nor false");
	}
}

/* Text of a stranger, cut and cleaned for one line of a message. */
static void clean(char *out, size_t size, const struct buf *text)
{
	size_t used = 0;

	for (size_t i = 0; i < text->len;) {
		size_t len = utf8_char_len(text->data + i, text->len - i);
		bool plain = len > 0 && !utf8_is_control(text->data + i, len);

		if (used + (plain ? len : 1) >= size)
			break;
		memcpy(out + used, plain ? text->data + i : " ", plain ? len : 1);
		used += plain ? len : 1;
		i += len > 0 ? len : 1;
	}
	out[used] = '\0';
}

static void end_in_deleted(struct xml *xml)
{
	if (at(xml, "Error", "Key"))
		keep(&xml->key, &xml->text);
	else if (at(xml, "Error", "Code"))
		clean(xml->error->code, sizeof xml->error->code, &xml->text);
	else if (at(xml, "Error", "Message"))
		clean(xml->error->message, sizeof xml->error->message, &xml->text);
	else if (at(xml, NULL, "Error"))
		xml->failed_fn(xml->ctx, buf_str(&xml->key), xml->error);
}

static void end_in_error(struct xml *xml)
{
	if (at(xml, NULL, "Code"))
		clean(xml->error->code, sizeof xml->error->code, &xml->text);
	else if (at(xml, NULL, "Message"))
		clean(xml->error->message, sizeof xml->error->message, &xml->text);
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
	struct xml *xml = ctx;

	(void)name;
	if (xml->kind == KIND_LIST)
		end_in_list(xml);
	else if (xml->kind == KIND_DELETED)
		end_in_deleted(xml);
	else
		end_in_error(xml);
	xml->depth--;
	buf_truncate(&xml->text, 0);
}

static void free_xml(struct xml *xml)
{
	XML_ParserFree(xml->parser);
	buf_free(&xml->text);
	buf_free(&xml->key);
	buf_free(&xml->size);
	buf_free(&xml->modified);
	buf_free(&xml->echo);
}

static int parse(struct xml *xml, const char *body, size_t len)
{
	xml->parser = XML_ParserCreate("UTF-8");
	if (!xml->parser)
		abort(); /* no memory */
	XML_SetUserData(xml->parser, xml);
	XML_SetElementHandler(xml->parser, on_start, on_end);
	XML_SetCharacterDataHandler(xml->parser, on_text);
	XML_SetStartDoctypeDeclHandler(xml->parser, on_doctype);
	if (len <= INT_MAX && XML_Parse(xml->parser, body, (int)len, 1) == XML_STATUS_OK)
		return 0;
	if (!xml->failed)
		err_set(xml->err, ERR_DATA, "the answer is no complete XML: %s",
			XML_ErrorString(XML_GetErrorCode(xml->parser)));
	return -1;
}

void store_s3_xml_error(const char *body, size_t len, struct store_s3_error *error_r)
{
	struct xml xml = { .kind = KIND_ERROR, .error = error_r };

	*error_r = (struct store_s3_error){ .code = "" };
	if (parse(&xml, body, len) < 0)
		*error_r = (struct store_s3_error){ .code = "" };
	free_xml(&xml);
}

/* What was asked for must be what was answered. */
static int check_page(const struct xml *xml, const struct store_s3_page *page, struct err *err)
{
	autobuf struct buf echo = { 0 };

	if (!xml->has_truncated)
		return err_set(err, ERR_DATA, "the answer makes no sense: it lacks IsTruncated");
	if (xml->truncated && page->token.len == 0)
		return err_set(err, ERR_DATA,
			       "the answer makes no sense: cut, but without a token to go on");
	/* Not every server encodes what it repeats. */
	if (xml->echo.len > 0 && strcmp(buf_str(&xml->echo), xml->prefix) != 0 &&
	    (store_s3_page_decode(buf_str(&xml->echo), xml->is_encoded, &echo) < 0 ||
	     strcmp(buf_str(&echo), xml->prefix) != 0))
		return err_set(err, ERR_DATA,
			       "the answer makes no sense: it is for another prefix, %s",
			       quote_str(buf_str(&xml->echo)).s);
	return 0;
}

int store_s3_xml_list(const char *body, size_t len, const char *prefix, size_t cut,
		      struct store_s3_page *page, struct err *err)
{
	struct xml xml = { .kind = KIND_LIST, .err = err, .prefix = prefix, .page = page };
	int ret;

	store_s3_page_reset(page);
	ret = parse(&xml, body, len);
	if (ret == 0)
		ret = check_page(&xml, page, err);
	if (ret == 0)
		ret = store_s3_page_finish(
			page, &(struct store_s3_page_rules){ prefix, cut, xml.is_encoded }, err);
	if (ret == 0 && !xml.truncated)
		buf_truncate(&page->token, 0);
	free_xml(&xml);
	return ret;
}

int store_s3_xml_deleted(const char *body, size_t len, store_s3_failed_fn *fn, void *ctx,
			 struct err *err)
{
	struct store_s3_error error;
	struct xml xml = {
		.kind = KIND_DELETED,
		.err = err,
		.failed_fn = fn,
		.ctx = ctx,
		.error = &error,
	};
	int ret = parse(&xml, body, len);

	free_xml(&xml);
	return ret;
}
