/*
 * barepipe: the least that has to be done to upload a tree of index homes, as the
 * limit that a flush is compared with. Two threads pack each unit (the files of a
 * home, of each of its folders) as pax tar with zstd 3 in memory and hash it; one
 * libcurl multi loop with ten connections sends a LIST and a PUT for each.
 *
 *     barepipe ROOT URL-WITH-BUCKET [THREADS]
 *
 * The credentials are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or any.
 * No state, no locks, no retries: any answer but 200 ends it.
 */
#include <archive.h>
#include <archive_entry.h>
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 10
#define QUEUE_MAX 64
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* One packed unit, from a packer to the loop. */
struct unit {
	struct unit *next;
	char prefix[256]; /* of its objects */
	char sha256[65];
	unsigned char *data;
	size_t len, room;
};

/* One of the connections: first the LIST of a unit, then its PUT. */
struct slot {
	CURL *easy;
	struct curl_slist *headers;
	struct unit *unit;
	size_t sent;
	bool putting;
};

static struct pipe {
	const char *root, *url, *key, *secret;
	char **homes; /* "<2 hex>/<user>" */
	size_t homes_count;
	atomic_size_t next_home;
	pthread_mutex_t lock;
	pthread_cond_t drained;
	struct unit *first, **last;
	size_t queued;
	unsigned packers; /* still at work */
	CURLM *multi;
	unsigned long long units, requests, bytes_in, bytes_out;
} pipeline = { .lock = PTHREAD_MUTEX_INITIALIZER,
	       .drained = PTHREAD_COND_INITIALIZER,
	       .last = &pipeline.first };

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "barepipe: %s: %s\n", what, why);
	exit(74);
}

static void *must(void *p)
{
	if (p == NULL)
		die("memory", strerror(errno));
	return p;
}

/* ---- packing ---- */

static ssize_t grow(struct archive *a, void *ptr, const void *data, size_t len)
{
	struct unit *u = ptr;
	(void)a;
	if (u->len + len > u->room) {
		u->room = (u->len + len) * 2;
		u->data = must(realloc(u->data, u->room));
	}
	memcpy(u->data + u->len, data, len);
	u->len += len;
	return (ssize_t)len;
}

static void pack_file(struct archive *a, int folder, const char *name, const struct stat *st)
{
	static _Thread_local char buffer[262144];
	struct archive_entry *e = must(archive_entry_new());
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0600);
	archive_entry_set_size(e, st->st_size);
	archive_entry_set_mtime(e, st->st_mtime, 0);
	if (archive_write_header(a, e) != ARCHIVE_OK)
		die(name, archive_error_string(a));
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t len = -1;
	while (fd >= 0 && (len = read(fd, buffer, sizeof(buffer))) > 0) {
		if (archive_write_data(a, buffer, (size_t)len) != len)
			die(name, archive_error_string(a));
	}
	if (len < 0)
		die(name, strerror(errno));
	close(fd);
	archive_entry_free(e);
}

static struct archive *pack_start(struct unit *u)
{
	struct archive *a = must(archive_write_new());
	if (archive_write_set_format_pax_restricted(a) != ARCHIVE_OK ||
	    archive_write_add_filter_zstd(a) != ARCHIVE_OK ||
	    archive_write_set_filter_option(a, "zstd", "compression-level", "3") != ARCHIVE_OK ||
	    /* or the end of every small one is padded to 10 KiB */
	    archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
	    archive_write_open(a, u, NULL, grow, NULL) != ARCHIVE_OK)
		die("archive", archive_error_string(a));
	return a;
}

static void enqueue(struct unit *u)
{
	pthread_mutex_lock(&pipeline.lock);
	while (pipeline.queued >= QUEUE_MAX)
		pthread_cond_wait(&pipeline.drained, &pipeline.lock);
	*pipeline.last = u;
	pipeline.last = &u->next;
	pipeline.queued++;
	pthread_mutex_unlock(&pipeline.lock);
	curl_multi_wakeup(pipeline.multi);
}

/* The regular files of a folder as one unit; takes the handle. */
static void pack_folder(int folder, const char *prefix)
{
	struct unit *u = must(calloc(1, sizeof(*u)));
	snprintf(u->prefix, sizeof(u->prefix), "%s/idx/", prefix);
	struct archive *a = pack_start(u);
	DIR *dir = must(fdopendir(folder));
	unsigned files = 0;
	for (const struct dirent *d; (d = readdir(dir)) != NULL;) {
		struct stat st;
		if (d->d_type == DT_DIR)
			continue;
		if (fstatat(folder, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			die(d->d_name, strerror(errno));
		if (S_ISREG(st.st_mode)) {
			pack_file(a, folder, d->d_name, &st);
			files++;
		}
	}
	closedir(dir);
	if (archive_write_close(a) != ARCHIVE_OK)
		die(prefix, archive_error_string(a));
	archive_write_free(a);
	if (files == 0) {
		free(u->data);
		free(u);
		return;
	}
	unsigned char digest[EVP_MAX_MD_SIZE];
	if (EVP_Digest(u->data, u->len, digest, NULL, EVP_sha256(), NULL) != 1)
		die(prefix, "SHA-256");
	for (int i = 0; i < 32; i++)
		snprintf(u->sha256 + 2 * i, 3, "%02x", digest[i]);
	enqueue(u);
}

static void pack_home(const char *home)
{
	char path[1024], prefix[128];
	unsigned char md5[EVP_MAX_MD_SIZE];
	const char *user = strchr(home, '/') + 1;
	if (EVP_Digest(user, strlen(user), md5, NULL, EVP_md5(), NULL) != 1)
		die(user, "MD5");
	int len = snprintf(prefix, sizeof(prefix), "%02x/%x%02x/%s", md5[0], md5[1] >> 4,
			   ((md5[1] & 15) << 4 | md5[2] >> 4), user);
	if (len >= (int)sizeof(prefix))
		die(user, "name too long");
	snprintf(path, sizeof(path), "%s/%s", pipeline.root, home);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		die(path, strerror(errno));
	int mailboxes = openat(fd, "mailboxes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pack_folder(fd, prefix);
	DIR *dir = mailboxes >= 0 ? must(fdopendir(mailboxes)) : NULL;
	for (const struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
		char sub[240];
		if (d->d_name[0] == '.')
			continue;
		if (snprintf(sub, sizeof(sub), "%s/mailboxes/%s", prefix, d->d_name) >=
		    (int)sizeof(sub))
			die(d->d_name, "name too long");
		fd = openat(mailboxes, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			die(sub, strerror(errno));
		pack_folder(fd, sub);
	}
	if (dir != NULL)
		closedir(dir);
}

static void *pack(void *ptr)
{
	(void)ptr;
	for (;;) {
		size_t i = atomic_fetch_add(&pipeline.next_home, 1);
		if (i >= pipeline.homes_count)
			break;
		pack_home(pipeline.homes[i]);
	}
	pthread_mutex_lock(&pipeline.lock);
	pipeline.packers--;
	pthread_mutex_unlock(&pipeline.lock);
	curl_multi_wakeup(pipeline.multi);
	return NULL;
}

static void find_homes(void)
{
	DIR *top = opendir(pipeline.root);
	if (top == NULL)
		die(pipeline.root, strerror(errno));
	size_t room = 0;
	for (const struct dirent *t; (t = readdir(top)) != NULL;) {
		char path[1024];
		if (t->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", pipeline.root, t->d_name);
		DIR *sub = opendir(path);
		if (sub == NULL)
			die(path, strerror(errno));
		for (const struct dirent *d; (d = readdir(sub)) != NULL;) {
			if (d->d_name[0] == '.')
				continue;
			if (pipeline.homes_count == room) {
				room = room * 2 + 64;
				pipeline.homes =
					must(realloc(pipeline.homes, room * sizeof(char *)));
			}
			if (asprintf(&pipeline.homes[pipeline.homes_count++], "%s/%s", t->d_name,
				     d->d_name) < 0)
				die("memory", strerror(errno));
		}
		closedir(sub);
	}
	closedir(top);
}

/* ---- sending ---- */

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
	char *name = curl_easy_escape(e, s->unit->prefix, 0);
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
				s->putting = false;
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

int main(int argc, char **argv)
{
	int threads = argc == 4 ? atoi(argv[3]) : 2;
	if (argc < 3 || argc > 4 || threads < 1 || threads > 64) {
		fputs("usage: barepipe ROOT URL-WITH-BUCKET [THREADS]\n", stderr);
		return 64;
	}
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	pipeline.root = argv[1];
	pipeline.url = argv[2];
	pipeline.key = environment("AWS_ACCESS_KEY_ID");
	pipeline.secret = environment("AWS_SECRET_ACCESS_KEY");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	pipeline.multi = must(curl_multi_init());
	curl_multi_setopt(pipeline.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS);
	/* Its default follows the number of handles in use, and closes idle connections. */
	curl_multi_setopt(pipeline.multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
	find_homes();
	pipeline.packers = (unsigned)threads;
	pthread_t ids[64];
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
