/*
 * barepipe: the least that has to be done to upload a tree of index homes, as the
 * limit that a flush is compared with. Two threads pack each unit (the files of a
 * home, of each of its folders) as pax tar with zstd 3 in memory and hash it; one
 * libcurl multi loop with ten connections sends a LIST and a PUT for each.
 *
 *     barepipe [--lists unit|home|none] [--threads N] ROOT URL-WITH-BUCKET
 *
 * A LIST is sent for each unit (the default), for each home as a whole, or not at all.
 * The credentials are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or any.
 * No state, no locks, no retries: any answer but 200 ends it.
 */
#include <curl/curl.h>
#include <getopt.h>
#include <time.h>

#include "barepipe_pack.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* One of the connections: first the LIST of a unit, then its PUT. */
struct slot {
	CURL *easy;
	struct curl_slist *headers;
	struct unit *unit;
	size_t sent;
	bool putting;
};

static size_t read_body(char *data, size_t size, size_t count, void *ptr)
{
	struct slot *s = ptr;
	size_t left = s->unit->len - s->sent;
	size_t n = size * count < left ? size * count : left;
	memcpy(data, s->unit->data + s->sent, n);
	s->sent += n;
	return n;
}

static size_t drop_answer(char *data, size_t size, size_t count, void *ptr)
{
	(void)data, (void)ptr;
	pipeline.bytes_in += size * count;
	return size * count;
}

static void start(struct slot *s)
{
	char url[1024], sha256[128];
	CURL *e = s->easy;
	curl_easy_reset(e);
	curl_slist_free_all(s->headers);
	char *name = curl_easy_escape(e, s->putting ? s->unit->prefix : s->unit->list, 0);
	if (s->putting) {
		/* The path is escaped strictly too, but for its slashes. */
		char path[800];
		size_t len = 0;
		for (const char *p = name; *p != '\0' && len + 1 < sizeof(path); p++) {
			bool slash = strncmp(p, "%2F", 3) == 0;
			path[len++] = slash ? '/' : *p;
			p += slash ? 2 : 0;
		}
		path[len] = '\0';
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		snprintf(url, sizeof(url), "%s/%sbundle.%llx.%05lx.%.32s", pipeline.url, path,
			 (unsigned long long)now.tv_sec, now.tv_nsec / 1000, s->unit->sha256);
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)s->unit->len);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, read_body);
		curl_easy_setopt(e, CURLOPT_READDATA, s);
		pipeline.bytes_out += s->unit->len;
	} else {
		snprintf(url, sizeof(url), "%s?list-type=2&prefix=%s", pipeline.url, name);
	}
	curl_free(name);
	snprintf(sha256, sizeof(sha256), "x-amz-content-sha256: %s",
		 s->putting ? s->unit->sha256 : EMPTY_SHA256);
	s->headers = curl_slist_append(must(curl_slist_append(NULL, sha256)), "Expect:");
	s->sent = 0;
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, drop_answer);
	curl_easy_setopt(e, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
	curl_easy_setopt(e, CURLOPT_USERNAME, pipeline.key);
	curl_easy_setopt(e, CURLOPT_PASSWORD, pipeline.secret);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	curl_easy_setopt(e, CURLOPT_PRIVATE, (char *)s);
	curl_multi_add_handle(pipeline.multi, e);
	pipeline.requests++;
}

/* NULL with *end_r: there will be no more. */
static struct unit *dequeue(bool *end_r)
{
	pthread_mutex_lock(&pipeline.lock);
	struct unit *u = pipeline.first;
	if (u != NULL) {
		pipeline.first = u->next;
		if (u->next == NULL)
			pipeline.last = &pipeline.first;
		pipeline.queued--;
		pthread_cond_signal(&pipeline.drained);
	}
	*end_r = u == NULL && pipeline.packers == 0;
	pthread_mutex_unlock(&pipeline.lock);
	return u;
}

static void finish(const CURLMsg *m)
{
	char *ptr;
	long status = 0;
	curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &ptr);
	curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
	struct slot *s = (void *)ptr;
	if (m->data.result != CURLE_OK)
		die(s->unit->prefix, curl_easy_strerror(m->data.result));
	if (status != 200) {
		fprintf(stderr, "barepipe: %s: HTTP status %ld\n", s->unit->prefix, status);
		exit(69);
	}
	curl_multi_remove_handle(pipeline.multi, s->easy);
	if (!s->putting) {
		s->putting = true;
		start(s);
		return;
	}
	free(s->unit->data);
	free(s->unit);
	s->unit = NULL;
	pipeline.units++;
}

static void loop(struct slot *slots)
{
	for (;;) {
		bool end = false;
		int busy = 0, running, left;
		for (int i = 0; i < CONNECTIONS; i++) {
			struct slot *s = &slots[i];
			if (s->unit == NULL && (s->unit = dequeue(&end)) != NULL) {
				s->putting = s->unit->list[0] == '\0';
				start(s);
			}
			busy += s->unit != NULL;
		}
		if (busy == 0 && end)
			return;
		if (curl_multi_perform(pipeline.multi, &running) != CURLM_OK)
			die("curl", "multi");
		bool finished = false;
		for (const CURLMsg *m; (m = curl_multi_info_read(pipeline.multi, &left)) != NULL;) {
			finish(m);
			finished = true;
		}
		if (!finished)
			curl_multi_poll(pipeline.multi, NULL, 0, 1000, NULL);
	}
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);
	return value != NULL ? value : "bench";
}

/* 0, or -1: bad usage. */
static int parse(int argc, char **argv, int *threads_r)
{
	static const char *const modes[] = { "unit", "home", "none" };
	static const struct option options[] = {
		{ "lists", required_argument, NULL, 'l' },
		{ "threads", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		unsigned mode = 0;
		while (option == 'l' && mode < 3 && strcmp(optarg, modes[mode]) != 0)
			mode++;
		if (option == '?' || mode == 3)
			return -1;
		if (option == 'l')
			pipeline.lists = mode;
		else
			*threads_r = atoi(optarg);
	}
	if (argc - optind != 2 || *threads_r < 1 || *threads_r > MAX_THREADS)
		return -1;
	pipeline.root = argv[optind];
	pipeline.url = argv[optind + 1];
	return 0;
}

int main(int argc, char **argv)
{
	int threads = 2;
	if (parse(argc, argv, &threads) < 0) {
		fputs("usage: barepipe [--lists unit|home|none] [--threads N] ROOT "
		      "URL-WITH-BUCKET\n",
		      stderr);
		return 64;
	}
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	pipeline.key = environment("AWS_ACCESS_KEY_ID");
	pipeline.secret = environment("AWS_SECRET_ACCESS_KEY");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	pipeline.multi = must(curl_multi_init());
	curl_multi_setopt(pipeline.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS);
	/* Its default follows the number of handles in use, and closes idle connections. */
	curl_multi_setopt(pipeline.multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
	find_homes();
	pipeline.packers = (unsigned)threads;
	pthread_t ids[MAX_THREADS];
	for (int i = 0; i < threads; i++) {
		if ((errno = pthread_create(&ids[i], NULL, pack, NULL)) != 0)
			die("thread", strerror(errno));
	}
	struct slot slots[CONNECTIONS] = { 0 };
	for (int i = 0; i < CONNECTIONS; i++)
		slots[i].easy = must(curl_easy_init());
	loop(slots);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.3f seconds %llu units %llu requests %llu bytes out %llu bytes in\n",
	       (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9,
	       pipeline.units, pipeline.requests, pipeline.bytes_out, pipeline.bytes_in);
	return fflush(stdout) == 0 ? 0 : 74;
}
