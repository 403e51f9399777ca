/*
 * The state of s3sink, a request as it is read, and how it is answered, wrongly
 * where a rule says so.
 */
#ifndef S3SINK_ANSWER_H
#define S3SINK_ANSWER_H

#include <microhttpd.h>
#include <openssl/evp.h>
#include <sys/socket.h>

#include "s3sink_objects.h"
#include "s3sink_rules.h"
#include "s3sink_xml.h"

/* Smaller bodies are kept in spite of --drop-bodies: restic reads its keys back. */
#define DROP_ABOVE_BYTES 4096

#define MAX_BUCKETS 16

struct counter {
	uint64_t requests, bytes_in, bytes_out;
};

struct sink {
	struct objects objects; /* its lock guards all of this */
	struct rules rules;
	struct counter counters[KIND_COUNT];
	uint64_t connections, faults, etags;
	char *buckets[MAX_BUCKETS];
	size_t bucket_count;
	const char *require_key;
	bool drop_bodies, cheap_etag, verbose;
};

static struct sink sink;

struct request {
	enum kind kind;
	bool control; /* "/_something": about the sink itself */
	char *name;   /* "bucket/key", or "bucket" */
	char *key;    /* within name; NULL: the bucket itself */
	struct body *body;
	size_t room;
	uint64_t size_bytes;
	EVP_MD_CTX *md5;
	bool chunked; /* aws-chunked: "<hex>;chunk-signature=…\r\n<data>\r\n" */
	uint64_t chunk_left;
	char chunk_line[160];
	size_t chunk_line_len;
	bool matched, delayed;
	enum action action;
	unsigned delay_ms;
};

static const char *argument(struct MHD_Connection *c, const char *name)
{
	const char *value = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);
	return value != NULL ? value : "";
}

static inline bool has_argument(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value_n(c, MHD_GET_ARGUMENT_KIND, name, strlen(name), NULL,
					     NULL) == MHD_YES;
}

static const char *header(struct MHD_Connection *c, const char *name)
{
	const char *value = MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
	return value != NULL ? value : "";
}

static inline struct body *body_of(char *data, size_t len)
{
	struct body *b = must(calloc(1, sizeof(*b)));
	b->refs = 1;
	b->data = (unsigned char *)data;
	b->len = len;
	return b;
}

/* Half of what was promised, and then the connection breaks. */
static inline ssize_t read_half(void *ptr, uint64_t pos, char *buf, size_t max)
{
	const struct body *b = ptr;
	size_t half = b->len > 1 ? b->len / 2 : 5;
	if (pos >= half)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	size_t len = half - pos < max ? half - pos : max;
	if (b->len > 1)
		memcpy(buf, b->data + pos, len);
	else
		memset(buf, ' ', len);
	return (ssize_t)len;
}

static inline ssize_t read_huge(void *ptr, uint64_t pos, char *buf, size_t max)
{
	static const char head[] = "<ListBucketResult><IsTruncated>false</IsTruncated>";
	static const char row[] = "<Contents><Key>a</Key><Size>1</Size></Contents>";
	(void)ptr;
	for (size_t i = 0; i < max; i++, pos++)
		buf[i] = pos < sizeof(head) - 1 ? head[pos]
						: row[(pos - sizeof(head) + 1) % (sizeof(row) - 1)];
	return (ssize_t)max;
}

static inline ssize_t read_nothing(void *ptr, uint64_t pos, char *buf, size_t max)
{
	(void)ptr, (void)pos, (void)buf, (void)max;
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

static inline void count_out(const struct request *r, uint64_t bytes)
{
	pthread_mutex_lock(&sink.objects.lock);
	sink.counters[r->kind].bytes_out += bytes;
	pthread_mutex_unlock(&sink.objects.lock);
}

static inline struct MHD_Response *damaged(const struct request *r, struct body *b)
{
	if (r->action == DO_TRUNCATE_BODY)
		return MHD_create_response_from_callback(b->len > 1 ? b->len : 10, 65536, read_half,
							 b, body_unref);
	unsigned char *copy = must(malloc(b->len));
	memcpy(copy, b->data, b->len);
	copy[b->len / 2] ^= 0x10;
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
		b->len, copy, body_unref, body_of((char *)copy, b->len));
	body_unref(b);
	return response;
}

/* Send the response and forget it. headers: "name: value\n" lines, or NULL. */
static inline enum MHD_Result send_response(const struct request *r, struct MHD_Connection *c,
					    unsigned status, struct MHD_Response *response,
					    const char *headers)
{
	char *copy = must(strdup(headers != NULL ? headers : "")), *save = NULL;
	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *value = strstr(l, ": ");
		if (value == NULL)
			continue;
		*value = '\0';
		MHD_add_response_header(response, l, value + 2);
	}
	free(copy);
	MHD_add_response_header(response, "x-amz-request-id", "s3sink");
	enum MHD_Result result = MHD_NO;
	if (r->action != DO_LOST_REPLY)
		result = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Takes the caller's reference to the body. */
static inline enum MHD_Result answer(const struct request *r, struct MHD_Connection *c,
				     unsigned status, struct body *b, const char *headers)
{
	count_out(r, b->len);
	struct MHD_Response *response;
	if (r->action == DO_TRUNCATE_BODY || (r->action == DO_CORRUPT && b->len > 0))
		response = damaged(r, b);
	else
		response = MHD_create_response_from_buffer_with_free_callback_cls(b->len, b->data,
										  body_unref, b);
	return send_response(r, c, status, response, headers);
}

static inline enum MHD_Result answer_text(const struct request *r, struct MHD_Connection *c,
					  unsigned status, const char *text, const char *headers)
{
	return answer(r, c, status, body_of(must(strdup(text)), strlen(text)), headers);
}

static inline enum MHD_Result answer_error(const struct request *r, struct MHD_Connection *c,
					   unsigned status, const char *code, const char *message)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = must(open_memstream(&text, &len));
	xml_error(f, code, message, r->name);
	fclose(f);
	return answer(r, c, status, body_of(text, len), "Content-Type: application/xml");
}

/* ---- faults ---- */

/* An abort, not an orderly end: disconnecting a TCP socket sends RST. */
static inline void reset_connection(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	if (info != NULL)
		connect(info->connect_fd, &none, sizeof(none));
}

static inline enum MHD_Result answer_fault(const struct request *r, struct MHD_Connection *c)
{
	static const char xml[] = "Content-Type: application/xml";
	switch (r->action) {
	case DO_403:
		return answer_error(r, c, 403, "SignatureDoesNotMatch",
				    "The signature does not match");
	case DO_404:
		return answer_error(r, c, 404, "NoSuchKey", "The specified key does not exist");
	case DO_429:
		return answer_error(r, c, 429, "TooManyRequests",
				    "Please reduce your request rate");
	case DO_500:
		return answer_error(r, c, 500, "InternalError", "We encountered an internal error");
	case DO_503:
		return answer_error(r, c, 503, "SlowDown", "Please reduce your request rate");
	case DO_GARBAGE:
		return answer_error(r, c, 200, "InternalError", "We encountered an internal error");
	case DO_EMPTY:
		return answer_text(r, c, 200, "", NULL);
	case DO_BAD_XML:
		return answer_text(
			r, c, 200,
			"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a", xml);
	case DO_DOCTYPE:
		return answer_text(r, c, 200,
				   "<!DOCTYPE a [<!ENTITY e \"e\">]><ListBucketResult><IsTruncated>"
				   "false</IsTruncated><Prefix>&e;</Prefix></ListBucketResult>",
				   xml);
	case DO_HUGE_XML:
		return send_response(r, c, 200,
				     MHD_create_response_from_callback(UINT64_C(1) << 32, 65536,
								       read_huge, NULL, NULL),
				     xml);
	case DO_RESET:
		reset_connection(c);
		return MHD_NO;
	default:
		return MHD_NO;
	}
}

/* Whether the action stands in place of what was asked for. */
static inline bool fault_replaces(enum action action)
{
	return (action >= DO_403 && action <= DO_CLOSE) ||
	       (action >= DO_GARBAGE && action <= DO_DOCTYPE);
}

struct delay {
	struct MHD_Connection *connection;
	unsigned ms;
};

static inline void *resume_later(void *ptr)
{
	struct delay *d = ptr;
	struct timespec t = { d->ms / 1000, (long)(d->ms % 1000) * 1000000 };
	while (nanosleep(&t, &t) != 0)
		;
	MHD_resume_connection(d->connection);
	free(d);
	return NULL;
}

/* Hold this one connection back; the others go on. */
static inline void delay_request(struct MHD_Connection *c, unsigned ms)
{
	struct delay *d = must(calloc(1, sizeof(*d)));
	*d = (struct delay){ c, ms };
	MHD_suspend_connection(c);
	pthread_t thread;
	if (pthread_create(&thread, NULL, resume_later, d) != 0)
		abort();
	pthread_detach(thread);
}

#endif
