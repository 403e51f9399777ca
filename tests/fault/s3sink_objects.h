/*
 * The objects of s3sink: a skip list ordered by "bucket/key", so that a listing
 * starts anywhere without a scan. Locking is the caller's: hold .lock around
 * every call and every use of a node.
 */
#ifndef S3SINK_OBJECTS_H
#define S3SINK_OBJECTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OBJECTS_LEVELS 24

/* Content, shared by the object and the answers that are being sent. */
struct body {
	atomic_int refs;
	size_t len;
	unsigned char *data;
};

struct object {
	char *name;        /* "bucket/key" */
	char *headers;     /* "name: value\n" lines to answer with */
	struct body *body; /* NULL: only the size was kept */
	uint64_t size_bytes;
	struct timespec mtime;
	char etag[40];
	int levels;
	struct object *next[];
};

struct objects {
	pthread_mutex_t lock;
	struct object *head;
	uint64_t random;
	size_t count;
};

static inline void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static inline struct body *body_ref(struct body *b)
{
	if (b != NULL)
		atomic_fetch_add(&b->refs, 1);
	return b;
}

static inline void body_unref(void *ptr)
{
	struct body *b = ptr;
	if (b != NULL && atomic_fetch_sub(&b->refs, 1) == 1) {
		free(b->data);
		free(b);
	}
}

static inline struct object *object_new(const char *name, int levels)
{
	struct object *o = must(calloc(1, sizeof(*o) + (size_t)levels * sizeof(struct object *)));
	o->name = must(strdup(name));
	o->levels = levels;
	return o;
}

static inline void object_free(struct object *o)
{
	body_unref(o->body);
	free(o->headers);
	free(o->name);
	free(o);
}

static inline void objects_init(struct objects *all)
{
	pthread_mutex_init(&all->lock, NULL);
	all->head = object_new("", OBJECTS_LEVELS);
	all->random = 88172645463325252U;
	all->count = 0;
}

/* One level, and another with a chance of one in four. */
static inline int objects_random_levels(struct objects *all)
{
	uint64_t x = all->random;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	all->random = x;
	int levels = 1;
	while (levels < OBJECTS_LEVELS && (x & 3) == 0) {
		levels++;
		x >>= 2;
	}
	return levels;
}

/* The first object whose name is >= name, or NULL; before_r may be NULL. */
static inline struct object *objects_at(struct objects *all, const char *name,
					struct object **before_r)
{
	struct object *o = all->head;
	for (int level = OBJECTS_LEVELS - 1; level >= 0; level--) {
		while (o->next[level] != NULL && strcmp(o->next[level]->name, name) < 0)
			o = o->next[level];
		if (before_r != NULL)
			before_r[level] = o;
	}
	return o->next[0];
}

static inline struct object *objects_find(struct objects *all, const char *name)
{
	struct object *o = objects_at(all, name, NULL);
	return o != NULL && strcmp(o->name, name) == 0 ? o : NULL;
}

/* The object of that name, made when there is none. */
static inline struct object *objects_add(struct objects *all, const char *name)
{
	struct object *before[OBJECTS_LEVELS];
	struct object *o = objects_at(all, name, before);
	if (o != NULL && strcmp(o->name, name) == 0)
		return o;
	o = object_new(name, objects_random_levels(all));
	for (int level = 0; level < o->levels; level++) {
		o->next[level] = before[level]->next[level];
		before[level]->next[level] = o;
	}
	all->count++;
	return o;
}

/* 1: removed, 0: there was none. */
static inline int objects_remove(struct objects *all, const char *name)
{
	struct object *before[OBJECTS_LEVELS];
	struct object *o = objects_at(all, name, before);
	if (o == NULL || strcmp(o->name, name) != 0)
		return 0;
	for (int level = 0; level < o->levels; level++)
		before[level]->next[level] = o->next[level];
	object_free(o);
	all->count--;
	return 1;
}

static inline void objects_clear(struct objects *all)
{
	while (all->head->next[0] != NULL)
		objects_remove(all, all->head->next[0]->name);
}

#endif
