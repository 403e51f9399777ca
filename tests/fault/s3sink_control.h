/*
 * Requests about s3sink itself: counters, the list of keys, rules.
 */
#ifndef S3SINK_CONTROL_H
#define S3SINK_CONTROL_H

#include "s3sink_answer.h"

static inline void write_counters(FILE *f)
{
	fputc('{', f);
	for (int i = 0; i < KIND_COUNT; i++) {
		const struct counter *n = &sink.counters[i];
		fprintf(f, "\"%s\":{\"requests\":%llu,\"bytes_in\":%llu,\"bytes_out\":%llu},",
			kind_names[i], (unsigned long long)n->requests,
			(unsigned long long)n->bytes_in, (unsigned long long)n->bytes_out);
	}
	fprintf(f, "\"connections\":%llu,\"faults\":%llu,\"objects\":%zu}\n",
		(unsigned long long)sink.connections, (unsigned long long)sink.faults,
		sink.objects.count);
}

static inline void write_dump(FILE *f)
{
	fputc('[', f);
	for (const struct object *o = sink.objects.head->next[0]; o != NULL; o = o->next[0]) {
		fputs("{\"key\":\"", f);
		for (const char *p = o->name; *p != '\0'; p++) {
			if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\')
				fprintf(f, "\\u%04x", (unsigned char)*p);
			else
				fputc(*p, f);
		}
		fprintf(f, "\",\"size\":%llu}%s", (unsigned long long)o->size_bytes,
			o->next[0] != NULL ? ",\n" : "");
	}
	fputs("]\n", f);
}

/* Rules by line; "clear" forgets those before it. All or none is taken. */
static inline int take_rules(const struct body *b)
{
	struct rules rules = { 0 };
	char *text = must(strndup(b->len > 0 ? (const char *)b->data : "", b->len));
	char *save = NULL;
	int result = 0;
	bool clear = false;
	for (char *l = strtok_r(text, "\n", &save); l && result == 0;
	     l = strtok_r(NULL, "\n", &save)) {
		if (strcmp(l, "clear") != 0)
			result = rules_add(&rules, l);
		else {
			clear = true;
			rules.count = 0;
		}
	}
	free(text);
	if (result == 0) {
		if (clear)
			sink.rules.count = 0;
		size_t count = sink.rules.count + rules.count;
		sink.rules.all = must(realloc(sink.rules.all, (count + 1) * sizeof(struct rule)));
		if (rules.count > 0)
			memcpy(sink.rules.all + sink.rules.count, rules.all,
			       rules.count * sizeof(struct rule));
		sink.rules.count = count;
	}
	free(rules.all);
	return result;
}

static inline enum MHD_Result do_control(const struct request *r, struct MHD_Connection *c,
					 const char *method)
{
	char *text = NULL;
	size_t len = 0;
	unsigned status = 200;
	FILE *f = must(open_memstream(&text, &len));
	bool post = strcmp(method, "POST") == 0;
	pthread_mutex_lock(&sink.objects.lock);
	if (!post && strcmp(r->name, "_counters") == 0) {
		write_counters(f);
	} else if (!post && strcmp(r->name, "_dump") == 0) {
		write_dump(f);
	} else if (post && strcmp(r->name, "_fault") == 0) {
		status = take_rules(r->body) < 0 ? 400 : 200;
		fputs(status == 200 ? "ok\n" : "not a rule\n", f);
	} else if (post && strcmp(r->name, "_reset") == 0) {
		memset(sink.counters, 0, sizeof(sink.counters));
		sink.connections = sink.faults = 0;
	} else if (post && strcmp(r->name, "_clear") == 0) {
		objects_clear(&sink.objects);
	} else {
		status = 404;
		fputs("_counters, _dump, POST _fault, _reset, _clear\n", f);
	}
	pthread_mutex_unlock(&sink.objects.lock);
	fclose(f);
	return send_response(r, c, status,
			     MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE),
			     NULL);
}

#endif
