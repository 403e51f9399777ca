/*
 * What s3sink says and reads in XML: listings (V1 and V2), the body of a
 * batched delete, errors. The objects' lock is held by the caller of list_write.
 */
#ifndef S3SINK_XML_H
#define S3SINK_XML_H

#include <ctype.h>
#include <expat.h>
#include <stdio.h>

#include "s3sink_objects.h"
#include "s3sink_rules.h"

struct list {
	const char *bucket, *prefix, *delimiter;
	const char *after; /* names up to and with this one are left out */
	unsigned max_keys;
	bool v2, url_encode;
	enum action action;

	unsigned count;
	char *last; /* the last name or common prefix shown */
	bool truncated;
};

/* Text of an element, as S3 writes it: escaped, or percent-encoded when asked for. */
static inline void xml_text(FILE *f, const char *text, size_t len, bool url_encode)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (url_encode && !isalnum(c) && (c == 0 || strchr("-_.~/", c) == NULL))
			fprintf(f, "%%%02X", c);
		else if (c < 0x20 || strchr("<>&\"", c) != NULL)
			fprintf(f, "&#x%x;", c);
		else
			fputc(c, f);
	}
}

static inline void xml_element(FILE *f, const char *name, const char *text, bool url_encode)
{
	fprintf(f, "<%s>", name);
	xml_text(f, text, strlen(text), url_encode);
	fprintf(f, "</%s>", name);
}

static inline void xml_error(FILE *f, const char *code, const char *message, const char *name)
{
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>", f);
	xml_element(f, "Code", code, false);
	xml_element(f, "Message", message, false);
	xml_element(f, "Resource", name, false);
	fputs("<RequestId>s3sink</RequestId></Error>", f);
}

static inline void list_contents(FILE *f, const struct list *list, const char *key,
				 const struct object *o)
{
	char when[32];
	struct tm tm;
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", gmtime_r(&o->mtime.tv_sec, &tm));
	fputs("<Contents>", f);
	xml_element(f, "Key", key, list->url_encode);
	fprintf(f,
		"<LastModified>%s.%03ldZ</LastModified><ETag>&quot;%s&quot;</ETag>"
		"<Size>%llu</Size><StorageClass>STANDARD</StorageClass></Contents>",
		when, o->mtime.tv_nsec / 1000000, o->etag, (unsigned long long)o->size_bytes);
}

/* The first object past every name that begins with this one. */
static inline struct object *list_past(struct objects *all, const char *name)
{
	char *past = must(strdup(name));
	size_t len = strlen(past);
	while (len > 0 && (unsigned char)past[len - 1] == 0xff)
		past[--len] = '\0';
	if (len > 0)
		past[len - 1]++;
	struct object *o = len > 0 ? objects_at(all, past, NULL) : NULL;
	free(past);
	return o;
}

static inline struct object *list_start(struct objects *all, const struct list *list)
{
	size_t prefix_len = strlen(list->prefix), delimiter_len = strlen(list->delimiter);
	size_t after_len = strlen(list->after);
	const char *from = strcmp(list->after, list->prefix) > 0 ? list->after : list->prefix;
	char *name;
	if (asprintf(&name, "%s/%s", list->bucket, from) < 0)
		abort();
	struct object *o;
	if (delimiter_len > 0 && after_len >= prefix_len + delimiter_len && from == list->after &&
	    strncmp(list->after, list->prefix, prefix_len) == 0 &&
	    strcmp(list->after + after_len - delimiter_len, list->delimiter) == 0)
		o = list_past(all, name);
	else
		o = objects_at(all, name, NULL);
	if (o != NULL && after_len > 0 &&
	    strcmp(o->name + strlen(list->bucket) + 1, list->after) == 0)
		o = o->next[0];
	free(name);
	return o;
}

/* One page: names to contents, common prefixes to prefixes. */
static inline void list_page(struct objects *all, struct list *list, FILE *contents, FILE *prefixes)
{
	size_t bucket_len = strlen(list->bucket), prefix_len = strlen(list->prefix);
	struct object *o = list_start(all, list);
	while (o != NULL && strncmp(o->name, list->bucket, bucket_len) == 0 &&
	       o->name[bucket_len] == '/' &&
	       strncmp(o->name + bucket_len + 1, list->prefix, prefix_len) == 0) {
		if (list->count == list->max_keys) {
			list->truncated = list->max_keys > 0;
			return;
		}
		list->count++;
		const char *key = o->name + bucket_len + 1;
		const char *cut = list->delimiter[0] == '\0'
					  ? NULL
					  : strstr(key + prefix_len, list->delimiter);
		free(list->last);
		if (cut == NULL) {
			list->last = must(strdup(key));
			list_contents(contents, list, key, o);
			o = o->next[0];
			continue;
		}
		size_t len = (size_t)(cut - key) + strlen(list->delimiter);
		list->last = must(strndup(key, len));
		fputs("<CommonPrefixes>", prefixes);
		xml_element(prefixes, "Prefix", list->last, list->url_encode);
		fputs("</CommonPrefixes>", prefixes);
		char *name = must(strndup(o->name, bucket_len + 1 + len));
		o = list_past(all, name);
		free(name);
	}
}

/* Names that a listing of that prefix must never hold. */
static inline void list_foreign(FILE *f, const struct list *list)
{
	static const char *const names[] = { "../../etc/passwd", "/etc/passwd", "",
					     "zz/other@example.com/idx/bundle.1.00000.0" };
	struct object o = { .etag = "d41d8cd98f00b204e9800998ecf8427e" };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		list_contents(f, list, names[i], &o);
	static const char *const tails[] = { "../x", "./", "a/../../b", "new\nline" };
	for (size_t i = 0; i < sizeof(tails) / sizeof(*tails); i++) {
		char *name;
		if (asprintf(&name, "%s%s", list->prefix, tails[i]) < 0)
			abort();
		list_contents(f, list, name, &o);
		free(name);
	}
}

static inline void list_tail(FILE *f, const struct list *list)
{
	bool truncated =
		list->truncated || list->action == DO_NO_TOKEN || list->action == DO_SAME_TOKEN;
	fprintf(f, "<MaxKeys>%u</MaxKeys><IsTruncated>%s</IsTruncated>", list->max_keys,
		truncated ? "true" : "false");
	if (list->v2)
		fprintf(f, "<KeyCount>%u</KeyCount>", list->count);
	if (!truncated || list->action == DO_NO_TOKEN)
		return;
	const char *next = list->action == DO_SAME_TOKEN ? list->after : list->last;
	if (!list->v2) {
		xml_element(f, "NextMarker", next, list->url_encode);
		return;
	}
	fputs("<NextContinuationToken>t", f);
	for (; *next != '\0'; next++)
		fprintf(f, "%02x", (unsigned char)*next);
	fputs("</NextContinuationToken>", f);
}

/* The whole document. */
static inline void list_write(struct objects *all, struct list *list, FILE *f)
{
	char *contents_text = NULL, *prefixes_text = NULL;
	size_t contents_len = 0, prefixes_len = 0;
	FILE *contents = must(open_memstream(&contents_text, &contents_len));
	FILE *prefixes = must(open_memstream(&prefixes_text, &prefixes_len));
	if (list->action == DO_FOREIGN_KEYS)
		list_foreign(contents, list);
	list_page(all, list, contents, prefixes);
	fclose(contents);
	fclose(prefixes);

	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", f);
	fputs("<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", f);
	xml_element(f, "Name", list->bucket, false);
	xml_element(f, "Prefix", list->prefix, list->url_encode);
	if (list->delimiter[0] != '\0')
		xml_element(f, "Delimiter", list->delimiter, list->url_encode);
	if (!list->v2)
		xml_element(f, "Marker", list->after, list->url_encode);
	if (list->url_encode)
		xml_element(f, "EncodingType", "url", false);
	list_tail(f, list);
	fwrite(contents_text, 1, contents_len, f);
	fwrite(prefixes_text, 1, prefixes_len, f);
	fputs("</ListBucketResult>", f);
	free(contents_text);
	free(prefixes_text);
	free(list->last);
}

/* A token of list_tail as the name it stands for, to be freed; NULL: not ours. */
static inline char *list_token(const char *token)
{
	size_t len = strlen(token);
	if (token[0] != 't' || len % 2 == 0)
		return NULL;
	char *name = must(calloc(1, len / 2 + 1));
	for (size_t i = 1; i < len; i += 2) {
		unsigned byte;
		if (!isxdigit((unsigned char)token[i]) || sscanf(token + i, "%2x", &byte) != 1) {
			free(name);
			return NULL;
		}
		name[i / 2] = (char)byte;
	}
	return name;
}

/* What POST ?delete asks for. */
struct delete_many {
	char **keys;
	size_t count;
	bool quiet;
	XML_Parser parser;
	char text[2048];
	size_t text_len;
};

static inline void XMLCALL delete_many_start(void *ptr, const XML_Char *name, const XML_Char **atts)
{
	struct delete_many *d = ptr;
	(void)name;
	(void)atts;
	d->text_len = 0;
}

static inline void XMLCALL delete_many_text(void *ptr, const XML_Char *text, int len)
{
	struct delete_many *d = ptr;
	if (d->text_len + (size_t)len >= sizeof(d->text)) {
		XML_StopParser(d->parser, XML_FALSE);
		return;
	}
	memcpy(d->text + d->text_len, text, (size_t)len);
	d->text_len += (size_t)len;
}

static inline void XMLCALL delete_many_end(void *ptr, const XML_Char *name)
{
	struct delete_many *d = ptr;
	d->text[d->text_len] = '\0';
	if (strcmp(name, "Key") == 0) {
		d->keys = must(realloc(d->keys, (d->count + 1) * sizeof(*d->keys)));
		d->keys[d->count++] = must(strdup(d->text));
	} else if (strcmp(name, "Quiet") == 0) {
		d->quiet = strcmp(d->text, "true") == 0;
	}
	d->text_len = 0;
}

static inline void delete_many_deinit(struct delete_many *d)
{
	for (size_t i = 0; i < d->count; i++)
		free(d->keys[i]);
	free(d->keys);
}

/* 0, or -1: not well-formed, or not 1 to 1000 keys. Deinit in both cases. */
static inline int delete_many_parse(struct delete_many *d, const void *data, size_t len)
{
	memset(d, 0, sizeof(*d));
	d->parser = must(XML_ParserCreate("UTF-8"));
	XML_SetUserData(d->parser, d);
	XML_SetElementHandler(d->parser, delete_many_start, delete_many_end);
	XML_SetCharacterDataHandler(d->parser, delete_many_text);
	enum XML_Status status = XML_Parse(d->parser, data, (int)len, 1);
	XML_ParserFree(d->parser);
	return status == XML_STATUS_OK && d->count > 0 && d->count <= 1000 ? 0 : -1;
}

#endif
