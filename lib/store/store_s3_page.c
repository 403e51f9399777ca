#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/quote.h"
#include "http/http.h"
#include "store/store_s3_xml.h"

void store_s3_page_reset(struct store_s3_page *page)
{
	for (size_t i = 0; i < page->entries.count; i++)
		free((char *)page->entries.items[i].key);
	page->entries.count = 0;
	buf_truncate(&page->token, 0);
}

void store_s3_page_free(struct store_s3_page *page)
{
	store_s3_page_reset(page);
	vec_free(&page->entries);
	buf_free(&page->token);
}

int store_s3_page_decode(const char *text, bool is_encoded, struct buf *out)
{
	autofree char *blanks = xstrdup(text);

	if (!is_encoded) {
		buf_puts(out, text);
		return 0;
	}
	/* In this encoding a plus sign is a blank, as in forms. */
	for (char *c = blanks; *c != '\0'; c++) {
		if (*c == '+')
			*c = ' ';
	}
	return http_decode(out, blanks, strlen(blanks));
}

static int nonsense(struct err *err, const char *what, const char *key)
{
	return err_set(err, ERR_DATA, "the answer makes no sense: %s %s", what, quote_str(key).s);
}

static bool is_folder_mark(const struct store_object *entry, const char *key, size_t len)
{
	return !entry->is_prefix && entry->size_bytes == 0 && len > 0 && key[len - 1] == '/';
}

/* Whether the key is one that can be ours: 1, 0 to be passed over, -1. */
static int check_key(const struct store_object *entry, const char *key, struct err *err)
{
	size_t len = strlen(key);
	autofree char *plain = NULL;

	if (is_folder_mark(entry, key, len) || len == 0)
		return 0;
	plain = xstrndup(key, entry->is_prefix && key[len - 1] == '/' ? len - 1 : len);
	if (store_key_check(plain, NULL) < 0)
		return nonsense(err, "a key that can't be one,", key);
	return 1;
}

/* Decode, check and cut the entry's key. 1, 0 to be passed over, -1. */
static int finish_entry(const struct store_s3_page_rules *rules, struct store_object *entry,
			struct err *err)
{
	autobuf struct buf key = { 0 };
	int ret;

	if (store_s3_page_decode(entry->key, rules->is_encoded, &key) < 0)
		return nonsense(err, "a key with a broken escape,", entry->key);
	if (strncmp(buf_str(&key), rules->prefix, strlen(rules->prefix)) != 0)
		return nonsense(err, "a key that was not asked for,", buf_str(&key));
	ret = check_key(entry, buf_str(&key) + rules->cut, err);
	if (ret > 0) {
		free((char *)entry->key);
		entry->key = xstrdup(buf_str(&key) + rules->cut);
	}
	return ret;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct store_object *)a)->key, ((const struct store_object *)b)->key);
}

int store_s3_page_finish(struct store_s3_page *page, const struct store_s3_page_rules *rules,
			 struct err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < page->entries.count; i++) {
		struct store_object *entry = &page->entries.items[i];
		int ret = finish_entry(rules, entry, err);

		if (ret < 0)
			return -1;
		if (ret == 0)
			continue;
		struct store_object swapped = page->entries.items[kept];

		page->entries.items[kept++] = *entry;
		*entry = swapped;
	}
	for (size_t i = kept; i < page->entries.count; i++)
		free((char *)page->entries.items[i].key);
	page->entries.count = kept;
	/* Objects and prefixes come apart, each in order. */
	if (kept > 1)
		qsort(page->entries.items, kept, sizeof *page->entries.items, compare_entries);
	return 0;
}
