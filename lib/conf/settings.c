#include "conf/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/quote.h"
#include "conf/settings_check.h"
#include "conf/settings_file.h"
#include "conf/settings_mask.h"
#include "conf/settings_table.h"

#define API_KEY_MAX 4096

struct value {
	char *text; /* NULL: the default */
	unsigned line;
	bool overridden;
};

struct settings_values {
	const char *file; /* during the loading only */
	bool file_missing;
	struct err api_key; /* why its file could not be read */
	struct value items[];
};

static struct value *value_of(struct settings_values *values, const struct settings_def *def)
{
	return &values->items[def - settings_table];
}

static int unknown_key(const char *key, struct err *err)
{
	const char *nearest = settings_table_nearest(key);

	err_set(err, ERR_CONFIG, "unknown setting %s", quote_str(key).s);
	if (nearest)
		return err_hint(err, "did you mean %s?", nearest);
	return err_hint(err, "metacache-config lists the settings that there are");
}

static int take_from_file(void *ctx, const char *key, const char *text, unsigned line,
			  struct err *err)
{
	const struct settings_def *def = settings_table_find(key);
	struct value *value;

	if (!def)
		return unknown_key(key, err);
	value = value_of(ctx, def);
	if (value->text)
		return err_set(err, ERR_CONFIG, "%s was set in line %u already", key, value->line);
	value->text = xstrdup(text);
	value->line = line;
	return 0;
}

static int take_override(struct settings_values *values, const char *override, struct err *err)
{
	const char *equals = strchr(override, '=');
	autofree char *key = NULL;
	const struct settings_def *def;
	struct value *value;

	/* Not shown: it may be a secret with its key forgotten. */
	if (!equals || equals == override)
		return err_set(err, ERR_USAGE, "-o takes key=value");
	key = xstrndup(override, (size_t)(equals - override));
	def = settings_table_find(key);
	if (!def) {
		unknown_key(key, err);
		return err_prefix(err, "-o");
	}
	value = value_of(values, def);
	free(value->text);
	*value = (struct value){ .text = xstrdup(equals + 1), .overridden = true };
	return 0;
}

static const char *text_of(const struct settings_values *values, size_t index)
{
	const char *text = values->items[index].text;

	return text ? text : settings_table[index].default_text;
}

static bool is_set(const struct settings_values *values, const char *key)
{
	return *text_of(values, (size_t)(settings_table_find(key) - settings_table)) != '\0';
}

static int parse_value(struct settings *settings, size_t index, struct err *err)
{
	const struct settings_def *def = &settings_table[index];
	const struct value *value = &settings->values->items[index];
	const char *text = text_of(settings->values, index);

	if (def->skip_empty && *text == '\0')
		return 0;
	if (def->parse(text, (char *)settings + def->offset, err) == 0)
		return 0;
	if (err) {
		struct err why = *err;

		err_set(err, ERR_CONFIG, "%s = %s %s", def->key, quote_str(text).s, why.msg);
	}
	if (value->overridden)
		return err_prefix(err, "-o");
	return err_prefix(err, "%s: line %u", settings->values->file, value->line);
}

/* A key that cannot be read is an error for those who need it only. */
static void read_api_key(struct settings *settings)
{
	struct err *err = &settings->values->api_key;
	const char *file = settings->doveadm_api_key_file;
	autofd int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[API_KEY_MAX];
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);

	if (len < 0) {
		err_sys(err, errno, "doveadm_api_key_file %s", file);
		err->code = ERR_CONFIG;
		return;
	}
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	if (len == 0 || len == sizeof text || memchr(text, '\0', (size_t)len) ||
	    memchr(text, '\n', (size_t)len))
		err_set(err, ERR_CONFIG, "doveadm_api_key_file %s: expected one line with the key",
			file);
	else
		settings->doveadm_api_key = xstrndup(text, (size_t)len);
	explicit_bzero(text, sizeof text);
}

static void take_api_key(struct settings *settings, const char *key)
{
	if (key && *key != '\0')
		settings->doveadm_api_key = xstrdup(key);
}

static int take_all(struct settings *settings, const char *file, const struct str_vec *overrides,
		    struct err *err)
{
	struct settings_values *values = settings->values;
	int ret = settings_file_read(values->file, take_from_file, values, err);

	if (ret < 0)
		return -1;
	values->file_missing = ret == 0;
	if (values->file_missing && file)
		return err_set(err, ERR_CONFIG, "%s: there is no such file", file);
	for (size_t i = 0; overrides && i < overrides->count; i++) {
		if (take_override(values, overrides->items[i], err) < 0)
			return -1;
	}
	return 0;
}

static int load(struct settings *settings, const char *file, const struct str_vec *overrides,
		struct err *err)
{
	struct settings_values *values = settings->values;

	if (take_all(settings, file, overrides, err) < 0)
		return -1;
	for (size_t i = 0; i < settings_table_count; i++) {
		if (parse_value(settings, i, err) < 0)
			return -1;
	}
	settings->has_mail_uid = is_set(values, "mail_uid");
	settings->has_mail_gid = is_set(values, "mail_gid");
	if (settings_check(settings, err) < 0) {
		if (values->file_missing)
			return err_prefix(err, "%s does not exist", values->file);
		return err_prefix(err, "%s", values->file);
	}
	if (settings->doveadm_api_key_file)
		read_api_key(settings);
	else if (!settings->doveadm_api_key)
		take_api_key(settings, getenv(SETTINGS_API_KEY_ENV));
	return 0;
}

int settings_load(struct settings *settings_r, const char *file, const struct str_vec *overrides,
		  struct err *err)
{
	struct settings_values *values =
		xcalloc(1, sizeof *values + settings_table_count * sizeof values->items[0]);
	int ret;

	values->file = file ? file : SETTINGS_FILE;
	*settings_r = (struct settings){ .values = values };
	ret = load(settings_r, file, overrides, err);
	values->file = NULL;
	if (ret < 0)
		settings_free(settings_r);
	return ret;
}

static void free_secret(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void free_fields(struct settings *settings)
{
	str_vec_free(&settings->roots);
	str_vec_free(&settings->metacache_roots);
	str_vec_free(&settings->fts_dirs);
	str_vec_free(&settings->special_folders);
	free(settings->mail_home);
	free(settings->home_pattern);
	free(settings->object_prefix);
	free(settings->state_dir);
	free(settings->spool_dir);
	free(settings->backend_host);
	free(settings->doveadm_api_key_file);
	free_secret(settings->obox_fs);
	free_secret(settings->obox_index_fs);
	free_secret(settings->director);
	free_secret(settings->doveadm_url);
	free_secret(settings->doveadm_api_key);
}

void settings_free(struct settings *settings)
{
	free_fields(settings);
	for (size_t i = 0; settings->values && i < settings_table_count; i++)
		free_secret(settings->values->items[i].text);
	free(settings->values);
	*settings = (struct settings){ 0 };
}

int settings_api_key(const struct settings *settings, const char **key_r, struct err *err)
{
	if (settings->values && settings->values->api_key.code != ERR_NONE) {
		if (err)
			*err = settings->values->api_key;
		return -1;
	}
	*key_r = settings->doveadm_api_key;
	return *key_r ? 1 : 0;
}

static const char *shown(const struct settings *settings, size_t index, struct buf *masked)
{
	const char *text = text_of(settings->values, index);

	buf_truncate(masked, 0);
	if (*text == '\0' && strcmp(settings_table[index].key, "spool_dir") == 0)
		return settings->spool_dir;
	if (*text == '\0' || settings_table[index].shown == SETTINGS_PLAIN)
		return text;
	if (settings_table[index].shown == SETTINGS_SECRET)
		return "***";
	settings_mask_url(text, masked);
	return buf_str(masked);
}

void settings_print(const struct settings *settings, settings_print_fn *print, void *ctx)
{
	autobuf struct buf masked = { 0 };

	for (size_t i = 0; i < settings_table_count; i++) {
		const struct value *value = &settings->values->items[i];

		print(ctx, settings_table[i].key, shown(settings, i, &masked),
		      !value->text        ? "default"
		      : value->overridden ? "override"
					  : "file");
	}
}
