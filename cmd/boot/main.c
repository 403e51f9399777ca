/* metacache-boot: note the boots of this host and how they end. */
#include <string.h>
#include <unistd.h>

#include "base/fsx.h"
#include "base/quote.h"
#include "common/common.h"
#include "metacache/boot.h"

static const struct tool_spec spec = {
	.program = "metacache-boot",
	.args = "start|stop|status",
	.args_max = 1,
	.uses = TOOL_FORMAT | TOOL_DRY_RUN,
};

static const struct print_field fields[] = {
	{ .name = "boot" },
	{ .name = "host" },
	{ .name = "started", .flags = PRINT_TIME },
	{ .name = "clean", .flags = PRINT_TIME },
	{ .name = "state" },
};

static int print_boot(struct printer *printer, const struct boots *boots, const struct boot *boot,
		      struct err *err)
{
	const struct print_value values[] = {
		print_str(boot->stamp),
		print_str(boot->host),
		print_int(boot->started_ns / 1000000000),
		boot->clean_ns != 0 ? print_int(boot->clean_ns / 1000000000) : print_null(),
		print_str(boot_end_name(boots, boot)),
	};

	return print_row(printer, values, err);
}

/* `status` prints all, the others what they noted. */
static int print(struct printer **printer, const struct boots *boots, bool all, struct err *err)
{
	const struct boot *running = boot_running(boots);

	for (size_t i = 0; i < boots->items.count; i++) {
		const struct boot *boot = &boots->items.items[i];

		if ((all || boot == running) && print_boot(*printer, boots, boot, err) < 0)
			return -1;
	}
	return print_finish(printer, err);
}

/* What the operator has to know when a boot begins. */
static void tell_previous(const struct metacache *mc, const struct boots *boots)
{
	const struct boot *previous = boot_previous(boots);

	if (previous && previous->clean_ns == 0)
		log_warning(mc->log, "metacache_boot_crashed", log_str("boot", previous->stamp),
			    log_str("hint", "what was written in it is given up when it is opened; "
					    "metacache-rescan does so with all of it"));
}

/* What is wrong with the file is no reason for `start` to fail that it mends. */
static int work(const struct metacache *mc, const char *what, int dirfd, struct boots *boots_r,
		struct err *err)
{
	if (strcmp(what, "start") == 0 && boot_start(dirfd, mc->host, mc->boot, err) < 0)
		return -1;
	if (strcmp(what, "stop") == 0 &&
	    (metacache_sync(mc, err) < 0 || boot_stop(dirfd, mc->host, mc->boot, err) < 0))
		return -1;
	boot_load(dirfd, mc->host, mc->boot, boots_r);
	if (boots_r->unknown.code == ERR_NONE)
		return 0;
	*err = boots_r->unknown;
	return -1;
}

static int run_as(struct tool *tool, const char *what)
{
	automc struct metacache mc = { .locks_fd = -1 };
	autoprinter struct printer *printer = NULL;
	autoboots struct boots boots = { 0 };
	struct err err = { 0 }, print_err = { 0 };
	bool status = strcmp(what, "status") == 0;
	autofd int dirfd = -1;
	int code = common_open(tool, &mc, 0);

	if (code != 0)
		return code;
	printer = tool_printer(tool, "boots", fields, sizeof fields / sizeof *fields);
	if (!printer)
		return ERR_USAGE;
	dirfd = fsx_open_root(tool->settings.state_dir, &err);
	if (dirfd < 0 || work(&mc, what, dirfd, &boots, &err) < 0)
		code = tool_error(tool, NULL, &err);
	if (code == 0 && strcmp(what, "start") == 0)
		tell_previous(&mc, &boots);
	if ((code == 0 || status) && print(&printer, &boots, status, &print_err) < 0)
		code = tool_worst(code, tool_error(tool, NULL, &print_err));
	return code;
}

static int run(struct tool *tool)
{
	static const char *const all[] = { "start", "stop", "status" };
	const char *what = tool->args.count > 0 ? tool->args.items[0] : "";
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (strcmp(what, all[i]) == 0)
			return run_as(tool, tool->dry_run ? "status" : what);
	}
	err_set(&err, ERR_USAGE, "%s: expected start, stop or status", quote_str(what).s);
	return tool_error(tool, NULL, &err);
}

int main(int argc, char **argv)
{
	return tool_main(&spec, run, argc, argv);
}
