#include "tool/tool_options.h"

#include <popt.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/quote.h"

#define COMMON_MAX 24
#define VERSION_LINE "%s (metacache-tools) " METACACHE_VERSION "\n"

enum common {
	OPT_CONFIG = 1,
	OPT_OVERRIDE,
	OPT_FORMAT,
	OPT_FIELD,
	OPT_NO_HEADER,
	OPT_VERBOSE,
	OPT_QUIET,
	OPT_DEBUG,
	OPT_DRY_RUN,
	OPT_USER,
	OPT_ALL,
	OPT_FILE,
	OPT_LOG,
	OPT_LOG_FORMAT,
	OPT_VERSION,
	OPT_HELP,
	OPT_OWN, /* the program's first option */
};

/* `uses`: only for programs that take it; 0: for all. */
static const struct {
	unsigned uses;
	struct poptOption option;
} common_options[] = {
	{ TOOL_USERS,
	  { "user", 'u', POPT_ARG_STRING, NULL, OPT_USER, "this user; may be repeated", "USER" } },
	{ TOOL_USERS,
	  { "all", 'A', POPT_ARG_NONE, NULL, OPT_ALL, "all users that have indexes here", NULL } },
	{ TOOL_USERS,
	  { "file", 'F', POPT_ARG_STRING, NULL, OPT_FILE,
	    "users from a file, one a line; - is stdin", "FILE" } },
	{ TOOL_DRY_RUN,
	  { "dry-run", 'n', POPT_ARG_NONE, NULL, OPT_DRY_RUN,
	    "say what would be done, and change nothing", NULL } },
	{ TOOL_FORMAT,
	  { "format", 'f', POPT_ARG_STRING, NULL, OPT_FORMAT,
	    "flow, pager, tab, table, json or jsonl", "FORMAT" } },
	{ TOOL_FORMAT,
	  { "field", '\0', POPT_ARG_STRING, NULL, OPT_FIELD,
	    "only these fields, or all; may be repeated", "NAME[,NAME]" } },
	{ TOOL_FORMAT,
	  { "no-header", '\0', POPT_ARG_NONE, NULL, OPT_NO_HEADER, "no header line (tab, table)",
	    NULL } },
	{ 0,
	  { "config", 'c', POPT_ARG_STRING, NULL, OPT_CONFIG, "settings, instead of " SETTINGS_FILE,
	    "FILE" } },
	{ 0,
	  { "option", 'o', POPT_ARG_STRING, NULL, OPT_OVERRIDE,
	    "override a setting; may be repeated", "KEY=VALUE" } },
	{ 0, { "verbose", 'v', POPT_ARG_NONE, NULL, OPT_VERBOSE, "log what is done", NULL } },
	{ 0, { "quiet", 'q', POPT_ARG_NONE, NULL, OPT_QUIET, "no progress, no warnings", NULL } },
	{ 0, { "debug", 'D', POPT_ARG_NONE, NULL, OPT_DEBUG, "log more", NULL } },
	{ 0,
	  { "log", '\0', POPT_ARG_STRING, NULL, OPT_LOG, "where events are logged",
	    "stderr|syslog" } },
	{ 0, { "log-format", '\0', POPT_ARG_STRING, NULL, OPT_LOG_FORMAT, "how", "text|json" } },
	{ 0, { "version", '\0', POPT_ARG_NONE, NULL, OPT_VERSION, "print the version", NULL } },
	{ 0, { "help", '\0', POPT_ARG_NONE, NULL, OPT_HELP, "print this", NULL } },
};

void tool_options_free(struct tool_options *options)
{
	free(options->config);
	str_vec_free(&options->overrides);
}

/* The program's own options first, as --help lists them. */
static struct poptOption *make_table(const struct tool_spec *spec)
{
	size_t common = sizeof common_options / sizeof *common_options, used = 0;
	struct poptOption *table = xcalloc(spec->option_count + common + 1, sizeof *table);

	for (size_t i = 0; i < spec->option_count; i++) {
		const struct tool_option *option = &spec->options[i];

		table[used++] = (struct poptOption){
			option->long_name,
			option->short_name,
			option->type == TOOL_FLAG ? POPT_ARG_NONE : POPT_ARG_STRING,
			NULL,
			OPT_OWN + (int)i,
			option->help,
			option->arg,
		};
	}
	for (size_t i = 0; i < common; i++) {
		if (common_options[i].uses == 0 || (spec->uses & common_options[i].uses))
			table[used++] = common_options[i].option;
	}
	return table;
}

static int read_count(const struct tool_option *option, const char *value, struct err *err)
{
	char *end;
	unsigned long count = strtoul(value, &end, 10);

	if (strspn(value, "0123456789") != strlen(value) || *value == '\0' || *end != '\0' ||
	    count > option->max)
		return err_set(err, ERR_USAGE, "--%s %s: expected a number from 0 to %u",
			       option->long_name, quote_str(value).s, option->max);
	*(unsigned *)option->target = (unsigned)count;
	return 0;
}

/* The text that a TOOL_TEXT gives out has to live as long as the tool. */
static int set_own(struct tool *tool, const struct tool_option *option, const char *value,
		   struct err *err)
{
	switch (option->type) {
	case TOOL_FLAG:
		*(bool *)option->target = true;
		return 0;
	case TOOL_TEXT:
		vec_push(&tool->texts, xstrdup(value));
		*(const char **)option->target = tool->texts.items[tool->texts.count - 1];
		return 0;
	case TOOL_TEXTS:
		vec_push((struct str_vec *)option->target, xstrdup(value));
		return 0;
	case TOOL_COUNT:
		return read_count(option, value, err);
	}
	return 0;
}

static int set_choice(const char *name, const char *value, const char *no, const char *yes,
		      bool *target, struct err *err)
{
	if (strcmp(value, no) != 0 && strcmp(value, yes) != 0)
		return err_set(err, ERR_USAGE, "--%s %s: expected %s or %s", name,
			       quote_str(value).s, no, yes);
	*target = strcmp(value, yes) == 0;
	return 0;
}

static void add_fields(struct str_vec *fields, const char *value)
{
	while (*value != '\0') {
		size_t len = strcspn(value, ",");

		if (len > 0)
			vec_push(fields, xstrndup(value, len));
		value += len + (value[len] == ',');
	}
}

static int set_common(struct tool *tool, struct tool_options *options, int which, const char *value,
		      struct err *err)
{
	switch (which) {
	case OPT_CONFIG:
		free(options->config);
		options->config = xstrdup(value);
		return 0;
	case OPT_OVERRIDE:
		vec_push(&options->overrides, xstrdup(value));
		return 0;
	case OPT_FORMAT:
		return print_format_parse(value, &tool->format, err);
	case OPT_FIELD:
		add_fields(&tool->fields, value);
		return 0;
	case OPT_NO_HEADER:
		tool->no_header = true;
		return 0;
	case OPT_USER:
		vec_push(&tool->users, xstrdup(value));
		return 0;
	case OPT_FILE:
		vec_push(&tool->user_files, xstrdup(value));
		return 0;
	case OPT_LOG:
		return set_choice("log", value, "stderr", "syslog", &options->log_syslog, err);
	case OPT_LOG_FORMAT:
		return set_choice("log-format", value, "text", "json", &options->log_json, err);
	case OPT_VERBOSE:
		tool->verbose = true;
		return 0;
	case OPT_QUIET:
		tool->quiet = true;
		return 0;
	case OPT_DEBUG:
		tool->debug = true;
		return 0;
	case OPT_DRY_RUN:
		tool->dry_run = true;
		return 0;
	default:
		tool->all_users = true;
		return 0;
	}
}

static int read_options(struct tool *tool, struct tool_options *options, poptContext popt,
			struct err *err)
{
	const struct tool_spec *spec = tool->spec;
	int which;

	while ((which = poptGetNextOpt(popt)) > 0) {
		autofree char *value = poptGetOptArg(popt);
		int ret = 0;

		if (which == OPT_HELP) {
			poptPrintHelp(popt, stdout, 0);
			return -1;
		}
		if (which == OPT_VERSION) {
			printf(VERSION_LINE, spec->program);
			return -1;
		}
		if (which >= OPT_OWN)
			ret = set_own(tool, &spec->options[which - OPT_OWN], value, err);
		else
			ret = set_common(tool, options, which, value, err);
		if (ret < 0)
			return ERR_USAGE;
	}
	if (which < -1) {
		err_set(err, ERR_USAGE, "%s: %s", quote_str(poptBadOption(popt, 0)).s,
			poptStrerror(which));
		return ERR_USAGE;
	}
	return 0;
}

static int read_args(struct tool *tool, poptContext popt, struct err *err)
{
	const char *arg;

	while ((arg = poptGetArg(popt)) != NULL) {
		if (tool->args.count == tool->spec->args_max) {
			err_set(err, ERR_USAGE, "one argument too many: %s", quote_str(arg).s);
			return ERR_USAGE;
		}
		vec_push(&tool->args, xstrdup(arg));
	}
	return 0;
}

static int check_users(const struct tool *tool, struct err *err)
{
	bool some = tool->users.count + tool->user_files.count > 0, mask = tool->args.count > 0;

	if (!(tool->spec->uses & TOOL_USERS))
		return 0;
	if (!some && !tool->all_users && !mask)
		err_set(err, ERR_USAGE, "which users? -u USER, -F FILE%s or -A",
			tool->spec->args_max > 0 ? ", a mask" : "");
	else if (some && tool->all_users)
		err_set(err, ERR_USAGE, "-A is all users: leave out -u and -F");
	else if (some && mask)
		err_set(err, ERR_USAGE, "a mask picks of all users: leave out -u and -F");
	else
		return 0;
	return ERR_USAGE;
}

int tool_options_read(struct tool *tool, struct tool_options *options, int argc, char **argv,
		      struct err *err)
{
	autofree struct poptOption *table = make_table(tool->spec);
	autofree char *usage =
		xasprintf("[OPTION...] %s", tool->spec->args ? tool->spec->args : "");
	poptContext popt = poptGetContext(tool->spec->program, argc, (const char **)argv, table, 0);
	int ret;

	if (!popt)
		abort();
	poptSetOtherOptionHelp(popt, usage);
	ret = read_options(tool, options, popt, err);
	if (ret == 0)
		ret = read_args(tool, popt, err);
	if (ret == 0)
		ret = check_users(tool, err);
	poptFreeContext(popt);
	return ret;
}
