/* Owners from a file of "user<TAB>host" lines. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "cluster/lines.h"
#include "cluster/owner_table.h"

static int map_driver_open(struct owner *owner, const char *path, struct err *err)
{
	if (path[0] != '/')
		return err_set(err, ERR_CONFIG, "map: expected the absolute path of a file");
	owner->state = xstrdup(path);
	return 0;
}

static void map_driver_close(struct owner *owner)
{
	free(owner->state);
}

static int open_file(const char *path, struct err *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_DATA, "it is no file");
	return steal_fd(&fd);
}

static int read_map(struct owner_table *table, const char *path, struct err *err)
{
	autofd int fd = open_file(path, err);
	struct lines lines = { .fd = fd };
	const char *line;
	int ret;

	if (fd < 0)
		return -1;
	while ((ret = lines_next(&lines, &line, err)) > 0) {
		if (*line != '\0' && *line != '#' && owner_table_take(table, line, err) < 0)
			return -1;
	}
	if (ret < 0)
		return -1;
	if (!table->has_here) {
		err_set(err, ERR_CONFIG, "it names no host %s, which is backend_host",
			table->here->text);
		return err_hint(err, "a host without users is named by a line <TAB>HOST");
	}
	return 0;
}

static int map_driver_lookup(struct owner *owner, struct owner_answer *const *answers, size_t count,
			     struct err *err)
{
	const char *path = owner->state;
	autotable struct owner_table table;

	owner_table_init(&table, &owner->here, answers, count);
	if (read_map(&table, path, err) < 0)
		return err_prefix(err, "the map %s", path);
	return 0;
}

const struct owner_driver owner_map_driver = {
	.scheme = "map:",
	.batch_max = SIZE_MAX,
	.open = map_driver_open,
	.close = map_driver_close,
	.lookup = map_driver_lookup,
};
