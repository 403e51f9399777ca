/* metacache-config: the settings in force, and where each comes from. */
#include <string.h>

#include "base/quote.h"
#include "store/store.h"
#include "tool/tool.h"

static const struct tool_spec spec = {
	.program = "metacache-config",
	.args = "[KEY...]",
	.args_max = 64,
	.uses = TOOL_FORMAT | TOOL_NO_STATE,
};

static const struct print_field fields[] = {
	{ .name = "key" },
	{ .name = "value", .flags = PRINT_CUT },
	{ .name = "source" },
};

struct config {
	const struct str_vec *keys; /* asked for; empty: all */
	struct printer *printer;    /* NULL: only look which keys there are */
	struct str_vec known;
	int ret;
	struct err err;
};

static void take(void *ctx, const char *key, const char *value, const char *source)
{
	struct config *config = ctx;
	const struct print_value values[] = { print_str(key), print_str(value), print_str(source) };

	if (!config->printer)
		vec_push(&config->known, xstrdup(key));
	else if (config->ret == 0 && (config->keys->count == 0 || str_vec_has(config->keys, key)))
		config->ret = print_row(config->printer, values, &config->err);
}

/* A key that was misspelt must not look like one that is not set. */
static int check_keys(struct config *config, const struct settings *settings)
{
	settings_print(settings, take, config);
	for (size_t i = 0; i < config->keys->count; i++) {
		const char *key = config->keys->items[i];

		if (!str_vec_has(&config->known, key)) {
			err_set(&config->err, ERR_USAGE, "no such setting: %s", quote_str(key).s);
			return err_hint(&config->err, "without arguments all are listed");
		}
	}
	return 0;
}

static int print_all(struct config *config, struct tool *tool)
{
	settings_print(&tool->settings, take, config);
	if (config->ret < 0) {
		print_free(config->printer);
		return -1;
	}
	return print_finish(&config->printer, &config->err);
}

/* Said here, before a night's job says it. */
static int check_stores(struct tool *tool)
{
	const struct {
		const char *key, *chain;
	} stores[] = { { "obox_index_fs", tool->settings.obox_index_fs },
		       { "obox_fs", tool->settings.obox_fs } };
	int code = 0;

	for (size_t i = 0; i < sizeof stores / sizeof *stores; i++) {
		struct err err = { 0 };

		if (stores[i].chain && stores[i].chain[0] != '\0' &&
		    store_check_url(stores[i].chain, &err) < 0) {
			err_prefix(&err, "%s", stores[i].key);
			code = tool_worst(code, tool_error(tool, NULL, &err));
		}
	}
	return code;
}

static int run(struct tool *tool)
{
	struct config config = { .keys = &tool->args };
	int ret = check_keys(&config, &tool->settings);

	str_vec_free(&config.known);
	if (ret == 0) {
		config.printer =
			tool_printer(tool, "settings", fields, sizeof fields / sizeof *fields);
		if (!config.printer)
			return ERR_USAGE;
		ret = print_all(&config, tool);
	}
	return ret < 0 ? tool_error(tool, NULL, &config.err) : check_stores(tool);
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
