/*
 * What s3sink does for each request on objects and listings.
 */
#ifndef S3SINK_REQUESTS_H
#define S3SINK_REQUESTS_H

#include "s3sink_answer.h"

static inline int collect_header(void *ptr, const char *name, const char *value)
{
	if (strncasecmp(name, "x-amz-meta-", 11) == 0 || strcasecmp(name, "content-type") == 0)
		fprintf(ptr, "%s: %s\n", name, value);
	return 0;
}

static inline enum MHD_Result collect_header_cb(void *ptr, enum MHD_ValueKind kind,
						const char *name, const char *value)
{
	(void)kind;
	collect_header(ptr, name, value != NULL ? value : "");
	return MHD_YES;
}

static inline void make_etag(struct request *r, char etag[40])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (r->md5 == NULL) {
		snprintf(etag, 40, "%032llx-1", (unsigned long long)++sink.etags);
		return;
	}
	EVP_DigestFinal_ex(r->md5, digest, &len);
	for (unsigned i = 0; i < len; i++)
		snprintf(etag + 2 * i, 3, "%02x", digest[i]);
}

static inline enum MHD_Result do_put(struct request *r, struct MHD_Connection *c)
{
	if (header(c, "x-amz-copy-source")[0] != '\0' || has_argument(c, "uploadId"))
		return answer_error(r, c, 501, "NotImplemented", "Not implemented");
	char *headers = NULL;
	size_t headers_len = 0;
	FILE *f = must(open_memstream(&headers, &headers_len));
	MHD_get_connection_values(c, MHD_HEADER_KIND, collect_header_cb, f);
	fclose(f);

	char etag_header[64];
	bool refused = false;
	pthread_mutex_lock(&sink.objects.lock);
	if (strcmp(header(c, "if-none-match"), "*") == 0)
		refused = objects_find(&sink.objects, r->name) != NULL;
	if (!refused) {
		struct object *o = objects_add(&sink.objects, r->name);
		free(o->headers);
		body_unref(o->body);
		o->headers = headers;
		headers = NULL;
		o->size_bytes = r->size_bytes;
		bool drop = sink.drop_bodies && r->size_bytes > DROP_ABOVE_BYTES;
		o->body = drop ? NULL : body_ref(r->body);
		clock_gettime(CLOCK_REALTIME, &o->mtime);
		make_etag(r, o->etag);
		snprintf(etag_header, sizeof(etag_header), "ETag: \"%s\"", o->etag);
	}
	pthread_mutex_unlock(&sink.objects.lock);
	free(headers);
	if (refused)
		return answer_error(r, c, 412, "PreconditionFailed", "The object exists");
	return answer_text(r, c, 200, "", etag_header);
}

/* "bytes=a-b", "bytes=a-" or "bytes=-n" against a size. 1: part, 0: all, -1: cannot be. */
static inline int parse_range(const char *text, uint64_t size, uint64_t *from_r, uint64_t *len_r)
{
	unsigned long long from, to;
	*from_r = 0;
	*len_r = size;
	if (sscanf(text, "bytes=-%llu", &to) == 1) {
		*len_r = to < size ? to : size;
		*from_r = size - *len_r;
		return size > 0 && to > 0 ? 1 : -1;
	}
	int fields = sscanf(text, "bytes=%llu-%llu", &from, &to);
	if (fields < 1)
		return 0;
	if (from >= size || (fields == 2 && to < from))
		return -1;
	*from_r = from;
	*len_r = (fields == 2 && to < size ? to + 1 : size) - from;
	return 1;
}

static inline enum MHD_Result send_object(const struct request *r, struct MHD_Connection *c,
					  struct body *b, uint64_t size, const char *headers)
{
	uint64_t from, len;
	int part = parse_range(header(c, "range"), size, &from, &len);
	if (part < 0) {
		body_unref(b);
		return answer_error(r, c, 416, "InvalidRange", "The range is not satisfiable");
	}
	if (r->kind == KIND_HEAD || part == 0) {
		if (r->kind == KIND_GET)
			return answer(r, c, 200, b, headers);
		body_unref(b);
		return send_response(
			r, c, 200,
			MHD_create_response_from_callback(size, 65536, read_nothing, NULL, NULL),
			headers);
	}
	char *all;
	if (asprintf(&all, "%sContent-Range: bytes %llu-%llu/%llu", headers,
		     (unsigned long long)from, (unsigned long long)(from + len - 1),
		     (unsigned long long)size) < 0)
		abort();
	char *copy = must(malloc(len + 1));
	memcpy(copy, b->data + from, len);
	body_unref(b);
	enum MHD_Result result = answer(r, c, 206, body_of(copy, len), all);
	free(all);
	return result;
}

static inline enum MHD_Result do_get(const struct request *r, struct MHD_Connection *c)
{
	struct body *b = NULL;
	char *headers = NULL;
	uint64_t size = 0;
	pthread_mutex_lock(&sink.objects.lock);
	const struct object *o = objects_find(&sink.objects, r->name);
	if (o != NULL) {
		b = body_ref(o->body);
		size = o->size_bytes;
		char when[64];
		struct tm tm;
		strftime(when, sizeof(when), "%a, %d %b %Y %H:%M:%S GMT",
			 gmtime_r(&o->mtime.tv_sec, &tm));
		if (asprintf(&headers, "%sETag: \"%s\"\nLast-Modified: %s\nAccept-Ranges: bytes\n",
			     o->headers, o->etag, when) < 0)
			abort();
	}
	pthread_mutex_unlock(&sink.objects.lock);
	enum MHD_Result result;
	if (o == NULL)
		result = answer_error(r, c, 404, "NoSuchKey", "The specified key does not exist");
	else if (b == NULL && r->kind == KIND_GET)
		result = answer_error(r, c, 500, "InternalError", "--drop-bodies dropped it");
	else
		result = send_object(r, c, b, size, headers);
	free(headers);
	return result;
}

static inline enum MHD_Result do_delete(const struct request *r, struct MHD_Connection *c)
{
	pthread_mutex_lock(&sink.objects.lock);
	objects_remove(&sink.objects, r->name);
	pthread_mutex_unlock(&sink.objects.lock);
	return answer_text(r, c, 204, "", NULL);
}

static inline void delete_each(const struct request *r, const struct delete_many *d, FILE *f)
{
	for (size_t i = 0; i < d->count; i++) {
		bool refuse = r->action == DO_PARTIAL && i % 2 == 1;
		char *name;
		if (asprintf(&name, "%s/%s", r->name, d->keys[i]) < 0)
			abort();
		if (!refuse)
			objects_remove(&sink.objects, name);
		free(name);
		if (!refuse && d->quiet)
			continue;
		fputs(refuse ? "<Error>" : "<Deleted>", f);
		xml_element(f, "Key", d->keys[i], false);
		if (refuse)
			fputs("<Code>InternalError</Code><Message>Try again</Message>", f);
		fputs(refuse ? "</Error>" : "</Deleted>", f);
	}
}

static inline enum MHD_Result do_delete_many(const struct request *r, struct MHD_Connection *c)
{
	struct delete_many d;
	if (delete_many_parse(&d, r->body->data, r->body->len) < 0) {
		delete_many_deinit(&d);
		return answer_error(r, c, 400, "MalformedXML", "Not 1 to 1000 keys in good XML");
	}
	char *text = NULL;
	size_t len = 0;
	FILE *f = must(open_memstream(&text, &len));
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	      "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
	      f);
	pthread_mutex_lock(&sink.objects.lock);
	delete_each(r, &d, f);
	pthread_mutex_unlock(&sink.objects.lock);
	fputs("</DeleteResult>", f);
	fclose(f);
	delete_many_deinit(&d);
	return answer(r, c, 200, body_of(text, len), "Content-Type: application/xml");
}

static inline enum MHD_Result do_list(const struct request *r, struct MHD_Connection *c)
{
	const char *token = argument(c, "continuation-token"), *max = argument(c, "max-keys");
	struct list list = {
		.bucket = r->name,
		.prefix = argument(c, "prefix"),
		.delimiter = argument(c, "delimiter"),
		.v2 = strcmp(argument(c, "list-type"), "2") == 0,
		.url_encode = strcmp(argument(c, "encoding-type"), "url") == 0,
		.max_keys = 1000,
		.action = r->action,
	};
	list.after = argument(c, list.v2 ? "start-after" : "marker");
	if (*max != '\0' && rules_number(max, &list.max_keys) < 0)
		return answer_error(r, c, 400, "InvalidArgument", "max-keys is not a number");
	if (list.max_keys > 1000)
		list.max_keys = 1000;
	char *after = NULL;
	if (list.v2 && *token != '\0') {
		list.after = after = list_token(token);
		if (after == NULL)
			return answer_error(r, c, 400, "InvalidArgument",
					    "The continuation token is not ours");
	}
	char *text = NULL;
	size_t len = 0;
	FILE *f = must(open_memstream(&text, &len));
	pthread_mutex_lock(&sink.objects.lock);
	list_write(&sink.objects, &list, f);
	pthread_mutex_unlock(&sink.objects.lock);
	fclose(f);
	free(after);
	return answer(r, c, 200, body_of(text, len), "Content-Type: application/xml");
}

#endif
