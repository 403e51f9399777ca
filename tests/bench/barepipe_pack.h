/*
 * The packing half of barepipe: homes, units, archives, and the queue to the loop.
 */
#ifndef BAREPIPE_PACK_H
#define BAREPIPE_PACK_H

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
#include <unistd.h>

#define CONNECTIONS 10
#define MAX_THREADS 64
#define QUEUE_MAX 64

/* One packed unit, from a packer to the loop. */
struct unit {
	struct unit *next;
	char prefix[256]; /* of its objects */
	char list[256];   /* the prefix to list first; empty: none */
	char sha256[65];
	unsigned char *data;
	size_t len, room;
};

static struct pipe {
	const char *root, *url, *key, *secret;
	enum { LISTS_UNIT, LISTS_HOME, LISTS_NONE } lists;
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

static inline _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "barepipe: %s: %s\n", what, why);
	exit(74);
}

static inline void *must(void *p)
{
	if (p == NULL)
		die("memory", strerror(errno));
	return p;
}

static inline ssize_t grow(struct archive *a, void *ptr, const void *data, size_t len)
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

static inline void pack_file(struct archive *a, int folder, const char *name, const struct stat *st)
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

static inline struct archive *pack_start(struct unit *u)
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

static inline void enqueue(struct unit *u)
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
static inline void pack_folder(int folder, const char *prefix, bool is_root)
{
	struct unit *u = must(calloc(1, sizeof(*u)));
	snprintf(u->prefix, sizeof(u->prefix), "%s/idx/", prefix);
	if (pipeline.lists == LISTS_UNIT)
		memcpy(u->list, u->prefix, sizeof(u->list));
	else if (pipeline.lists == LISTS_HOME && is_root)
		snprintf(u->list, sizeof(u->list), "%s/", prefix);
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

static inline void pack_home(const char *home)
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
	pack_folder(fd, prefix, true);
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
		pack_folder(fd, sub, false);
	}
	if (dir != NULL)
		closedir(dir);
}

static inline void *pack(void *ptr)
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

static inline void find_homes(void)
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

#endif
