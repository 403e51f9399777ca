#include "metacache/boot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fsx.h"
#include "base/lock.h"
#include "base/quote.h"

#define HEADER "metacache-tools reboots "
#define VERSION "1"
#define LOCK_FILE BOOT_FILE ".lock"
#define DAMAGED_FILE BOOT_FILE ".damaged"
#define BYTES_MAX (1024 * 1024)
#define LOCK_TIMEOUT_MS 10000
#define SECOND_NS INT64_C(1000000000)

void boot_file_free(struct boot_vec *items)
{
	for (size_t i = 0; i < items->count; i++)
		free(items->items[i].host);
	vec_free(items);
}

/* "<seconds>.<9 digits>" and a blank; *at is moved behind that. */
static bool take_time(const char **at, int64_t *value_ns_r)
{
	size_t digits = strspn(*at, "0123456789");
	const char *fraction = *at + digits;
	int64_t seconds;

	if (digits == 0 || digits > 10 || *fraction++ != '.' ||
	    strspn(fraction, "0123456789") != 9 || fraction[9] != ' ')
		return false;
	seconds = strtoll(*at, NULL, 10);
	if (seconds >= INT64_MAX / SECOND_NS)
		return false;
	*value_ns_r = seconds * SECOND_NS + strtoll(fraction, NULL, 10);
	*at = fraction + 10;
	return true;
}

static void put_time(struct buf *text, int64_t value_ns)
{
	buf_printf(text, "%lld.%09lld", (long long)(value_ns / SECOND_NS),
		   (long long)(value_ns % SECOND_NS));
}

static bool parse_line(const char *line, struct boot *boot_r)
{
	const char *at = line;
	int64_t stamp_ns;

	*boot_r = (struct boot){ 0 };
	if (!take_time(&at, &stamp_ns))
		return false;
	snprintf(boot_r->stamp, sizeof boot_r->stamp, "%.*s", (int)(at - line - 1), line);
	if (!take_time(&at, &boot_r->started_ns) || !take_time(&at, &boot_r->uptime_ns))
		return false;
	if (at[0] == '-' && at[1] == ' ')
		at += 2;
	else if (!take_time(&at, &boot_r->clean_ns) || boot_r->clean_ns < boot_r->started_ns)
		return false;
	if (*at == '\0')
		return false;
	boot_r->host = xstrdup(at);
	return true;
}

static int damaged(struct err *err, size_t line)
{
	err_set(err, ERR_DATA, "reboots: line %zu is damaged", line);
	return err_hint(err, "metacache-boot start keeps what can be read of it");
}

/* All lines that can be read. 0; -1 when there are others (ERR_DATA, *readable_r), or none of it
 * is to be understood. */
static int parse(char *text, size_t text_len, struct boot_vec *items, bool *readable_r,
		 struct err *err)
{
	size_t number = 0;
	int ret = 0;

	*readable_r = true;
	for (char *line = text, *end; line < text + text_len; line = end + 1) {
		struct boot boot;
		size_t len;

		number++;
		end = memchr(line, '\n', (size_t)(text + text_len - line));
		if (!end)
			return ret < 0 ? -1 : damaged(err, number); /* it was cut off */
		*end = '\0';
		len = strlen(line);
		if (number == 1 && strncmp(line, HEADER, sizeof HEADER - 1) == 0) {
			if (strcmp(line + sizeof HEADER - 1, VERSION) == 0)
				continue;
			*readable_r = false;
			return err_set(err, ERR_DATA, "reboots: %s is of a later version",
				       quote_str(line).s);
		}
		if (number > 1 && line + len == end && parse_line(line, &boot))
			vec_push(items, boot);
		else if (ret == 0)
			ret = damaged(err, number);
	}
	return number == 0 ? damaged(err, 1) : ret;
}

int boot_file_read(int dirfd, struct buf *text, struct boot_vec *items, bool *readable_r,
		   struct err *err)
{
	autofree char *copy = NULL;
	int ret = fsx_read(dirfd, BOOT_FILE, BYTES_MAX, text, err);

	*readable_r = false;
	if (ret <= 0)
		return ret < 0 ? err_prefix(err, "reboots") : 0;
	copy = xmalloc(text->len + 1);
	memcpy(copy, buf_str(text), text->len + 1);
	return parse(copy, text->len, items, readable_r, err) < 0 ? -1 : 1;
}

int boot_file_write(int dirfd, const struct boot_vec *items, struct err *err)
{
	autobuf struct buf text = { 0 };
	size_t first = items->count > BOOTS_MAX ? items->count - BOOTS_MAX : 0;

	buf_puts(&text, HEADER VERSION "\n");
	for (size_t i = first; i < items->count; i++) {
		const struct boot *boot = &items->items[i];

		buf_printf(&text, "%s ", boot->stamp);
		put_time(&text, boot->started_ns);
		buf_putc(&text, ' ');
		put_time(&text, boot->uptime_ns);
		buf_putc(&text, ' ');
		if (boot->clean_ns != 0)
			put_time(&text, boot->clean_ns);
		else
			buf_putc(&text, '-');
		buf_printf(&text, " %s\n", boot->host);
	}
	return fsx_replace(dirfd, BOOT_FILE, text.data, text.len, 0600, true, NULL, err);
}

int boot_file_lock(int dirfd, struct err *err)
{
	autofd int fd = fsx_openat(dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "open " LOCK_FILE);
	ret = lock_range(fd, LOCK_RANGE_WRITE, 0, 1, LOCK_TIMEOUT_MS);
	if (ret < 0)
		return err_sys(err, errno, "lock " LOCK_FILE);
	if (ret == 0)
		return err_set(err, ERR_BUSY, LOCK_FILE ": another metacache-boot has it locked");
	return steal_fd(&fd);
}

int boot_file_keep_damaged(int dirfd, const struct buf *text, struct err *err)
{
	return fsx_replace(dirfd, DAMAGED_FILE, buf_str(text), text->len, 0600, true, NULL, err);
}
