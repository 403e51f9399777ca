#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/quote.h"
#include "store/store_driver.h"
#include "store/store_fault.h"
#include "store/store_key.h"

struct store {
	struct store_driver *driver;
	struct store_compression compression;
	struct store_stats stats;
};

static int open_driver(const struct store_driver_args *args, struct store_driver **driver_r,
		       struct err *err)
{
	struct store_driver *driver = NULL;
	int ret = args->url->driver == STORE_URL_POSIX ? store_posix_open(args, &driver, err)
						       : store_s3_open(args, &driver, err);

	if (ret < 0)
		return -1;
	if (args->url->fault_rules)
		store_fault_open(args, driver, driver_r);
	else
		*driver_r = driver;
	return 0;
}

int store_open(const char *url_chain, const struct store_options *options, struct store **store_r,
	       struct err *err)
{
	static const struct store_options defaults = { 0 };
	autostoreurl struct store_url url = { 0 };
	autostore struct store *store = xcalloc(1, sizeof *store);
	struct store_driver_args args = { &url, options ? options : &defaults, &store->stats };

	*store_r = NULL;
	if (store_url_parse(url_chain, &url, err) < 0)
		return -1;
	if (open_driver(&args, &store->driver, err) < 0)
		return -1;
	store->compression = url.compression;
	*store_r = steal_ptr(&store);
	return 0;
}

void store_close(struct store **store)
{
	if (!*store)
		return;
	if ((*store)->driver)
		(*store)->driver->ops->close((*store)->driver);
	free(*store);
	*store = NULL;
}

int store_check_url(const char *url_chain, struct err *err)
{
	autostoreurl struct store_url url = { 0 };

	return store_url_parse(url_chain, &url, err);
}

unsigned store_caps(const struct store *store)
{
	return store->driver->caps;
}

const struct store_compression *store_compression(const struct store *store)
{
	return &store->compression;
}

const char *store_name(const struct store *store)
{
	return store->driver->name;
}

void store_counters(const struct store *store, struct store_counters *counters_r)
{
	for (int i = 0; i < STORE_KINDS; i++) {
		counters_r->requests[i] = atomic_load(&store->stats.requests[i]);
		counters_r->retries[i] = atomic_load(&store->stats.retries[i]);
		counters_r->bytes[i] = atomic_load(&store->stats.bytes[i]);
	}
}

int store_put(struct store *store, const char *key, const struct spool *content,
	      const struct store_meta *meta, size_t meta_count, struct err *err)
{
	struct store_put_args args = { key, content, meta, meta_count };

	if (store_key_check(key, err) < 0 || store->driver->ops->put(store->driver, &args, err) < 0)
		return err_prefix(err, "%s: put %s", store_name(store), quote_str(key).s);
	return 0;
}

int store_get(struct store *store, const char *key, struct spool *into, struct err *err)
{
	int ret = store_key_check(key, err);

	if (ret == 0)
		ret = store->driver->ops->get(store->driver, key, into, err);
	if (ret < 0)
		return err_prefix(err, "%s: get %s", store_name(store), quote_str(key).s);
	return ret;
}

int store_head(struct store *store, const char *key, struct store_head *head_r, struct err *err)
{
	int ret = store_key_check(key, err);

	*head_r = (struct store_head){ 0 };
	if (ret == 0)
		ret = store->driver->ops->head(store->driver, key, head_r, err);
	if (ret < 0)
		return err_prefix(err, "%s: head %s", store_name(store), quote_str(key).s);
	return ret;
}

void store_head_free(struct store_head *head)
{
	for (size_t i = 0; i < head->meta_count; i++) {
		free((char *)head->meta[i].key);
		free((char *)head->meta[i].value);
	}
	free(head->meta);
	*head = (struct store_head){ 0 };
}

int store_list(struct store *store, const char *prefix, bool delimiter, unsigned max_pages,
	       store_list_fn *fn, void *ctx, struct err *err)
{
	struct store_list_args args = { prefix, delimiter, max_pages, fn, ctx };
	int ret = store_key_check_prefix(prefix, err);

	if (ret == 0)
		ret = store->driver->ops->list(store->driver, &args, err);
	if (ret < 0)
		return err_prefix(err, "%s: list %s", store_name(store), quote_str(prefix).s);
	return ret;
}

int store_delete(struct store *store, const char *const *keys, size_t count, bool *deleted_r,
		 struct err *err)
{
	autofree bool *own = deleted_r ? NULL : xcalloc(count + 1, sizeof *own);
	bool *deleted = deleted_r ? deleted_r : own;
	int ret = 0;

	memset(deleted, 0, count * sizeof *deleted);
	for (size_t i = 0; i < count && ret == 0; i++)
		ret = store_key_check(keys[i], err);
	if (ret == 0 && count > 0)
		ret = store->driver->ops->remove(store->driver, keys, count, deleted, err);
	if (ret < 0)
		return err_prefix(err, "%s: delete", store_name(store));
	return 0;
}
