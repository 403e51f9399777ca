/* The header of dovecot.index.cache of Dovecot 2.3 and 2.4 and the fields that it
 * caches of mails: struct mail_cache_header and mail_cache_header_fields of
 * mail-cache-private.h. What is cached of the mails themselves is not read.
 * Thread-safe. */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"

#define INDEX_CACHE_FIELDS_BYTES_MAX (16U * 1024 * 1024) /* of one list of fields */
#define INDEX_CACHE_FIELDS_MAX 65536
#define INDEX_CACHE_LISTS_MAX 4096

/* enum mail_cache_field_type. */
enum index_cache_type {
	INDEX_CACHE_FIXED,
	INDEX_CACHE_VARIABLE,
	INDEX_CACHE_STRING,
	INDEX_CACHE_BITMASK,
	INDEX_CACHE_HEADER,
};

/* enum mail_cache_decision_type, without its bit for "forced": Dovecot does not
 * believe a file in that. */
enum index_cache_decision {
	INDEX_CACHE_NO,
	INDEX_CACHE_TEMP, /* of new mails only */
	INDEX_CACHE_YES,
};

struct index_cache_field {
	char *name; /* "hdr.Subject", whatever bytes the file holds but NUL; never empty */
	enum index_cache_type type;
	enum index_cache_decision decision;
	uint32_t size_bytes; /* of one value; 0 unless fixed or a bitmask */
	uint32_t last_used;  /* UNIX seconds; in a live file it may be half written */
};
VEC(index_cache_fields, struct index_cache_field);

struct index_cache {
	uint8_t major, minor;
	uint32_t indexid;  /* that of dovecot.index, or the cache is not used */
	uint32_t file_seq; /* grows with each purge */
	uint32_t record_count, continued_record_count, deleted_record_count;
	uint32_t fields_offset; /* of the list that is in force: the last */
	struct index_cache_fields fields;
};

/* Up to size_bytes of an open file. Strict: what Dovecot would call corrupt is -1 with
 * ERR_DATA, as are another version and more than the limits above; ERR_IO. To be
 * freed in any case. */
int index_cache_load(int fd, uint64_t size_bytes, struct index_cache *cache_r, struct err *err);
void index_cache_free(struct index_cache *cache);
#define autoindexcache CLEANUP(index_cache_free)

/* "fixed", "variable", "string", "bitmask", "header"; "no", "temp", "yes". */
const char *index_cache_type_name(enum index_cache_type type);
const char *index_cache_decision_name(enum index_cache_decision decision);
