#include "store/store_s3_xml.h"

#include <expat.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
	/* of a listing */
	const char *prefix;
	size_t cut;
	store_list_fn *list_fn;
	void *ctx;
	struct store_s3_page *page;
	struct buf key, size, modified;
	bool has_truncated, truncated;
	/* of a batched delete */
	store_s3_failed_fn *failed_fn;
	struct buf code, message;
	/* of an error */
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
		buf_truncate(&xml->code, 0);
		buf_truncate(&xml->message, 0);
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

/* A key or prefix is complete: decode, check, hand over. */
static void end_entry(struct xml *xml, bool is_prefix)
{
	autobuf struct buf key = { 0 };
	struct store_object object = { .is_prefix = is_prefix };
	char *end;

	if (xml->page->stopped)
		return;
	/* In this encoding a plus sign is a blank, as in forms. */
	for (size_t i = 0; i < xml->key.len; i++) {
		if (xml->key.data[i] == '+')
			xml->key.data[i] = ' ';
	}
	if (xml->key.len == 0 || http_decode(&key, xml->key.data, xml->key.len) < 0) {
		fail(xml, "an entry has no readable key");
		return;
	}
	if (strncmp(buf_str(&key), xml->prefix, strlen(xml->prefix)) != 0) {
		fail(xml, "it lists a key that was not asked for");
		return;
	}
	if (!is_prefix) {
		object.size_bytes = strtoull(buf_str(&xml->size), &end, 10);
		if (xml->size.len == 0 || *end != '\0' || xml->size.data[0] == '-') {
			fail(xml, "an object has no size");
			return;
		}
		object.modified = parse_time(buf_str(&xml->modified));
	}
	object.key = key.data + xml->cut;
	xml->page->stopped = xml->list_fn(xml->ctx, &object) != 0;
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
	else if (at(xml, NULL, "IsTruncated")) {
		xml->has_truncated = true;
		xml->truncated = strcmp(text, "true") == 0;
		if (!xml->truncated && strcmp(text, "false") != 0)
			fail(xml, "IsTruncated is neither true nor false");
	}
}

static void end_in_deleted(struct xml *xml)
{
	if (at(xml, "Error", "Key"))
		keep(&xml->key, &xml->text);
	else if (at(xml, "Error", "Code"))
		keep(&xml->code, &xml->text);
	else if (at(xml, "Error", "Message"))
		keep(&xml->message, &xml->text);
	else if (at(xml, NULL, "Error"))
		xml->failed_fn(xml->ctx, buf_str(&xml->key), buf_str(&xml->code),
			       buf_str(&xml->message));
}

static void end_in_error(struct xml *xml)
{
	if (at(xml, NULL, "Code"))
		snprintf(xml->error->code, sizeof xml->error->code, "%s", buf_str(&xml->text));
	else if (at(xml, NULL, "Message"))
		snprintf(xml->error->message, sizeof xml->error->message, "%s",
			 buf_str(&xml->text));
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
	buf_free(&xml->code);
	buf_free(&xml->message);
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

int store_s3_xml_list(const char *body, size_t len, const char *key_prefix, size_t cut,
		      store_list_fn *fn, void *ctx, struct store_s3_page *page_r, struct err *err)
{
	struct xml xml = {
		.kind = KIND_LIST,
		.err = err,
		.prefix = key_prefix,
		.cut = cut,
		.list_fn = fn,
		.ctx = ctx,
		.page = page_r,
	};
	int ret;

	buf_truncate(&page_r->token, 0);
	ret = parse(&xml, body, len);
	if (ret == 0 && !xml.has_truncated)
		ret = err_set(err, ERR_DATA, "the answer makes no sense: it lacks IsTruncated");
	else if (ret == 0 && xml.truncated && page_r->token.len == 0)
		ret = err_set(err, ERR_DATA,
			      "the answer makes no sense: cut, but without a token to go on");
	else if (ret == 0 && !xml.truncated)
		buf_truncate(&page_r->token, 0);
	free_xml(&xml);
	return ret;
}

int store_s3_xml_deleted(const char *body, size_t len, store_s3_failed_fn *fn, void *ctx,
			 struct err *err)
{
	struct xml xml = { .kind = KIND_DELETED, .err = err, .failed_fn = fn, .ctx = ctx };
	int ret = parse(&xml, body, len);

	free_xml(&xml);
	return ret;
}
