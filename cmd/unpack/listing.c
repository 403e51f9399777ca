#include "listing.h"

#include <stdio.h>

#include "base/buf.h"

static const struct print_field fields[] = {
	{ .name = "name" },
	{ .name = "size", .flags = PRINT_SIZE },
	{ .name = "mtime", .flags = PRINT_TIME },
	{ .name = "mode" },
	{ .name = "digest" },
	{ .name = "packed", .flags = PRINT_SIZE },
	{ .name = "from" },
};

int listing_print(struct tool *tool, const struct bundle_manifest *manifest)
{
	autoprinter struct printer *printer =
		tool_printer(tool, "files", fields, sizeof fields / sizeof *fields);
	struct err err = { 0 };
	int ret = 0;

	if (!printer)
		return ERR_USAGE;
	for (size_t i = 0; ret == 0 && i < manifest->files.count; i++) {
		const struct bundle_file *file = &manifest->files.items[i];
		autobuf struct buf digest = { 0 };
		char mode[16];

		buf_hex(&digest, file->digest, sizeof file->digest);
		snprintf(mode, sizeof mode, "%04o", file->mode);
		ret = print_row(printer,
				(struct print_value[]){ print_str(file->name),
							print_uint(file->size_bytes),
							print_int(file->mtime_ns / 1000000000),
							print_str(mode), print_str(digest.data),
							print_uint(bundle_file_packed_bytes(file)),
							print_str(file->from) },
				&err);
	}
	if (ret == 0)
		ret = print_finish(&printer, &err);
	return ret < 0 ? tool_error(tool, NULL, &err) : 0;
}
