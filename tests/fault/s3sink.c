/*
 * s3sink: an S3 server in memory, on 127.0.0.1, for benches and for faults that a
 * real server will not produce on demand. It checks no signatures. README.md says
 * how it is used; the rules for faults are in s3sink_rules.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "s3sink_control.h"
#include "s3sink_requests.h"

/* ---- buckets ---- */

static bool bucket_known(const char *name)
{
	bool known = false;
	pthread_mutex_lock(&sink.objects.lock);
	for (size_t i = 0; i < sink.bucket_count && !known; i++)
		known = strcmp(sink.buckets[i], name) == 0;
	pthread_mutex_unlock(&sink.objects.lock);
	return known;
}

/* 0, or -1: too many. */
static int bucket_add(const char *name)
{
	if (bucket_known(name))
		return 0;
	pthread_mutex_lock(&sink.objects.lock);
	int result = sink.bucket_count < MAX_BUCKETS ? 0 : -1;
	if (result == 0)
		sink.buckets[sink.bucket_count++] = must(strdup(name));
	pthread_mutex_unlock(&sink.objects.lock);
	return result;
}

static enum MHD_Result do_bucket(const struct request *r, struct MHD_Connection *c,
				 const char *method)
{
	static const char xml[] = "Content-Type: application/xml";
	if (strcmp(method, "PUT") == 0) {
		if (bucket_add(r->name) < 0)
			return answer_error(r, c, 400, "TooManyBuckets", "Too many buckets");
		return answer_text(r, c, 200, "", NULL);
	}
	if (strcmp(method, "HEAD") == 0)
		return answer_text(r, c, 200, "", NULL);
	if (strcmp(method, "GET") == 0 && has_argument(c, "location"))
		return answer_text(r, c, 200,
				   "<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/"
				   "2006-03-01/\"></LocationConstraint>",
				   xml);
	if (strcmp(method, "GET") == 0 && has_argument(c, "versioning"))
		return answer_text(r, c, 200, "<VersioningConfiguration/>", xml);
	return answer_error(r, c, 501, "NotImplemented", "Not implemented");
}

/* ---- requests ---- */

/* The key id of "AWS4-HMAC-SHA256 Credential=KEY/…" or "AWS KEY:…" is the wanted one. */
static bool key_matches(const char *authorization, const char *want)
{
	const char *key = strstr(authorization, "Credential=");
	if (key != NULL)
		key += strlen("Credential=");
	else if (strncmp(authorization, "AWS ", 4) == 0)
		key = authorization + 4;
	else
		return false;
	size_t len = strcspn(key, "/:");
	return len == strlen(want) && strncmp(key, want, len) == 0;
}

static enum MHD_Result dispatch(struct request *r, struct MHD_Connection *c, const char *method)
{
	if (r->control)
		return do_control(r, c, method);
	if (fault_replaces(r->action))
		return answer_fault(r, c);
	if (sink.require_key != NULL && header(c, "authorization")[0] == '\0')
		return answer_error(r, c, 403, "AccessDenied", "Anonymous access is not allowed");
	if (sink.require_key != NULL && !key_matches(header(c, "authorization"), sink.require_key))
		return answer_error(r, c, 403, "InvalidAccessKeyId", "The access key is not known");
	if (r->kind == KIND_OTHER)
		return bucket_known(r->name) || strcmp(method, "PUT") == 0
			       ? do_bucket(r, c, method)
			       : answer_error(r, c, 404, "NoSuchBucket", "No such bucket");
	char *bucket = must(strndup(r->name, strcspn(r->name, "/")));
	bool known = bucket_known(bucket);
	free(bucket);
	if (!known)
		return answer_error(r, c, 404, "NoSuchBucket", "No such bucket");
	switch (r->kind) {
	case KIND_PUT:
		return do_put(r, c);
	case KIND_GET:
	case KIND_HEAD:
		return do_get(r, c);
	case KIND_DELETE:
		return do_delete(r, c);
	case KIND_DELETE_MANY:
		return do_delete_many(r, c);
	default:
		return do_list(r, c);
	}
}

static enum kind classify(const struct request *r, struct MHD_Connection *c, const char *method)
{
	bool get = strcmp(method, "GET") == 0;
	if (r->key == NULL) {
		if (strcmp(method, "POST") == 0 && has_argument(c, "delete"))
			return KIND_DELETE_MANY;
		bool list = get && !has_argument(c, "location") && !has_argument(c, "versioning");
		return list && r->name[0] != '\0' ? KIND_LIST : KIND_OTHER;
	}
	if (get)
		return KIND_GET;
	if (strcmp(method, "PUT") == 0)
		return KIND_PUT;
	if (strcmp(method, "HEAD") == 0)
		return KIND_HEAD;
	return strcmp(method, "DELETE") == 0 ? KIND_DELETE : KIND_OTHER;
}

static struct request *request_new(struct MHD_Connection *c, const char *url, const char *method)
{
	struct request *r = must(calloc(1, sizeof(*r)));
	r->name = must(strdup(url[0] == '/' ? url + 1 : url));
	r->control = r->name[0] == '_';
	char *slash = strchr(r->name, '/');
	if (slash != NULL && slash[1] == '\0')
		*slash = '\0';
	else if (slash != NULL)
		r->key = slash + 1;
	r->kind = r->control ? KIND_OTHER : classify(r, c, method);
	r->body = body_of(NULL, 0);
	r->chunked = strncmp(header(c, "x-amz-content-sha256"), "STREAMING-", 10) == 0;
	if (r->kind == KIND_PUT && !sink.cheap_etag) {
		r->md5 = must(EVP_MD_CTX_new());
		EVP_DigestInit_ex(r->md5, EVP_md5(), NULL);
	}
	if (!r->control) {
		pthread_mutex_lock(&sink.objects.lock);
		sink.counters[r->kind].requests++;
		pthread_mutex_unlock(&sink.objects.lock);
	}
	return r;
}

static void request_done(void *cls, struct MHD_Connection *c, void **ptr,
			 enum MHD_RequestTerminationCode why)
{
	(void)cls, (void)c, (void)why;
	struct request *r = *ptr;
	if (r == NULL)
		return;
	EVP_MD_CTX_free(r->md5);
	body_unref(r->body);
	free(r->name);
	free(r);
	*ptr = NULL;
}

static void take_data(struct request *r, const char *data, size_t len)
{
	r->size_bytes += len;
	if (r->md5 != NULL)
		EVP_DigestUpdate(r->md5, data, len);
	struct body *b = r->body;
	if (sink.drop_bodies && r->kind == KIND_PUT && r->size_bytes > DROP_ABOVE_BYTES)
		return;
	if (b->len + len > r->room) {
		r->room = (b->len + len) * 2;
		b->data = must(realloc(b->data, r->room));
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

/* Undo aws-chunked; data may be cut anywhere. */
static void take_chunked(struct request *r, const char *data, size_t len)
{
	while (len > 0) {
		if (r->chunk_left > 0) {
			size_t n = len < r->chunk_left ? len : (size_t)r->chunk_left;
			take_data(r, data, n);
			r->chunk_left -= n;
			data += n;
			len -= n;
			continue;
		}
		char byte = *data++;
		len--;
		if (byte != '\n') {
			if (r->chunk_line_len < sizeof(r->chunk_line) - 1)
				r->chunk_line[r->chunk_line_len++] = byte;
			continue;
		}
		/* An empty line is the end of a chunk's data. */
		r->chunk_line[r->chunk_line_len] = '\0';
		r->chunk_line_len = 0;
		r->chunk_left = strtoull(r->chunk_line, NULL, 16);
	}
}

static void match_rules(struct request *r)
{
	r->matched = true;
	pthread_mutex_lock(&sink.objects.lock);
	r->action = rules_match(&sink.rules, r->kind, r->name, &r->delay_ms);
	if (r->action != DO_NOTHING || r->delay_ms > 0)
		sink.faults++;
	sink.counters[r->kind].bytes_in += r->size_bytes;
	pthread_mutex_unlock(&sink.objects.lock);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *data_size, void **ptr)
{
	(void)cls, (void)version;
	struct request *r = *ptr;
	if (r == NULL) {
		*ptr = request_new(c, url, method);
		return MHD_YES;
	}
	if (*data_size > 0) {
		if (r->chunked)
			take_chunked(r, data, *data_size);
		else
			take_data(r, data, *data_size);
		*data_size = 0;
		return MHD_YES;
	}
	if (!r->control && !r->matched)
		match_rules(r);
	if (r->delay_ms > 0 && !r->delayed) {
		r->delayed = true;
		delay_request(c, r->delay_ms);
		return MHD_YES;
	}
	if (sink.verbose)
		fprintf(stderr, "%s %s (%s) %s\n", method, url, kind_names[r->kind],
			action_names[r->action]);
	return dispatch(r, c, method);
}

static void connection_notify(void *cls, struct MHD_Connection *c, void **ptr,
			      enum MHD_ConnectionNotificationCode code)
{
	(void)cls, (void)ptr;
	if (code != MHD_CONNECTION_NOTIFY_STARTED)
		return;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	int on = 1;
	if (info != NULL)
		setsockopt(info->connect_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	pthread_mutex_lock(&sink.objects.lock);
	sink.connections++;
	pthread_mutex_unlock(&sink.objects.lock);
}

/* ---- the program ---- */

static const char usage[] =
	"usage: s3sink [--port N] [--bucket NAME]… [--require-key KEY] [--drop-bodies]\n"
	"              [--cheap-etag] [--die-with-parent] [--verbose] [RULE]…\n"
	"Prints its URL and serves until SIGTERM. A RULE is one argument, as in\n"
	"'kind=put nth=3 count=1 do=500'. The bucket is \"bench\" unless named.\n";

static const struct option options[] = {
	{ "port", required_argument, NULL, 'p' },
	{ "bucket", required_argument, NULL, 'b' },
	{ "require-key", required_argument, NULL, 'k' },
	{ "drop-bodies", no_argument, NULL, 'd' },
	{ "cheap-etag", no_argument, NULL, 'e' },
	{ "die-with-parent", no_argument, NULL, 'x' },
	{ "verbose", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

static int parse_options(int argc, char **argv, unsigned *port_r)
{
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'p' && rules_number(optarg, port_r) == 0 && *port_r < 65536)
			continue;
		if (option == 'b' && bucket_add(optarg) == 0)
			continue;
		if (option == 'x' && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0)
			continue;
		if (option == 'k')
			sink.require_key = optarg;
		else if (option == 'd')
			sink.drop_bodies = true;
		else if (option == 'e')
			sink.cheap_etag = true;
		else if (option == 'v')
			sink.verbose = true;
		else
			return -1;
	}
	for (int i = optind; i < argc; i++) {
		if (rules_add(&sink.rules, argv[i]) < 0)
			return -1;
	}
	return sink.bucket_count > 0 ? 0 : bucket_add("bench");
}

int main(int argc, char **argv)
{
	unsigned port = 0;
	objects_init(&sink.objects);
	if (parse_options(argc, argv, &port) < 0) {
		fputs(usage, stderr);
		return 64;
	}
	sigset_t stop;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);

	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct MHD_Daemon *daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle,
		NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE, 2U,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)256 * 1024, MHD_OPTION_NOTIFY_COMPLETED,
		request_done, NULL, MHD_OPTION_NOTIFY_CONNECTION, connection_notify, NULL,
		MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		daemon != NULL ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
	if (info == NULL) {
		fprintf(stderr, "s3sink: cannot listen on 127.0.0.1:%u: %s\n", port,
			strerror(errno));
		return 69;
	}
	printf("http://127.0.0.1:%u\n", info->port);
	fflush(stdout);
	int number;
	sigwait(&stop, &number);
	/* Delayed requests may still be suspended: nothing to wait for. */
	_exit(0);
}
